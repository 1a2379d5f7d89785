"""Sentences of the book that a program checks, and exercises that explain what went wrong."""

import math
import numbers

import numpy as np
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
        raise ClaimFailed(f"{sentence}: measured {value:.6g}, outside the band {band(low, high)}")
    print(f"✓ {sentence} [{band(low, high)}]")


def band(low, high):
    """Words for a band: ``0.1 to 0.2``, ``at least 3``, ``at most 5``, ``exactly 7``."""
    if low == high:
        return f"exactly {low:.10g}"
    if math.isinf(high):
        return f"at least {low:.10g}"
    if math.isinf(low):
        return f"at most {high:.10g}"
    return f"{low:.10g} to {high:.10g}"


def check(answer, right, wrong=None):
    """Compare an exercise's answer with the right one and print what the comparison teaches.

    An exercise that nobody has answered yet (``None`` or ``...``) is told so and does not fail.

    Args:
        answer: the reader's number, array or tensor.
        right: the right one. Whole numbers are compared exactly, others to 1 part in 1,000
            (and to 1e-9, so that 0 may be off by rounding).
        wrong: explanations of known mistakes, each with the answer that the mistake leads to.

    Raises:
        ValueError: a "wrong" answer equals the right one, so its explanation would be a lie; or
            ``right`` is not a number or an array of numbers.
    """
    if as_array(right) is None:
        raise ValueError("the right answer must be a number or an array of numbers")
    for explanation, mistake in (wrong or {}).items():
        if agrees(mistake, right):
            raise ValueError(f"the mistake «{explanation}» leads to the right answer")
    if answer is None or answer is ...:
        print("… waiting for your answer")
    elif callable(answer):
        print("✗ this is a function: check what it returns, not the function itself")
    elif agrees(answer, right):
        print("✓ correct")
    else:
        print(f"✗ {explain(answer, right, wrong or {})}")


def agrees(answer, right):
    """Whether two numbers or arrays have the same shape and the same values."""
    answer, right = as_array(answer), as_array(right)
    if answer is None or right is None:
        return False
    return answer.shape == right.shape and close(answer, right).all()


def close(answer, right):
    """Which entries agree: whole numbers exactly, others to 1 part in 1,000."""
    rtol = 0 if right.dtype.kind in "bui" else 1e-3
    return np.isclose(answer, right, rtol=rtol, atol=1e-9)


def explain(answer, right, wrong):
    """One sentence on why ``answer`` is not ``right``."""
    for explanation, mistake in wrong.items():
        if agrees(answer, mistake):
            return explanation
    answer, right = as_array(answer), as_array(right)
    if answer is None:
        return "this is not a number or an array of numbers"
    if answer.shape != right.shape:
        return f"the shape is {answer.shape}, but it should be {right.shape}"
    if np.isnan(answer).any():
        return "there is a NaN in it: look for 0/0, or for the logarithm of a negative number"
    if answer.ndim == 0:
        direction = "small" if answer < right else "large"
        return f"{answer:.6g} is too {direction}"
    off = ~close(answer, right)
    first = tuple(int(i) for i in np.argwhere(off)[0])
    return f"{off.sum()} of {off.size} entries are wrong, the first at index {first}"


def as_array(value):
    """A NumPy array of real numbers, or None where there is none to be had."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if not isinstance(value, (numbers.Number, np.bool_, np.ndarray, list, tuple)):
        return None
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    return array if array.dtype.kind in "buif" else None
