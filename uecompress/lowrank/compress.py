"""Low rank for a whole network: which layer gets which rank, and the network that results."""

from dataclasses import dataclass

import torch

from uecompress.lowrank.svd import break_even_rank, svd_linear
from uecompress.networks import linear_and_conv_layers, parameter_count, replace_layers
from uecompress.tensors.svd import check_rank, truncation_error

METHODS = ("svd",)


@dataclass(frozen=True)
class LayerPlan:
    """What happens to one layer.

    ``rank`` is None for a layer that is left alone, because its factors would not be smaller;
    ``break_even`` is the largest rank that is. ``error`` is the relative error of the new weight
    in the Frobenius norm. Biases are counted in the parameters.
    """

    name: str
    shape: tuple
    break_even: int
    rank: int | None
    parameters_before: int
    parameters_after: int
    error: float


def compress(model, method="svd", *, rank=None, energy=None, ratio=None):
    """A copy of ``model`` whose Linear layers are factorized; the input is not changed.

    The weights are those of the input, so the result predicts at once, and :func:`training.fit
    <uecompress.training.fit>` fine-tunes it. A layer that would grow is left alone; :func:`plan`
    with the same arguments reports what happens to each layer. Exactly one budget is given.

    Args:
        model: a network or an ensemble.
        method: "svd".
        rank: the same rank for every layer.
        energy: the share of each weight's squared singular values to keep, in (0, 1].
        ratio: parameters of the network before, over after; the result is at least this much
            smaller. One share of energy, the largest that will do, holds for all layers.

    Raises:
        ValueError: an unknown method, a budget that is out of range or out of reach, a network
            without Linear layers, or weights that are not finite.
    """
    ranks = {p.name: p.rank for p in plan(model, method, rank=rank, energy=energy, ratio=ratio)}
    return replace_layers(
        model, lambda name, layer: svd_linear(layer, ranks[name]) if ranks.get(name) else None
    )


def plan(model, method="svd", *, rank=None, energy=None, ratio=None):
    """What :func:`compress` does with the same arguments: a list of :class:`LayerPlan`."""
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    if sum(budget is not None for budget in (rank, energy, ratio)) != 1:
        raise ValueError("give exactly one of rank, energy and ratio")
    layers = [(n, m) for n, m in linear_and_conv_layers(model) if isinstance(m, torch.nn.Linear)]
    if not layers:
        raise ValueError("the network has no Linear layer")
    if len({id(layer.weight) for _, layer in layers}) < len(layers):
        raise ValueError("two Linear layers share a weight: factorizing them would untie it")
    spectra = [spectrum(name, layer) for name, layer in layers]

    if rank is not None:
        check_rank(rank, max(len(s) for s in spectra))
        ranks = [rank] * len(layers)
    elif energy is not None:
        if not 0 < energy <= 1:
            raise ValueError(f"energy must be in (0, 1], not {energy}")
        ranks = [energy_rank(s, energy) for s in spectra]
    else:
        ranks = ranks_for_ratio(parameter_count(model), layers, spectra, ratio)
    return [
        layer_plan(name, layer, s, r)
        for (name, layer), s, r in zip(layers, spectra, ranks, strict=True)
    ]


def layer_plan(name, layer, s, rank):
    """The plan of one layer, left alone where ``rank`` is above its break-even rank."""
    m, n = layer.weight.shape
    bias = m if layer.bias is not None else 0
    pays = rank <= break_even_rank(m, n)
    return LayerPlan(
        name=name,
        shape=(m, n),
        break_even=break_even_rank(m, n),
        rank=rank if pays else None,
        parameters_before=m * n + bias,
        parameters_after=(rank * (m + n) if pays else m * n) + bias,
        error=truncation_error(s, rank) / max(truncation_error(s, 0), 1e-300) if pays else 0.0,
    )


def energy_rank(s, energy):
    """The smallest rank, at least 1, that keeps the share ``energy`` of the squared spectrum."""
    kept = s.square().cumsum(0)
    return 1 + int((kept[:-1] < energy * kept[-1]).sum())


def ranks_for_ratio(total, layers, spectra, ratio):
    """The ranks of the largest common energy that makes the network ``ratio`` times smaller."""

    def ranks_and_ratio(energy):
        ranks = [energy_rank(s, energy) for s in spectra]
        plans = [
            layer_plan("", layer, s, r)
            for (_, layer), s, r in zip(layers, spectra, ranks, strict=True)
        ]
        saved = sum(p.parameters_before - p.parameters_after for p in plans)
        return ranks, total / (total - saved)

    if not ratio >= 1:
        raise ValueError(f"ratio must be at least 1, not {ratio}")
    low, high = 0.0, 1.0  # energy 0 is rank 1 everywhere, the smallest network there is
    if ranks_and_ratio(low)[1] < ratio:
        reach = ranks_and_ratio(low)[1]
        raise ValueError(f"ratio {ratio} is out of reach: rank 1 everywhere gives {reach:.1f}")
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if ranks_and_ratio(middle)[1] >= ratio else (low, middle)
    return ranks_and_ratio(low)[0]


def spectrum(name, layer):
    """The singular values of a layer's weight, in float64."""
    if not torch.isfinite(layer.weight).all():
        raise ValueError(f"the weight of {name} contains NaN or infinity")
    return torch.linalg.svdvals(layer.weight.detach().double())
