"""Posteriors whose variances take few values."""

import torch

from uecompress import checks
from uecompress.networks import plain


@torch.no_grad()
def quantize_variances(model, bits, grid="log"):
    """A copy of a variational network in which each tensor of variances takes at most 2ᵇ values.

    They are evenly spaced from the smallest to the largest. Variances of one layer spread over
    orders of magnitude: on a grid that is even in σ² most of them become the smallest one, or, if
    the grid began at 0, none at all. On one that is even in log σ² all are wrong by one factor.

    Args:
        model: a network of layers with log variances (parameters whose names end in
            ``log_sigma2``); it is not changed.
        bits: from 1 to 8.
        grid: "log", even in log σ², or "linear", even in σ².

    Raises:
        TypeError: ``bits`` is no number.
        ValueError: it is out of range; another grid; no such parameters, or such that are not
            finite.
    """
    steps = 2 ** checks.whole("bits", bits, 1, 8) - 1
    if grid not in ("log", "linear"):
        raise ValueError(f'grid must be "log" or "linear", not {grid!r}')
    model = plain(model)
    found = {n: p for n, p in model.named_parameters() if n.endswith("log_sigma2")}
    if not found:
        raise ValueError("the network has no log variances of posteriors, log_sigma2")
    for name, parameter in found.items():
        checks.finite(**{name: parameter})
        values = parameter.double() if grid == "log" else parameter.double().exp()
        low, high = values.min(), values.max()
        step = (high - low) / steps
        if step > 0:
            values = low + ((values - low) / step).round() * step
            parameter.copy_(values if grid == "log" else values.log())
    return model
