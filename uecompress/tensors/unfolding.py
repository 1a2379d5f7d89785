"""Unfoldings: the ways to read a tensor as a matrix, and back.

The tensor train uses the d - 1 matrices Aₖ, whose rows carry the first k indices; CP and Tucker use
the d matrices whose rows carry a single index.
"""

import math

import torch

from uecompress import checks
from uecompress.tensors.arrays import check_sizes, library


def unfold(a, k):
    """The unfolding Aₖ: the first k indices number the rows, the others the columns.

    As in Oseledets (2011, section 2), the **first index runs fastest**, in rows and in columns:
    NumPy's ``order="F"``. NumPy and torch themselves let the last one run fastest; that only
    permutes rows and columns, so ranks and singular values are the same.

    Args:
        a: a NumPy array or torch tensor (n₁, …, n_d), d ≥ 2, of any type.
        k: 1 to d - 1.

    Returns:
        The matrix (n₁⋯nₖ, nₖ₊₁⋯n_d).

    Raises:
        TypeError: neither a NumPy array nor a dense torch tensor; k that is no number.
        ValueError: fewer than two dimensions; k out of range.
    """
    library(a)
    k = _checked_k(k, a.ndim)
    rows, columns = math.prod(a.shape[:k]), math.prod(a.shape[k:])
    return _reverse(_reverse(a).reshape(columns, rows))


def fold(matrix, k, shape):
    """The tensor of that shape whose unfolding Aₖ is the matrix: the inverse of :func:`unfold`.

    Raises:
        TypeError: neither a NumPy array nor a dense torch tensor; no numbers.
        ValueError: k out of range, or a matrix that is not an unfolding of that shape.
    """
    library(matrix)
    shape = check_sizes("shape", shape, 0)
    k = _checked_k(k, len(shape))
    _check_shape(matrix, (math.prod(shape[:k]), math.prod(shape[k:])))
    return _reverse(_reverse(matrix).reshape(shape[::-1]))


def unfold_mode(a, mode):
    """The mode unfolding: index ``mode`` numbers the rows, all the others the columns.

    As in tensorly, the **last** of the other indices runs fastest (NumPy's own order). Kolda and
    Bader (2009) let the first run fastest: the same columns in another order, hence the same
    singular values and the same row space of factors, but another Khatri-Rao order in formulas.

    Args:
        a: a NumPy array or torch tensor (n₀, …), of any type.
        mode: 0 to d - 1.

    Returns:
        The matrix (n_mode, product of the others).

    Raises:
        TypeError: neither a NumPy array nor a dense torch tensor; a mode that is no number.
        ValueError: a mode out of range.
    """
    xp = library(a)
    mode = checks.whole("mode", mode, 0, a.ndim - 1)
    others = math.prod(a.shape) // a.shape[mode] if a.shape[mode] else 0
    return xp.moveaxis(a, mode, 0).reshape(a.shape[mode], others)


def fold_mode(matrix, mode, shape):
    """The tensor of that shape whose mode unfolding is the matrix: inverse of :func:`unfold_mode`.

    Raises:
        TypeError: neither a NumPy array nor a dense torch tensor; no numbers.
        ValueError: a mode out of range, or a matrix that is not an unfolding of that shape.
    """
    xp = library(matrix)
    shape = check_sizes("shape", shape, 0)
    mode = checks.whole("mode", mode, 0, len(shape) - 1)
    others = shape[:mode] + shape[mode + 1 :]
    _check_shape(matrix, (shape[mode], math.prod(others)))
    return xp.moveaxis(matrix.reshape(shape[mode], *others), 0, mode)


def _reverse(a):
    """The indices in reverse order; it turns one storage order into the other."""
    return a.permute(*range(a.ndim)[::-1]) if isinstance(a, torch.Tensor) else a.T


def _checked_k(k, d):
    if d < 2:
        raise ValueError(f"an unfolding needs at least two dimensions, not {d}")
    return checks.whole("k", k, 1, d - 1)


def _check_shape(matrix, expected):
    if tuple(matrix.shape) != expected:
        raise ValueError(f"the matrix must have shape {expected}, not {tuple(matrix.shape)}")
