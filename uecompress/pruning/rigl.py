"""RigL (Evci et al., 2020, "Rigging the lottery"): sparse all along, and the zeros move."""

import math

import torch

from uecompress import checks
from uecompress.networks import linear_and_conv_layers, plain_layers
from uecompress.pruning.gradual import Clock
from uecompress.pruning.masks import keep_top


def rigl(model, *, fraction=0.3, every=100, end=0.75):
    """An ``after_step`` that moves weights to where the gradient asks for them.

    Every so many steps each layer drops the share f of its weights that are smallest, and grows as
    many where ``|∂L/∂θ|`` is largest among those that are zero, with f = α/2 (1 + cos(π t/t_end)).
    What has just been dropped may return as it was. Grown weights start at zero, without moments.
    The number of weights of each layer stays.

    Args:
        model: the network to be trained: where its weights are not zero it starts, see
            :func:`random_erk`.
        fraction: α, in (0, 1).
        every: steps from one move to the next.
        end: the progress t_end after which nothing moves, in (0, 1].

    Returns:
        ``after_step(model, progress, optimizer)`` for one call of :func:`training.fit
        <uecompress.training.fit>`.

    Raises:
        TypeError: what is no number.
        ValueError: numbers out of range, a network without plain layers or with a frozen one, if it
            is used for a second training.
    """
    fraction = checks.within("fraction", fraction, 0, 1, open_low=True, open_high=True)
    every, end = checks.whole("every", every), checks.within("end", end, 0, 1, open_low=True)
    active = {name: layer.weight != 0 for name, layer in plain_layers(model).items()}
    clock = Clock("rigl")

    def after_step(trained, progress, optimizer):
        moves = clock.tick(progress) % every == 0 and progress <= end
        share = fraction / 2 * (1 + math.cos(math.pi * progress / end))
        layers = dict(linear_and_conv_layers(trained))
        for name in active:
            weight = layers[name].weight
            active[name] = active[name].to(weight.device)
            if moves:
                with checks.naming(name):
                    grown = _move(weight, active[name], share)
                _forget(optimizer, weight, grown)
            weight.masked_fill_(~active[name], 0)

    return after_step


def _move(weight, active, share):
    """Change which weights of a layer are active, in place; which are new."""
    if weight.grad is None:
        raise ValueError("has no gradient to grow weights by: it is frozen, or not used")
    alive = int(active.sum())
    drop = int(share * alive)
    size = torch.where(active, weight.abs(), -math.inf).flatten()
    stays = keep_top(size, alive - drop).view_as(active)
    slope = torch.where(stays, -math.inf, weight.grad.abs()).flatten()
    after = stays | keep_top(slope, drop).view_as(active)
    grown = after & ~active
    active.copy_(after)
    weight.masked_fill_(grown, 0)
    return grown


def _forget(optimizer, weight, where):
    """Zeros in the moments that an optimizer keeps of some entries of a weight."""
    for moment in optimizer.state[weight].values():
        if isinstance(moment, torch.Tensor) and moment.shape == weight.shape:
            moment.masked_fill_(where, 0)
