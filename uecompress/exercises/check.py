"""The comparison of an answer with the right one."""

import numbers

import numpy as np
import torch


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
    expected = _as_array(right)
    if expected is None or not np.isfinite(expected).all():
        raise ValueError("the right answer must be a finite number or an array of such numbers")
    for explanation, mistake in (wrong or {}).items():
        if _agrees(mistake, right):
            raise ValueError(f"the mistake «{explanation}» leads to the right answer")
    if answer is None or answer is ...:
        print("… waiting for your answer")
    elif callable(answer):
        print("✗ this is a function: check what it returns, not the function itself")
    elif _agrees(answer, right):
        print("✓ correct")
    else:
        print(f"✗ {_explain(answer, right, wrong or {})}")


def _agrees(answer, right):
    """Whether two numbers or arrays have the same shape and the same values."""
    answer, right = _as_array(answer), _as_array(right)
    if answer is None or right is None:
        return False
    return answer.shape == right.shape and _close(answer, right).all()


def _close(answer, right):
    """Which entries agree: whole numbers exactly, others to 1 part in 1,000."""
    rtol = 0 if right.dtype.kind in "bui" else 1e-3
    return np.isclose(answer, right, rtol=rtol, atol=1e-9)


def _explain(answer, right, wrong):
    """One sentence on why ``answer`` is not ``right``."""
    for explanation, mistake in wrong.items():
        if _agrees(answer, mistake):
            return explanation
    answer, right = _as_array(answer), _as_array(right)
    if answer is None:
        return "this is not a number or an array of numbers"
    if answer.shape != right.shape:
        return f"the shape is {answer.shape}, but it should be {right.shape}"
    if np.isnan(answer).any():
        return "there is a NaN in it: look for 0/0, or for the logarithm of a negative number"
    if answer.ndim == 0:
        direction = "small" if answer < right else "large"
        return f"{answer:.6g} is too {direction}"
    off = ~_close(answer, right)
    first = tuple(int(i) for i in np.argwhere(off)[0])
    return f"{off.sum()} of {off.size} entries are wrong, the first at index {first}"


def _as_array(value):
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
