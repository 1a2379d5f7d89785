"""Sentences of the book that a program checks, each with its number."""

import math

import torch


class ClaimFailed(AssertionError):
    """A sentence of the book does not hold in this run."""


def claim(sentence, value, low=-math.inf, high=math.inf):
    """Check that ``low <= value <= high`` and print the sentence, the value and the band.

    ``claim("AUROC of one network", 0.2871, high=0.45)`` prints ``✓ AUROC of one network: 0.29 (at
    most 0.45)``. The value is one token, rounded to what the band makes meaningful. It may differ
    between machines, so nbval masks it; the sentence and the band it compares to the letter.

    Args:
        sentence: what the book claims, in words.
        value: the measured number.
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
    print(f"✓ {sentence}: {_rounded(value, low, high)} ({_band(low, high)})")


def _band(low, high):
    """Words for a band: ``0.1 to 0.2``, ``at least 3``, ``at most 5``, ``exactly 7``."""
    if low == high:
        return f"exactly {_plain(low)}"
    if math.isinf(high):
        return f"at least {_plain(low)}"
    if math.isinf(low):
        return f"at most {_plain(high)}"
    return f"{_plain(low)} to {_plain(high)}"


def _plain(number):
    """Up to ten significant digits, in groups of three where there are many: ``12,000``."""
    text = f"{number:.10g}"
    return f"{int(number):,}" if text.lstrip("-").isdigit() else text


def _rounded(value, low, high):
    """The value with as many digits as the band can tell apart.

    Half a hundredth of a band with two ends, and a twentieth of one with a single end or ten times
    of the distance to it, are still seen. It never looks as if it were outside of the band.
    """
    if low == high or value == 0 or (value.is_integer() and abs(value) < 1e15):
        return _plain(value)
    if math.isfinite(high - low):
        decimals = math.ceil(1.69 - math.log10(high - low))
    else:
        end = low if math.isfinite(low) else high
        scale = min(abs(end) or abs(value), 10 * abs(value - end) or abs(end))
        decimals = math.ceil(1.3 - math.log10(scale))
    if decimals > 6 or abs(value) < 0.5 * 10**-decimals:  # 3e-16 in a band up to 1e-12
        return f"{value:.2g}"
    decimals = max(0, decimals)
    while decimals < 15 and not low <= round(value, decimals) <= high:
        decimals += 1
    return f"{value:,.{decimals}f}"
