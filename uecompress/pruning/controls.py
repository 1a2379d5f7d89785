"""Controls of structured pruning: is it the weights that count, or only the smaller network?

Liu et al. (2019, "Rethinking the value of network pruning") train the pruned network again from new
weights, for as many epochs as the dense one (Scratch-E) or for as much arithmetic (Scratch-B).
Where that does as well, pruning was a search for widths; the third control, widths that are the
same share everywhere, asks whether the search found any.
"""

import torch

from uecompress import checks
from uecompress.networks import parameter_count, plain, plain_layers
from uecompress.networks.ties import Paths
from uecompress.networks.tree import copied
from uecompress.networks.units import remove_units
from uecompress.pruning.structured import unit_groups
from uecompress.randomness import seeded
from uecompress.uncertainty import multiply_adds


@torch.no_grad()
def reinitialized(model, *, seed):
    """The same network with new weights, drawn from ``seed``: what its structure alone is worth.

    Zero weights of plain layers are structure, and stay zero. Every module draws its parameters as
    its class does when it is made, whatever other networks do after that; running statistics start
    again. The course's networks come out as their functions make them from this seed.

    Args:
        model: a network; it is not changed.
        seed: a whole number from 0 to 2⁶³ − 1.

    Raises:
        TypeError: a seed that is no number.
        ValueError: a seed out of range; a module that has parameters of its own and no
            ``reset_parameters()`` that draws them.
    """
    result = plain(model)
    zeros = [(layer, layer.weight == 0) for layer in plain_layers(result).values()]
    with seeded(seed):
        for name, module in result.named_modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
            elif module._parameters:
                raise ValueError(f"{name!r} has parameters, but no reset_parameters() to draw them")
    for layer, zero in zeros:
        layer.weight.masked_fill_(zero, 0)
    return result


def scratch_e(model, epochs, *, seed):
    """Scratch-E: the pruned network with new weights, and as many epochs as the dense one had.

    Args:
        model: the pruned network; it is not changed.
        epochs: those of the dense network.
        seed: of the new weights.

    Returns:
        The network, and the number of epochs.

    Raises:
        TypeError, ValueError: as in :func:`reinitialized`; epochs that are no whole number of at
            least 1.
    """
    return reinitialized(model, seed=seed), checks.whole("epochs", epochs)


def scratch_b(model, epochs, *, dense, x, seed):
    """Scratch-B: new weights, and the epochs that cost as much arithmetic as the dense network's.

    That is ⌊epochs · F_dense / F_pruned⌋ with F the multiply-adds of one prediction, as in the
    authors' code. A weight that is zero costs what any other does, so that without removal it is
    :func:`scratch_e`.

    Args:
        model: the pruned network; it is not changed.
        epochs: those of the dense network.
        dense: the network that was pruned.
        x: inputs (N, ...), with which the multiply-adds are counted; one is enough.
        seed: of the new weights.

    Returns:
        The network, and the number of epochs.

    Raises:
        TypeError, ValueError: as in :func:`scratch_e`; inputs that the networks do not take.
    """
    network, epochs = scratch_e(model, epochs, seed=seed)
    return network, int(epochs * multiply_adds(dense, x) / multiply_adds(model, x))


def uniform_width(model, parameters):
    """The network in which every layer has the same share of its units, no larger than asked for.

    It is the widest one with at most so many parameters. The first units of each layer stay, which
    matters no more once it has new weights: see :func:`reinitialized`.

    Args:
        model: the dense network; it is not changed.
        parameters: the number of parameters allowed, that of a pruned network say.

    Raises:
        TypeError: ``parameters`` is no number.
        ValueError: it is no whole number of at least 1, or less than with one unit in each layer;
            no units can be removed.
    """
    parameters, model = checks.whole("parameters", parameters), plain(model)
    groups = {name: group.units for name, group in unit_groups(model).items()}
    # All shares at which the width of any layer changes: k units of n.
    shares = sorted({(k / n, k, n) for n in groups.values() for k in range(1, n + 1)})
    low, high = 0, len(shares)  # the first is narrow enough, the last is not
    if parameter_count(_narrowed(model, groups, shares[0])) > parameters:
        raise ValueError(f"with one unit in each layer it has more than {parameters} parameters")
    while high - low > 1:
        middle = (low + high) // 2
        fits = parameter_count(_narrowed(model, groups, shares[middle])) <= parameters
        low, high = (middle, high) if fits else (low, middle)
    return _narrowed(model, groups, shares[low])


def _narrowed(model, groups, share):
    """A copy in which each group of n units has ⌊n · share⌋ of them, but one at least."""
    _, numerator, denominator = share
    model = copied(model)
    paths = Paths(model)
    for name, units in groups.items():
        kept = max(1, units * numerator // denominator)
        remove_units(model, name, paths.ties(name), torch.arange(kept))
    return model
