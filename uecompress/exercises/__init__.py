"""Exercises: what is right, what the known mistakes are, and what each of them teaches.

A page shows ``check("ex-svd-rank", answer)`` and no answer. The files of this room hold the checks,
one file a chapter.
"""

from uecompress.exercises.check import check
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number

__all__ = ["Function", "Number", "check"]
