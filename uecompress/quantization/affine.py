"""Affine quantizers: integer codes q = clamp(round(x / γ) + β), numbers γ (q − β).

The scale γ is the distance of neighbouring numbers, the zero point β the code of the number 0. It
is an integer, or 0 would be no number of the grid: zeros, padding and pruned weights among them,
would move. Where β is not 0 the course keeps q − β, whose 0 stands for 0 again.
"""

import torch

from uecompress import checks

# What each kind of grid is; bits where it has no others.
KINDS = {"symmetric": None, "full": None, "asymmetric": None,
         "binary": 1, "ternary": 2, "nf4": 4}  # fmt: skip


def code_range(bits, kind="symmetric"):
    """The smallest and the largest code.

    ========== ============================= ========== =======================================
    kind       codes                         of 8 bits  scale of the range from −T to T
    ========== ============================= ========== =======================================
    symmetric  −(2ᵇ⁻¹ − 1), …, 2ᵇ⁻¹ − 1      −127, 127  T / (2ᵇ⁻¹ − 1)
    full       −2ᵇ⁻¹, …, 2ᵇ⁻¹ − 1            −128, 127  T / (2ᵇ⁻¹ − ½): T itself is out of reach
    asymmetric 0, …, 2ᵇ − 1                  0, 255     (max − min) / (2ᵇ − 1), of two ends
    ========== ============================= ========== =======================================

    Args:
        bits: from 2 to 8.
        kind: one of these.

    Raises:
        TypeError: ``bits`` is no number.
        ValueError: it is out of range; no such kind.
    """
    bits = checks.whole("bits", bits, 2, 8)
    half = 2 ** (bits - 1)
    ranges = {"symmetric": (1 - half, half - 1), "full": (-half, half - 1)}
    ranges["asymmetric"] = (0, 2 * half - 1)
    if kind not in ranges:
        raise ValueError(f"kind must be one of {', '.join(ranges)}, not {kind!r}")
    return ranges[kind]


def scale_of(threshold, bits, kind="symmetric"):
    """The scale with which a grid around 0 reaches from −T to T; 1 where T is 0.

    Args:
        threshold: T, a tensor of numbers of at least 0.
        bits: from 2 to 8.
        kind: "symmetric" or "full".

    Raises:
        TypeError, ValueError: as :func:`code_range`; a threshold that is negative or not finite.
    """
    low, high = code_range(bits, kind)
    checks.floating(threshold=threshold)
    checks.finite(threshold=threshold)
    if low == 0:
        raise ValueError("an asymmetric grid has two ends: use scale_and_zero_point")
    if (threshold < 0).any():
        raise ValueError("a threshold cannot be negative")
    return _or_one(threshold / ((high - low) / 2))


def scale_and_zero_point(low, high, bits):
    """Scale and integer zero point of the asymmetric grid from ``low`` to ``high``.

    The range is widened where it does not hold 0.

    Args:
        low: the smallest numbers, a tensor.
        high: the largest numbers.
        bits: from 2 to 8.

    Returns:
        The scales, and the zero points, floating-point whole numbers from 0 to 2ᵇ − 1.

    Raises:
        TypeError, ValueError: as :func:`code_range`; ends that are not finite, or in disorder.
    """
    _, steps = code_range(bits, "asymmetric")
    checks.floating(low=low, high=high)
    checks.finite(low=low, high=high)
    if (low > high).any():
        raise ValueError("the low end of a range lies above its high end")
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = _or_one((high - low) / steps)
    return scale, (-low / scale).round().clamp(0, steps)


def round_half_up(x):
    """⌊x + ½⌋: the whole number nearest to x, of two the larger.

    It commutes with whole shifts, ⌊x + n + ½⌋ = ⌊x + ½⌋ + n, which ``torch.round``, half to even,
    does not: Hermite's identity needs that. (In floating point x + ½ is rounded itself, and takes
    the float below ½ to 1.)
    """
    return (x + 0.5).floor()


def to_codes(x, scale, zero_point=0, *, low, high, rounding=torch.round):
    """clamp(round(x / γ) + β, low, high), as whole numbers in the dtype of ``x``.

    Half goes to even, and x is multiplied by 1 / γ, as in ``torch.fake_quantize_per_tensor_affine``
    and its like, with which the codes agree bit for bit in float32.

    Args:
        x: a tensor.
        scale: γ > 0, a number or a tensor that broadcasts with it.
        zero_point: β, whole.
        low: the smallest code.
        high: the largest code.
        rounding: to whole numbers, ``torch.round`` or :func:`round_half_up`.
    """
    return (rounding(x * (1 / scale)) + zero_point).clamp(low, high)


def from_codes(codes, scale, zero_point=0):
    """γ (q − β): the numbers that codes stand for."""
    return (codes - zero_point) * scale


def fake_quantize(x, scale, zero_point=0, *, low, high, rounding=torch.round):
    """Numbers rounded to the grid, with a gradient: 1 inside the range, 0 where it was clipped.

    The derivative of a staircase is 0 almost everywhere. Passing the gradient straight through the
    rounding, and not through the clipping, is what trains (Bengio et al., 2013).

    The arguments are those of :func:`to_codes`.
    """
    codes = to_codes(x.detach(), scale, zero_point, low=low, high=high, rounding=rounding)
    values = from_codes(codes, scale, zero_point)
    unclipped = rounding(x.detach() * (1 / scale)) + zero_point
    inside = (unclipped >= low) & (unclipped <= high)
    return values + torch.where(inside, x - x.detach(), 0.0)


def _or_one(scale):
    """The scale; 1 where a constant 0 leaves none, and where it is too small to divide by."""
    return torch.where(scale > torch.finfo(scale.dtype).tiny, scale, torch.ones_like(scale))
