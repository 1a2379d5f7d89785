"""Low rank for a whole network: which layer gets which rank, and the network that results."""

import bisect
import copy
import math
from dataclasses import dataclass

import torch
from torch import nn

from uecompress import checks
from uecompress.lowrank.choices import cp_choices, svd_choices, tt_choices, tucker_choices
from uecompress.lowrank.conv_chain import chain_kernel
from uecompress.networks import parameter_count, plain_layers, replace_layers
from uecompress.tensors.svd import check_rank

METHODS = {"svd": svd_choices, "cp": cp_choices, "tucker": tucker_choices, "tt": tt_choices}


@dataclass(frozen=True)
class LayerPlan:
    """What happens to one layer.

    ``rank`` is None for a layer that is left alone, because its factors would not be smaller or
    because it is a convolution in groups; it is (r_in, r_out) for a Tucker convolution, and all
    inner ranks for a tensor train. ``break_even`` is the largest single rank at which the factors
    are smaller. ``error`` is the relative error of the new weight in the Frobenius norm, measured.
    Biases are counted in the parameters.
    """

    name: str
    shape: tuple
    break_even: int
    rank: int | tuple | None
    parameters_before: int
    parameters_after: int
    error: float


def compress(model, method="svd", *, rank=None, energy=None, ratio=None):
    """A copy of ``model`` whose Linear and Conv2d layers are factorized; the input is not changed.

    The weights are those of the input, so the result predicts at once, and :func:`training.fit
    <uecompress.training.fit>` fine-tunes it. A layer that would grow is left alone, and so is a
    convolution in groups; :func:`plan` with the same arguments reports what happens to each layer.
    Layers that are not plain (see :func:`networks.plain_layers <uecompress.networks.plain_layers>`)
    are left alone with a warning. Exactly one budget is given.

    Args:
        model: a network or an ensemble.
        method: "svd" makes two layers of one. "cp" and "tucker" make four and three of a
            convolution; of a matrix, a Linear layer or a 1×1 convolution, they are the SVD. "tt"
            makes a :class:`TTLinear` or :class:`TTConv2d`, with widths split into three balanced
            factors, into four from a million entries on.
        rank: the same rank for every layer, lowered to what a layer allows.
        energy: the share of each weight's squared norm to keep, in (0, 1]: of the singular values
            for "svd"; in each of the two channel modes for "tucker"; for "tt" the train's relative
            error is at most √(1 - energy). "cp" has no spectrum to take a share of.
        ratio: parameters of the network before, over after; the result is at least this much
            smaller. One share of energy, the largest that will do, holds for all layers; for "cp"
            it is one share of each layer's weights.

    Raises:
        TypeError: a budget that is no number.
        ValueError: an unknown method, a budget that is out of range or out of reach, a network
            without plain Linear and Conv2d layers, with convolutions in groups alone, or with
            weights that are empty, not finite, or neither float32 nor float64.
    """
    built = {p.name: new for p, new in _factorized(model, method, rank, energy, ratio)}
    return replace_layers(model, lambda name, _: built.get(name))


def plan(model, method="svd", *, rank=None, energy=None, ratio=None):
    """What :func:`compress` does with the same arguments: a list of :class:`LayerPlan`."""
    return [p for p, _ in _factorized(model, method, rank, energy, ratio)]


def _factorized(model, method, rank, energy, ratio):
    """The :class:`LayerPlan` of every layer, and its new layer or None."""
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    if sum(budget is not None for budget in (rank, energy, ratio)) != 1:
        raise ValueError("give exactly one of rank, energy and ratio")
    layers = _checked_layers(model)
    possible = {
        name: METHODS[method](layer)
        for name, layer in layers.items()
        if getattr(layer, "groups", 1) == 1
    }
    if not possible:
        raise ValueError("the network has convolutions in groups alone, which stay as they are")
    if rank is not None:
        check_rank(rank, max(_largest_rank(choose) for choose in possible.values()))
        choices = {name: choose(rank=int(rank)) for name, choose in possible.items()}
    elif energy is not None:
        if method == "cp":
            raise ValueError("CP has no spectrum to take a share of energy of: give rank or ratio")
        energy = checks.within("energy", energy, 0, 1, open_low=True)
        choices = {name: choose(energy=energy) for name, choose in possible.items()}
    else:
        lowest = -8.0 if method == "tt" else 0.0  # an error bound of 3 cuts every bond to rank 1
        choices = _choices_for_ratio(model, layers, possible, ratio, lowest)
    return [_layer_plan(n, layer, possible.get(n), choices.get(n)) for n, layer in layers.items()]


def _checked_layers(model):
    """The plain layers by name, if their weights are sound."""
    layers = plain_layers(model)
    for name, layer in layers.items():
        with checks.naming(name):
            if not layer.weight.numel():
                raise ValueError("weight is empty")
            checks.finite(weight=layer.weight, bias=layer.bias)
    return layers


def _layer_plan(name, layer, choose, choice):
    """The plan of one layer and its new form; None where it is left alone."""
    weights = layer.weight.numel()
    before = weights + (layer.bias.numel() if layer.bias is not None else 0)
    even = 0
    if choose is not None:
        ranks = range(1, _largest_rank(choose) + 1)
        even = bisect.bisect_left(ranks, weights, key=lambda r: choose(rank=r).weights)
    if choice is None or choice.weights >= weights:
        return LayerPlan(name, tuple(layer.weight.shape), even, None, before, before, 0.0), None
    new = choice.build()
    return LayerPlan(
        name=name,
        shape=tuple(layer.weight.shape),
        break_even=even,
        rank=choice.ranks,
        parameters_before=before,
        parameters_after=parameter_count(new),
        error=_relative_error(layer, new),
    ), new


def _largest_rank(choose):
    """The largest rank that a layer has in a format, over all its ranks."""
    ranks = choose(rank=2**31).ranks
    return max(ranks) if isinstance(ranks, tuple) else ranks


def _choices_for_ratio(model, layers, possible, ratio, low):
    """The choices of the largest common energy that makes the network ``ratio`` times smaller."""
    total = parameter_count(model)

    def choices_and_ratio(energy):
        choices = {name: choose(energy=energy) for name, choose in possible.items()}
        saved = sum(max(0, layers[n].weight.numel() - c.weights) for n, c in choices.items())
        return choices, total / (total - saved)

    ratio = checks.within("ratio", ratio, 1, math.inf, open_high=True)
    high = 1.0
    best, reach = choices_and_ratio(low)  # rank 1 everywhere, the smallest network there is
    if reach < ratio:
        raise ValueError(f"ratio {ratio} is out of reach: rank 1 everywhere gives {reach:.1f}")
    worse = None
    for _ in range(50):
        middle = (low + high) / 2
        choices, reached = choices_and_ratio(middle)
        if reached >= ratio:
            low, best = middle, choices
        else:
            high, worse = middle, choices
        if worse and all(best[n].ranks == worse[n].ranks for n in best):
            break
    return best


def _relative_error(layer, new):
    """‖W' - W‖ / ‖W‖ of the weight that a new layer stands for, in float64."""
    old, new = layer.weight.detach().double(), copy.deepcopy(new).double()
    with torch.no_grad():
        if not isinstance(new, nn.Sequential):
            weight = new.dense_weight
        elif isinstance(layer, nn.Conv2d):
            weight = chain_kernel(new)
        else:
            weight = new.u.weight @ new.vh.weight
    largest = old.abs().max().clamp(min=1e-300)  # no square of it need be a float
    return float(((weight - old) / largest).norm() / (old / largest).norm().clamp(min=1e-300))
