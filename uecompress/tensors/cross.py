"""What the cross methods share: entries of a tensor on demand, index sets, and interpolation.

A cross method builds a tensor train from few entries of a tensor that is given as a function.
For a matrix it is the skeleton decomposition: with r rows I and r columns J of A, and
C = A[:, J], Â = A[I, J], R = A[I, :], we have A = C Â⁻¹ R if A has rank r. If it has that rank
only nearly, and Â has the largest volume of all r × r submatrices, no entry of A − C Â⁻¹ R is
larger than (r + 1) σᵣ₊₁ (Goreinov and Tyrtyshnikov 2001). In d dimensions the same is done with
every unfolding. The row sets are nested: the indices Iₖ, of the first k dimensions, are taken from
Iₖ₋₁ × {1, …, nₖ}, so the coefficients (Q Q̂⁻¹ in :func:`interpolate`) are the cores of a train
(Oseledets and Tyrtyshnikov 2010).

Every sweep here runs from left to right. The sweep from right to left is a sweep from left to
right over the tensor with its dimensions in reverse order: that is what "turned" means below.
"""

import math
import warnings

import numpy as np

from uecompress import checks
from uecompress.tensors.arrays import scaled
from uecompress.tensors.entries import NO_INDEX
from uecompress.tensors.maxvol import maxvol
from uecompress.tensors.svd import check_eps, rank_for_error
from uecompress.tensors.tensor_train import TensorTrain

ROUNDING = 1e-13  # relative errors below this are the noise of float64
MOST_SWEEPS = 1000


def interpolate(matrix, eps, max_rank=None):
    """Rows of a matrix from which the others follow, and how.

    Q (m, r) are the leading left singular vectors, the rows are those of maximal volume in Q, and
    Q̂ = Q[rows]. Then A ≈ (Q Q̂⁻¹) A[rows].

    Args:
        matrix: A, of shape (m, n).
        eps: the relative error of the truncation of the singular value decomposition to rank r.
        max_rank: the largest r, if any.

    Returns:
        ``rows`` (r,) and Q Q̂⁻¹ (m, r). A zero matrix has r = 1.
    """
    u, s, _ = np.linalg.svd(scaled(matrix)[0], full_matrices=False)
    r = rank_for_error(s / s[0], eps) if s[0] > 0 else 1
    return maxvol(u[:, : min(r, max_rank or r)])


def share(eps, d):
    """The error that each of the d − 1 interpolations may make for ``eps`` in all.

    As in the TT-SVD eps / √(d − 1), but a tenth of it: the coefficients of an interpolation are
    not orthogonal, so they magnify the errors of what they are applied to.
    """
    return 0.1 * eps / math.sqrt(max(1, d - 1))


