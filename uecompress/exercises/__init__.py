"""Exercises that explain what went wrong."""

from uecompress.exercises.check import check

__all__ = ["check"]
