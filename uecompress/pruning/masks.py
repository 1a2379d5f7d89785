"""Zeros by exact top-k: the k weights of highest score stay, and no file holds a mask.

A threshold would not do: the scores of pixels that no image inks are all equal.
"""

import math
import warnings

import torch

from uecompress import checks
from uecompress.networks import hold_zeros, plain, plain_layers
from uecompress.pruning.budget import budget


def prune(model, scores, *, density=None, sparsity=None, ratio=None, scope="global"):
    """A copy of a network in which only the weights of highest score are left, exactly so many.

    Of equal scores the first stays, in the order of the layers and of each weight's entries.
    Weights that are zero already are removed ones: they are never kept in place of others. Biases
    stay. Exactly one of ``density``, ``sparsity`` and ``ratio`` says how many weights are kept.

    Args:
        model: a network; it is not changed.
        scores: for each layer a tensor like its weight, higher = keep: see
            :mod:`uecompress.pruning.scores`. Layers that it does not name stay as they are.
        density: the share of the weights with scores that stays, in (0, 1], rounded to a whole
            number of them; or a dict, one share for each layer, as :func:`erk_densities` gives.
        sparsity: 1 − density, in [0, 1).
        ratio: the compression ρ = 1 / density, at least 1.
        scope: "global", where all layers compete, or "layer", where each keeps this share.

    Raises:
        TypeError: a budget that is no number.
        ValueError: not one budget, or one out of range; scores that are not finite, or not those of
            the network's plain layers; fewer weights to keep than layers (compression beyond N/L),
            or more than are not zero.

    Warns:
        UserWarning: layers that have lost all their weights, by name.
    """
    density, result = budget(density, sparsity, ratio), plain(model)
    layers = layers_of(result, scores)
    for names, count in _counts(layers, density, scope).items():
        alive = sum(int(layers[name].weight.count_nonzero()) for name in names)
        if count > alive:
            raise ValueError(
                f"{count} weights of {', '.join(names)} shall stay, but {alive} are not zero"
            )
    remove(layers, scores, density, scope)
    warn_of_empty(layers)
    return result


def layers_of(network, scores):
    """The layers that the scores are of: a dict by name.

    Raises:
        ValueError: no scores, or such that are not finite, or not of the network's plain layers.
    """
    known = plain_layers(network)
    if not scores:
        raise ValueError("there are no scores")
    for name, score in scores.items():
        if name not in known:
            raise ValueError(f"scores of {name!r}, but the plain layers are {', '.join(known)}")
        with checks.naming(name):
            checks.floating(scores=score)
            checks.same_shape(scores=score, weight=known[name].weight)
            checks.finite(scores=score)
    return {name: known[name] for name in scores}


@torch.no_grad()
def remove(layers, scores, density, scope):
    """Zeros, in place, for all but the weights of highest score; all stay where few are left.

    Args:
        layers: a dict: name -> layer.
        scores: finite tensors of these names.
        density: the share that stays, or a dict of shares.
        scope: "global" or "layer".

    Raises:
        ValueError: an unknown scope, densities of other layers, compression beyond N/L.
    """
    for names, count in _counts(layers, density, scope).items():
        weights = [layers[name].weight for name in names]
        ranked = torch.cat([scores[name].to(weights[0].device).flatten() for name in names])
        ranked.masked_fill_(torch.cat([weight.flatten() == 0 for weight in weights]), -math.inf)
        kept = keep_top(ranked, count).split([weight.numel() for weight in weights])
        for weight, keep in zip(weights, kept, strict=True):
            weight.masked_fill_(~keep.view(weight.shape), 0)


def warn_of_empty(layers):
    """A warning that names the layers without weights."""
    empty = [repr(name) for name, layer in layers.items() if not layer.weight.any()]
    if empty:
        warnings.warn(f"no weight is left in {', '.join(empty)}", stacklevel=3)


def _counts(layers, density, scope):
    """How many weights stay of which layers together: a dict, names -> number."""
    if scope not in ("global", "layer"):
        raise ValueError(f'scope must be "global" or "layer", not {scope!r}')
    if scope == "layer" and not isinstance(density, dict):
        density = dict.fromkeys(layers, density)
    if not isinstance(density, dict):
        shares = {tuple(layers): density}
    elif density.keys() == layers.keys():
        shares = {(name,): density[name] for name in layers}
    else:
        raise ValueError(f"densities are needed of {', '.join(layers)}, not {', '.join(density)}")
    counts = {
        names: round(share * sum(layers[name].weight.numel() for name in names))
        for names, share in shares.items()
    }
    if sum(counts.values()) < len(layers):
        raise ValueError(
            f"{sum(counts.values())} weights for {len(layers)} layers: the compression is beyond "
            "N/L, at which every layer has one weight left"
        )
    return counts


def keep_top(scores, count):
    """Which scores are the ``count`` highest, (n,) bool; of equal ones the first.

    Args:
        scores: (n,), without NaN.
        count: from 0 to n.
    """
    if count == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    lowest = _kth_highest(scores, count)
    keep = scores >= lowest
    surplus = int(keep.count_nonzero()) - count
    if surplus:
        ties = (scores == lowest).nonzero().flatten()
        keep[ties[-surplus:]] = False
    return keep


def _kth_highest(scores, k):
    """The k-th highest number; in a large tensor, one of those that a sample says are near it."""
    n = len(scores)
    sample = scores[:: max(1, n // 50_000)].sort(descending=True).values
    place = (k - 1) * len(sample) // n
    high, low = sample[max(place - 1_000, 0)], sample[min(place + 1_000, len(sample) - 1)]
    near = scores[(scores <= high) & (scores >= low)]
    k_near = k - int((scores > high).count_nonzero())
    if not 1 <= k_near <= len(near):  # the sample was not like the rest
        near, k_near = scores, k
    return torch.kthvalue(near, len(near) - k_near + 1).values


def densities(model):
    """The share of each plain layer's weights that are not zero: a dict by name.

    ``prune(dense, scores.random(dense, seed=1), density=densities(pruned))`` shuffles the zeros of
    a pruned network within its layers (Frankle et al., 2021).

    Raises:
        ValueError: a network without plain layers.
    """
    weights = {name: layer.weight for name, layer in plain_layers(model).items()}
    return {name: int(w.count_nonzero()) / w.numel() for name, w in weights.items()}


def maximal_critical_compression(model):
    """N/L: the compression at which each of L layers has one of the N weights left.

    Beyond it a layer is empty, whatever the method (Tanaka et al., 2020). Plain layers count.

    Raises:
        ValueError: a network without plain layers.
    """
    layers = plain_layers(model).values()
    return sum(layer.weight.numel() for layer in layers) / len(layers)


@torch.no_grad()
def with_zeros_of(model, pruned):
    """A copy of a network with zeros where a pruned one has them: one mask on other weights.

    It resets a ticket to its initial weights, rewinds it, or gives it newly drawn ones.

    Args:
        model: a network; it is not changed.
        pruned: a network with layers of the same names and shapes.

    Raises:
        ValueError: a plain layer of ``pruned`` is missing in ``model``, or has another shape.
    """
    result = plain(model)
    hold_zeros(plain(pruned))(result, 1.0)
    return result
