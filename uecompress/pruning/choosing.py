"""From scores of weights to scores of units, and to those that stay."""

import warnings

import torch

from uecompress import checks
from uecompress.networks import plain_layers

_REDUCTIONS = {"sum": "sum", "mean": "mean", "max": "amax"}


def scored_layers(model, scores):
    """The layers that scores name, each with its score on the layer's device.

    Args:
        model: a network.
        scores: a dict: dotted name of a plain Linear or Conv2d layer -> tensor like its weight.

    Returns:
        A dict: name -> (layer, score).

    Raises:
        TypeError: a score that is no tensor of floating-point numbers.
        ValueError: no scores at all, a name that is no plain layer's, a score of another shape than
            the weight, or one that is not finite.
    """
    layers, result = plain_layers(model), {}
    if not scores:
        raise ValueError("there are no scores")
    for name, score in scores.items():
        if name not in layers:
            raise ValueError(
                f"{name!r} is no plain Linear or Conv2d; there are {', '.join(layers)}"
            )
        with checks.naming(name):
            checks.floating(score=score)
            checks.same_shape(weight=layers[name].weight, score=score)
            checks.finite(score=score)
        result[name] = layers[name], score.detach().to(layers[name].weight.device)
    return result


def per_unit(parts, units, reduce):
    """One number a unit, of all the numbers that belong to it.

    Args:
        parts: triples (values, axis, unit_of): a tensor, the axis along which the units lie, and
            the unit of each entry along that axis.
        units: how many units there are.
        reduce: "sum", "mean" or "max".

    Returns:
        Float64 numbers (units,), on the CPU.

    Raises:
        ValueError: another word for ``reduce``.
    """
    if reduce not in _REDUCTIONS:
        raise ValueError(f'reduce must be "sum", "mean" or "max", not {reduce!r}')
    numbers, owners = [], []
    for values, axis, unit_of in parts:
        # (..., entries, ...) -> (entries, the rest)
        entries = values.detach().double().cpu().movedim(axis, 0).reshape(len(unit_of), -1)
        numbers.append(entries.flatten())
        owners.append(unit_of.repeat_interleave(entries.shape[1]))
    start = torch.zeros(units, dtype=torch.float64)
    return start.scatter_reduce(
        0, torch.cat(owners), torch.cat(numbers), _REDUCTIONS[reduce], include_self=False
    )


def top_units(scores, density, scope="global"):
    """Which units stay: those of the highest scores, exactly as many as the density says.

    Of equal scores the first stay. No layer loses its last unit, which would cut the network in
    two: the best unit of each stays, and counts.

    Args:
        scores: a dict: name -> scores (units,), higher = keep.
        density: the share of units that stays, in (0, 1]; or a dict: name -> share, for each name
            of ``scores``.
        scope: "global" compares the units of all layers with one another, "layer" those of each
            layer alone. With a dict of densities it is "layer".

    Returns:
        A dict: name -> (units,) bool.

    Raises:
        TypeError: a density that is no number, scores that are no floating-point tensors.
        ValueError: no scores; scores that are not finite, or not one-dimensional; a density outside
            (0, 1]; other names of densities than of scores; another scope; fewer units than layers.

    Warns:
        UserWarning: layers that have lost all units but the one that must stay.
    """
    if scope not in ("global", "layer"):
        raise ValueError(f'scope must be "global" or "layer", not {scope!r}')
    if not scores:
        raise ValueError("there are no scores")
    for name, score in scores.items():
        with checks.naming(name):
            checks.floating(scores=score)
            checks.finite(scores=score)
            if score.dim() != 1:
                raise ValueError(f"a score for each unit is needed, not shape {tuple(score.shape)}")
    if isinstance(density, dict):
        if set(density) != set(scores):
            raise ValueError(f"densities of {sorted(density)}, but scores of {sorted(scores)}")
        counts = {name: _count(density[name], len(score)) for name, score in scores.items()}
    elif scope == "layer":
        counts = {name: _count(density, len(score)) for name, score in scores.items()}
    else:
        counts = _counts_of_all(scores, _count(density, sum(map(len, scores.values()))))
    cut = [repr(name) for name, count in counts.items() if count == 0]
    if cut:
        warnings.warn(f"all units but one are gone from {', '.join(cut)}", stacklevel=3)
    return {name: _best(score, max(counts[name], 1)) for name, score in scores.items()}


def _count(density, units):
    return round(checks.within("density", density, 0, 1, open_low=True) * units)


def _counts_of_all(scores, count):
    """How many units each layer keeps of the best ``count`` of all; 0 where only its best stays."""
    if count < len(scores):
        raise ValueError(f"{count} units would stay, but there are {len(scores)} layers")
    best = {name: int(score.argmax()) for name, score in scores.items()}
    rest = {
        name: score.detach().double().cpu().index_fill(0, torch.tensor(best[name]), -torch.inf)
        for name, score in scores.items()
    }
    further = _best(torch.cat(list(rest.values())), count - len(scores))
    plain = _best(torch.cat([s.detach().double().cpu() for s in scores.values()]), count)
    sizes = [len(score) for score in scores.values()]
    return {
        name: int(more.sum()) + 1 if alive.any() else 0
        for name, more, alive in zip(scores, further.split(sizes), plain.split(sizes), strict=True)
    }


def _best(scores, count):
    """(n,) bool, True for the ``count`` highest; of equal ones the first."""
    order = scores.detach().double().cpu().sort(descending=True, stable=True).indices
    return torch.zeros(len(scores), dtype=torch.bool).index_fill_(0, order[:count], True)
