"""Maximal volume: the r rows of a tall matrix whose r × r determinant is largest, nearly.

Those rows are the good ones to interpolate from: every other row is a combination of them with
coefficients of at most about 1 in absolute value.
"""

import math
import warnings

import numpy as np

from uecompress import checks
from uecompress.tensors.arrays import refuse_masked, scaled_columns
from uecompress.tensors.svd import check_matrix


def maxvol(a, tolerance=1.05, max_iterations=1000):
    """Rows of ``a`` whose square submatrix has, up to a tolerance, the largest volume.

    Goreinov, Oseledets, Savostyanov, Tyrtyshnikov and Zamarashkin (2010), *How to find a good
    submatrix*. Write A = C Â with Â = A[rows]. Putting row i in the place of the j-th chosen row
    multiplies ``|det Â|`` by ``|cᵢⱼ|``. So: while some ``|cᵢⱼ|`` is above the tolerance, make that
    exchange; the volume grows with each, so this ends. C does not change when A is multiplied by an
    invertible matrix from the right, so we work with the Q of its QR decomposition and never
    invert an ill-conditioned matrix.

    Args:
        a: a matrix (m, r) with m ≥ r and linearly independent columns, float32 or float64.
        tolerance: the bound on the entries of C, at least 1.
        max_iterations: the largest number of exchanges, 1 to 10⁶.

    Returns:
        ``rows`` (r,), int64, all different, and C = A Â⁻¹ (m, r), float64, which has the identity
        in ``rows``.

    Warns:
        RuntimeWarning: entries of C above the tolerance after the last exchange allowed.

    Raises:
        TypeError: a masked array; an option that is no number.
        ValueError: not a finite real matrix, more columns than rows, a column that depends on
            those before it (every r × r submatrix is singular), or an option out of range.
    """
    refuse_masked(a)
    a = np.asarray(a)
    check_matrix(a)
    m, r = a.shape
    if m < r:
        raise ValueError(f"maxvol needs at least as many rows as columns, not shape {(m, r)}")
    tolerance = checks.within("tolerance", tolerance, 1, math.inf, open_high=True)
    max_iterations = checks.whole("max_iterations", max_iterations, 1, 10**6)
    q = _independent_columns(scaled_columns(a.astype(np.float64))[0])  # with the same C
    rows = _pivot_rows(q)
    c = np.linalg.solve(q[rows].T, q.T).T
    for _ in range(max_iterations):
        i, j = divmod(int(np.abs(c).argmax()), r)
        if abs(c[i, j]) <= tolerance:
            break
        rows[j] = i
        change = c[i].copy()
        change[j] -= 1
        c -= np.outer(c[:, j], change / c[i, j])  # Sherman and Morrison: Â has one new row
    else:
        largest = np.abs(c).max()
        if largest > tolerance:
            warnings.warn(
                f"no more exchanges: an entry of C is {largest:.3g}, above {tolerance}",
                RuntimeWarning,
                stacklevel=2,
            )
    return rows, np.linalg.solve(q[rows].T, q.T).T


def _independent_columns(a):
    """An orthonormal basis (m, r) of the columns; ValueError where one depends on the others."""
    q, r = np.linalg.qr(a)
    sizes = np.abs(r).max(axis=0)  # of the columns of a
    distances = np.abs(np.diagonal(r))  # of each column from the span of those before it
    dependent = np.flatnonzero(distances <= len(a) * np.finfo(np.float64).eps * sizes)
    if dependent.size:
        raise ValueError(
            f"every square submatrix is singular: column {dependent[0]} is a combination of "
            "the columns before it"
        )
    return q


def _pivot_rows(q):
    """The rows that Gaussian elimination with row pivoting chooses: where maxvol starts."""
    rest = q.copy()
    rows = np.empty(q.shape[1], dtype=np.int64)
    for j in range(q.shape[1]):
        rows[j] = np.abs(rest[:, j]).argmax()
        pivot = rest[rows[j]]
        rest = rest - np.outer(rest[:, j] / pivot[j], pivot)
        rest[rows[: j + 1]] = 0  # exactly: a row is not chosen twice
    return rows