def extend(left, n, rows):
    """The multi-indices of ``rows`` of a matrix whose rows are ``left`` × {0, …, n − 1}."""
    return np.concatenate([left[rows // n], (rows % n)[:, None]], axis=1)


def no_sets(shape):
    """For each dimension the empty set of multi-indices of the dimensions after it."""
    return [np.zeros((0, len(shape) - 1 - k), dtype=np.int64) for k in range(len(shape))]


def fill(right, shape, counts, rng):
    """Add random multi-indices to each ``right[k]``, of the dimensions after k, up to counts[k]."""
    filled = [
        add_random(indices, shape[k + 1 :], count, rng)
        for k, (indices, count) in enumerate(zip(right[:-1], counts, strict=True))
    ]
    return [*filled, NO_INDEX]


def add_random(indices, shape, count, rng):
    """Add random rows to ``indices`` (m, len(shape)) up to ``count``, no two of them alike.

    Where the shape has fewer than ``count`` multi-indices, the result has all of them.
    """
    indices, count = distinct(indices), min(count, math.prod(shape))
    while len(indices) < count:
        drawn = rng.integers(0, shape, size=(count - len(indices), len(shape)))
        indices = distinct(np.concatenate([indices, drawn]))
    return indices


def distinct(indices):
    """The rows without repetition, each where it comes first."""
    return indices[np.sort(np.unique(indices, axis=0, return_index=True)[1])]


def turn(entries, left, wrong, counts, rng):
    """Turn the tensor, and make the column sets of the sweep back.

    Args:
        entries: of the tensor; they are turned.
        left: I₀, …, I_{d−1}, the row sets of the last sweep, enriched or not.
        wrong: at most one multi-index (d,) for the crosses to go through.
        counts: how many multi-indices to have for each row set, filled up with random ones.
        rng: where the random ones come from.
    """
    entries.turn()
    right = [
        np.vstack([rows, *(index[::-1][k + 1 :] for index in wrong)])
        for k, rows in enumerate(turned_sets(left))
    ]
    return fill(right, entries.shape, counts[:0:-1], rng)


def check_at_random(cores, entries, rng):
    """Ask for 100 random entries, to see whether a train has them.

    Returns:
        The largest error, as a part of the largest entry known, and a list of the multi-index
        (d,) where that is.
    """
    points = rng.integers(0, entries.shape, size=(100, len(entries.shape)))
    errors = np.abs(left_products(cores, points)[:, 0] - entries.at(points))
    worst = errors.argmax()
    return errors[worst] / (entries.largest or 1.0), [points[worst]]


def left_products(cores, left):
    """G₁[i₁] ⋯ Gₖ[iₖ] for multi-indices (m, k): (m, rₖ)."""
    rows = np.ones((len(left), 1))
    for core, i in zip(cores, left.T, strict=True):
        rows = np.einsum("ma,amb->mb", rows, core[:, i])
    return rows


def right_products(cores, right):
    """Gₖ₊₁[iₖ₊₁] ⋯ G_d[i_d] for multi-indices (m, d − k): (rₖ, m)."""
    return left_products(turned_cores(cores), right[:, ::-1]).T


def turned_cores(cores):
    """The train of the tensor with its dimensions in reverse order."""
    return [core.transpose(2, 1, 0) for core in cores[::-1]]


def turned_sets(sets):
    """Sets of multi-indices of the tensor with its dimensions in reverse order."""
    return [indices[:, ::-1] for indices in sets[::-1]]


def relative_error(values, exact):
    """‖values − exact‖ / ‖exact‖ of two vectors; 0 if they are equal."""
    scale = max(np.abs(values).max(), np.abs(exact).max()) or 1.0  # so that no square overflows
    difference = np.linalg.norm(values / scale - exact / scale)
    norm = np.linalg.norm(exact / scale)
    return float(difference / norm) if norm else math.inf if difference else 0.0


def finished(cores, entries, error):
    """The train in the function's order of dimensions, with what it cost and its error estimate."""
    train = TensorTrain(turned_cores(cores) if entries.turned else cores)
    train.evaluations, train.validations = entries.evaluations, 0
    train.error_estimate = error
    return train


def validated(cores, entries, error, rng):
    """As :func:`finished`, for a train that no entry outside its crosses has been compared with.

    The error estimate is ``error`` or, if larger, the relative error at 100 random entries, which
    the function is asked for now.
    """
    train = finished(cores, entries, error)
    points = rng.integers(0, entries.shape, size=(100, len(entries.shape)))
    values, exact = left_products(cores, points)[:, 0], entries.at(points)
    if not exact.any():  # as a part of the largest entry known
        values, exact = (np.append(v, entries.largest) for v in (values, exact))
    train.error_estimate = max(error, relative_error(values, exact))
    train.validations = entries.evaluations - train.evaluations
    return train


def warn_above(error, eps):
    """Warn the caller of a cross method that it used up its sweeps."""
    warnings.warn(
        f"no more sweeps: the estimated error is {error:.1e}, above eps = {eps:.1e}",
        RuntimeWarning,
        stacklevel=3,
    )


def check_sweeps(sweeps):
    """The number of sweeps as an int, if it is a whole number from 1 to 1,000."""
    return checks.whole("sweeps", sweeps, 1, MOST_SWEEPS)


def check_options(eps, sweeps, max_rank, seed):
    """The options of a cross method with an accuracy, if they are in range: see there."""
    max_rank = None if max_rank is None else checks.whole("max_rank", max_rank)
    rng = np.random.default_rng(checks.seed(seed))
    return max(check_eps(eps), ROUNDING), check_sweeps(sweeps), max_rank, rng
