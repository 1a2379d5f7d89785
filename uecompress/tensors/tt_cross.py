"""TT-cross: a tensor train of given ranks from some of the entries of a tensor."""

import math

import numpy as np

from uecompress import checks
from uecompress.tensors.arrays import check_sizes
from uecompress.tensors.cross import (
    ROUNDING,
    check_sweeps,
    extend,
    fill,
    finished,
    interpolate,
    no_sets,
    relative_error,
    turned_cores,
    turned_sets,
    validated,
)
from uecompress.tensors.entries import NO_INDEX, Entries, all_indices, check_count
from uecompress.tensors.svd import check_eps


def tt_cross(f, shape, rank, *, sweeps=4, eps=1e-8, seed=0):
    """Interpolate a tensor in the tensor-train format, with given ranks.

    Oseledets and Tyrtyshnikov (2010). Start with random column sets Jₖ, multi-indices of the
    dimensions after k. A sweep chooses row sets Iₖ: from the entries at Iₖ₋₁ × {1, …, nₖ} × Jₖ
    those rows of maximal volume. They are the column sets of the sweep back. Each sweep gives a
    train; we stop when it changes little at 1,000 random points. That the train no longer changes
    does not mean that it is right: for its error, the function is asked for 100 random entries.

    A feature that neither the crosses nor random entries meet, such as a narrow peak, is missed,
    and no estimate says so.

    Args:
        f: takes multi-indices (n, d), int64, counted from 0; returns n real numbers, as a NumPy
            array or torch tensor of shape (n,). It is not asked for an entry twice.
        shape: (n₁, …, n_d).
        rank: r₁ = … = r_{d−1}, or all d − 1 of them. Where a sweep finds that a smaller rank
            is exact to rounding, or no larger one is possible, the train has the smaller rank.
        sweeps: the largest number of sweeps, there or back, 1 to 1,000.
        eps: the relative change from one sweep to the next at which to stop.
        seed: of the first column sets and the points.

    Returns:
        A :class:`TensorTrain` of float64 NumPy cores with three more attributes: ``evaluations``,
        the number of different entries that ``f`` was asked for, of order d·n·r² for each sweep;
        ``error_estimate``, the relative error of the train at 100 random entries; and
        ``validations``, how many of these are not among the evaluations.

    Raises:
        TypeError: an option that is no number; a function that returns a masked array.
        ValueError: a shape, rank, eps or number of sweeps out of range; a function that returns
            the wrong shape, complex numbers, or a number that is not within ±1e300 (the message has
            its index). What the function itself raises is not caught.
    """
    entries = Entries(f, shape)
    eps, sweeps = check_eps(eps), check_sweeps(sweeps)
    ranks = _possible_ranks(rank, entries.shape)
    rng = np.random.default_rng(checks.seed(seed))
    points = rng.integers(0, entries.shape, size=(1000, len(entries.shape)))
    right, before = no_sets(entries.shape), None
    for _ in range(sweeps):
        right = fill(right, entries.shape, ranks, rng)  # sets are short where f lacked rank
        left, cores = _sweep(entries, right)
        values = finished(cores, entries, 0.0).at(points)
        if before is not None and relative_error(before, values) <= eps:
            break
        before = values
        entries.turn()
        cores, ranks, right = turned_cores(cores), ranks[::-1], turned_sets(left)
    return validated(cores, entries, 0.0, rng)


def _sweep(entries, right):
    """Choose row sets I₀, …, I_{d−1} for the column sets; return them and the cores."""
    left, cores = [NO_INDEX], []
    for k, n in enumerate(entries.shape):
        block = entries.block(left[k], all_indices(n), right[k])  # (rₖ₋₁, nₖ, rₖ)
        if k == len(right) - 1:
            return left, [*cores, block]
        rows, core = interpolate(block.reshape(-1, block.shape[2]), ROUNDING)  # (rₖ₋₁nₖ, rₖ)
        cores.append(core.reshape(len(left[k]), n, -1))
        left.append(extend(left[k], n, rows))


def _possible_ranks(rank, shape):
    """The d − 1 ranks asked for, none larger than a side of its unfolding."""
    d = len(shape)
    one = np.ndim(rank) == 0
    ranks = (checks.whole("rank", rank),) * (d - 1) if one else check_sizes("rank", rank)
    if len(ranks) != d - 1:
        raise ValueError(f"a tensor of {d} dimensions has {d - 1} ranks, not {len(ranks)}")
    sides = [(math.prod(shape[:k]), math.prod(shape[k:])) for k in range(1, d)]
    ranks = [min(r, *side) for r, side in zip(ranks, sides, strict=True)]
    for before, n, after in zip((1, *ranks), shape, (*ranks, 1), strict=True):
        check_count(before * n * after)
    return ranks
