"""Erdős–Rényi kernel densities (Evci et al., 2020): which layers may be sparse, without looking."""

from uecompress import checks
from uecompress.networks import plain, plain_layers
from uecompress.pruning.masks import prune
from uecompress.pruning.scores import random


def erk_densities(model, *, density):
    """Densities of layers in proportion to (n_in + n_out + k_h + k_w) / (n_in n_out k_h k_w).

    Small layers stay denser. Those of which this asks for more than all weights are dense, and the
    others share what is left, so that the whole network has the density that is asked for.

    Args:
        model: a network.
        density: of all weights of plain layers together, in (0, 1].

    Returns:
        A dict: dotted name of each plain layer -> its density, for :func:`prune`.

    Raises:
        TypeError: a density that is no number.
        ValueError: one out of range; a network without plain layers.
    """
    whole = checks.within("density", density, 0, 1, open_low=True)
    shapes = {name: layer.weight.shape for name, layer in plain_layers(plain(model)).items()}
    raw = {name: sum(shape) / shape.numel() for name, shape in shapes.items()}
    left = whole * sum(shape.numel() for shape in shapes.values())  # weights to hand out
    found = {}
    while sparse := [name for name in shapes if name not in found]:
        scale = left / sum(sum(shapes[name]) for name in sparse)  # raw × entries = sum of sizes
        dense = [name for name in sparse if scale * raw[name] > 1]
        found |= dict.fromkeys(dense, 1.0) if dense else {n: scale * raw[n] for n in sparse}
        left -= sum(shapes[name].numel() for name in dense)
    return {name: found[name] for name in shapes}


def random_erk(model, *, density, seed):
    """A copy of a network with zeros at random, in each layer as many as ERK says.

    The control for every mask that has been chosen (Liu et al., 2022), and where :func:`rigl`
    starts.

    Args:
        model: a network; it is not changed.
        density: as in :func:`erk_densities`.
        seed: of the places.

    Raises:
        TypeError, ValueError: as in :func:`erk_densities` and :func:`prune`.
    """
    shares = erk_densities(model, density=density)
    return prune(model, random(model, seed=seed), density=shares)
