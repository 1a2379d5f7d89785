"""Answers that are numbers."""

from fractions import Fraction
from numbers import Number as AnyNumber

import numpy as np
import torch


class Number:
    """A number or an array of numbers that an exercise asks for.

    Whole numbers have to be met exactly. Of others two digits are enough, which the reader is told,
    unless a known mistake lies nearer to the answer.

    Args:
        right: the right answer. Whole numbers as integers, others as floats.
        wrong: explanations of known mistakes, each with the answer that the mistake leads to.

    Raises:
        ValueError: ``right`` is not finite, or a mistake leads to the right answer, so that its
            explanation would be a lie.
    """

    def __init__(self, right, wrong=None):
        self.right, self.wrong = _array(right), dict(wrong or {})
        if self.right is None or not np.isfinite(self.right).all():
            raise ValueError("the right answer must be a finite number or an array of such numbers")
        for explanation, mistake in self.wrong.items():
            if _same(_array(mistake), self.right):
                raise ValueError(f"the mistake «{explanation}» leads to the right answer")

    def judge(self, answer):
        """Whether the answer is right, and one sentence on it."""
        if callable(answer):
            return False, "this is a function: give what it returns"
        given = _array(answer)
        if given is None:
            return False, "this is not a number or an array of numbers"
        if _same(given, self.right):
            return True, "correct"
        near = {text: _distance(given, _array(mistake)) for text, mistake in self.wrong.items()}
        nearest = min(near, key=near.get, default=None)
        if self._is_close(given) and (
            nearest is None or _distance(given, self.right) < near[nearest]
        ):
            return True, f"close: to more digits it is {_digits(self.right)}"
        if nearest is not None and near[nearest] < 0.006:
            return False, nearest
        return False, self._hint(given)

    def _is_close(self, given):
        """Whether two digits agree, where the answer need not be a whole number."""
        if given.shape != self.right.shape or self.right.dtype.kind in "bui":
            return False
        rounded = np.vectorize(lambda x: float(f"{x:.2g}"))(self.right)
        near = np.isclose(given, self.right, rtol=0.006, atol=1e-9)
        return bool((near | np.isclose(given, rounded, rtol=1e-9, atol=0)).all())

    def _hint(self, given):
        if given.shape != self.right.shape:
            return f"the shape is {given.shape}, but it should be {self.right.shape}"
        if np.isnan(given).any():
            return "there is a NaN in it: look for 0/0, or for the logarithm of a negative number"
        if given.ndim == 0:
            return f"{given.item():.6g} is too {'small' if given < self.right else 'large'}"
        off = ~np.isclose(given, self.right, rtol=0.006, atol=1e-9)
        first = tuple(int(i) for i in np.argwhere(off)[0])
        return f"{off.sum()} of {off.size} entries are wrong, the first at index {first}"


def _same(given, right):
    """Equal: whole numbers exactly, others to 1 part in 1,000 (and to 1e-9, beside 0)."""
    if given is None or given.shape != right.shape:
        return False
    rtol = 0 if right.dtype.kind in "bui" else 1e-3
    return bool(np.isclose(given, right, rtol=rtol, atol=1e-9).all())


def _distance(given, target):
    """The largest relative difference; infinite where the shapes differ."""
    if target is None or given.shape != target.shape or not given.size:
        return np.inf
    given, target = given.astype(float), target.astype(float)
    difference = np.abs(given - target) / np.maximum(np.abs(target), 1e-9)
    return np.nan_to_num(difference, nan=np.inf).max()


def _digits(array):
    """A number in four digits or as a whole one, an array in as many an entry."""

    def digits(x):
        return f"{x:.4g}" if abs(x) < 1e4 else f"{x:,.0f}"

    return np.array2string(array, formatter={"all": digits}, separator=", ")


def _array(value):
    """A NumPy array of real numbers, or None where there is none to be had."""
    if isinstance(value, str):
        try:
            value = float(Fraction(value.replace(" ", "").replace("−", "-")))
        except (ValueError, ZeroDivisionError):
            return None
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if not isinstance(value, (AnyNumber, np.bool_, np.ndarray, list, tuple)):
        return None
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    return array if array.dtype.kind in "buif" else None
