"""Codes of a weight tensor: a grid for all of it, for each output, or for groups of inputs."""

import torch

from uecompress import checks
from uecompress.quantization.affine import (
    KINDS,
    code_range,
    scale_and_zero_point,
    scale_of,
    to_codes,
)
from uecompress.quantization.blocks import check_per, from_rows, to_rows
from uecompress.quantization.ranges import max_threshold

# Dettmers et al. (2023), Appendix E: quantiles of N(0, 1) in [−1, 1], 0 among them. Of a code c the
# number is NF4[c + 7].
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
)  # fmt: skip


def check_grid(bits, kind, per):
    """The three as a layer keeps them.

    Raises:
        TypeError: what is no number.
        ValueError: bits out of range, or not those of the kind; no such kind; groups below 1.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    fixed = KINDS[kind]
    bits = checks.whole("bits", bits, *((2, 8) if fixed is None else (fixed, fixed)))
    return bits, kind, check_per(per)


def limits(bits, kind):
    """The smallest and the largest code that a layer may keep."""
    if kind == "asymmetric":  # q − β, with β from 0 to 2ᵇ − 1
        return 1 - 2**bits, 2**bits - 1
    if kind == "nf4":
        return -7, 8
    return (-1, 1) if kind in ("binary", "ternary") else code_range(bits, kind)


@torch.no_grad()
def code_weight(weight, bits, kind="symmetric", per="channel", threshold=max_threshold):
    """The signed codes of a weight and their scales; code 0 is weight 0.

    Ternary and binary codes and their scale a are those of the smallest squared error: with k
    weights not 0, a is their mean size, and of all k the best is the one of the largest k a². In a
    binary tensor a weight 0 becomes a. NF4 takes the nearest of its sixteen numbers, times the
    largest size.

    Args:
        weight: (out, in, ...).
        bits: from 2 to 8; of "binary", "ternary" and "nf4" 1, 2 and 4.
        kind: "symmetric", "full", "asymmetric" (:func:`code_range`), "binary", "ternary", "nf4".
        per: what shares a scale: "tensor", "channel" (an output), or the size of groups of inputs.
        threshold: ``threshold(rows, steps)``, where a symmetric or full grid ends.

    Returns:
        Codes as whole numbers in the weight's dtype and shape, and scales (scales,).

    Raises:
        TypeError, ValueError: as :func:`check_grid`; numbers that are not finite; a threshold for
            another kind.
    """
    bits, kind, per = check_grid(bits, kind, per)
    checks.finite(weight=weight)
    if threshold is not max_threshold and kind not in ("symmetric", "full"):
        raise ValueError(f"a threshold is for grids around 0, not {kind} ones")
    rows = to_rows(weight, per)
    if kind == "binary":
        entries = to_rows(torch.ones_like(weight), per).sum(dim=1)
        scale, codes = rows.abs().sum(dim=1) / entries, torch.where(rows < 0, -1.0, 1.0)
    elif kind == "ternary":
        scale = _ternary_scale(rows)
        codes = to_codes(rows, scale[:, None], low=-1, high=1)
    elif kind == "nf4":
        scale = _or_one(rows.abs().amax(dim=1))
        table = torch.tensor(NF4, dtype=rows.dtype, device=rows.device)
        codes = torch.bucketize(rows / scale[:, None], (table[1:] + table[:-1]) / 2) - 7
    elif kind == "asymmetric":
        low, high = code_range(bits, kind)
        scale, zero = scale_and_zero_point(rows.amin(dim=1), rows.amax(dim=1), bits)
        codes = to_codes(rows, scale[:, None], zero[:, None], low=low, high=high) - zero[:, None]
    else:
        low, high = code_range(bits, kind)
        scale = scale_of(threshold(rows, high), bits, kind)
        codes = to_codes(rows, scale[:, None], low=low, high=high)
    return from_rows(codes.to(weight.dtype), weight.shape, per), scale


def _ternary_scale(rows):
    """The scale of the best ternary numbers: the k largest of the sizes become their mean."""
    sums = rows.abs().sort(dim=1, descending=True).values.cumsum(dim=1)
    k = torch.arange(1, rows.shape[1] + 1, device=rows.device)
    best = (sums.square() / k).argmax(dim=1, keepdim=True)  # k a², what the error is smaller by
    return _or_one((sums / k).gather(1, best)[:, 0])


def _or_one(scale):
    return torch.where(scale > 0, scale, torch.ones_like(scale))
