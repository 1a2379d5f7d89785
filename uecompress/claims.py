"""Sentences of the book that a program checks."""

import math

import torch


class ClaimFailed(AssertionError):
    """A sentence of the book does not hold in this run."""


def claim(sentence, value, low=-math.inf, high=math.inf):
    """Check that ``low <= value <= high`` and print one line that is the same on every machine.

    Args:
        sentence: what the book claims, in words.
        value: the measured number; it is not printed, since it may differ between machines.
        low: the lower end of the band.
        high: the upper end of the band. At least one end must be finite.

    Raises:
        ClaimFailed: the value is outside the band, or NaN.
        ValueError: the band cannot fail, or is empty.
    """
    if not low <= high or (math.isinf(low) and math.isinf(high)):
        raise ValueError(f"the band from {low} to {high} cannot fail or cannot hold")
    value = float(value.detach() if isinstance(value, torch.Tensor) else value)
    if not low <= value <= high:
        raise ClaimFailed(f"{sentence}: measured {value:.6g}, outside the band {_band(low, high)}")
    print(f"✓ {sentence} [{_band(low, high)}]")


def _band(low, high):
    """Words for a band: ``0.1 to 0.2``, ``at least 3``, ``at most 5``, ``exactly 7``."""
    if low == high:
        return f"exactly {low:.10g}"
    if math.isinf(high):
        return f"at least {low:.10g}"
    if math.isinf(low):
        return f"at most {high:.10g}"
    return f"{low:.10g} to {high:.10g}"
