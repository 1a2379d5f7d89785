"""Gradual magnitude pruning: zeros that spread while a network is trained (Zhu and Gupta, 2018)."""

from uecompress import checks
from uecompress.networks import linear_and_conv_layers, plain_layers
from uecompress.pruning.budget import budget
from uecompress.pruning.masks import remove, warn_of_empty
from uecompress.pruning.schedules import cubic, densities_at


def gradual(
    model,
    *,
    density,
    start=0.0,
    end=0.75,
    every=100,
    schedule=cubic,
    scope="global",
):
    """An ``after_step`` that removes the smallest weights, more and more, and holds the zeros.

    Every so many steps the density becomes that of the schedule, of which t = (progress − start) /
    (end − start); at ``end`` it is the final one, and the rest of the training fine-tunes.

    Args:
        model: the network to be trained. Zeros that its plain layers have stay, too.
        density: the final one, as in :func:`prune`.
        start: the progress at which it begins, in [0, 1).
        end: the progress at which it ends, in (start, 1).
        every: steps from one pruning to the next.
        schedule: ``schedule(density, t)``.
        scope: as in :func:`prune`.

    Returns:
        ``after_step(model, progress)`` for one call of :func:`training.fit
        <uecompress.training.fit>`.

    Raises:
        TypeError: what is no number.
        ValueError: numbers out of range, a network without plain layers; while it trains, as in
            :func:`prune`, and if it is used for a second training.

    Warns:
        UserWarning: at the end, layers that have lost all their weights, by name.
    """
    final, every = budget(density), checks.whole("every", every)
    start = checks.within("start", start, 0, 1, open_high=True)
    end = checks.within("end", end, start, 1, open_low=True, open_high=True)
    zeros = {name: layer.weight == 0 for name, layer in plain_layers(model).items()}
    clock, done = Clock("gradual"), False

    def after_step(trained, progress):
        nonlocal done
        step = clock.tick(progress)
        found = dict(linear_and_conv_layers(trained))
        layers = {name: found[name] for name in zeros}
        for name, layer in layers.items():
            layer.weight.masked_fill_(zeros[name].to(layer.weight.device), 0)
        if done or progress < start or (step % every and progress < end):
            return
        t = min((progress - start) / (end - start), 1.0)
        sizes = {name: layer.weight.abs() for name, layer in layers.items()}
        remove(layers, sizes, densities_at(schedule, final, t), scope)
        zeros.update({name: layer.weight == 0 for name, layer in layers.items()})
        if progress >= end:
            done = True
            warn_of_empty(layers)

    return after_step


class Clock:
    """Counts the steps of one training.

    Args:
        name: of the function whose ``after_step`` asks.
    """

    def __init__(self, name):
        self.name, self.steps, self.progress = name, 0, 0.0

    def tick(self, progress):
        """The number of this step, from 1.

        Raises:
            ValueError: progress is not beyond that of the step before: another training has begun.
        """
        if progress <= self.progress:
            raise ValueError(f"{self.name}() serves one training: call it again for the next one")
        self.steps, self.progress = self.steps + 1, progress
        return self.steps
