"""TT-cross: a tensor train of given ranks from some of the entries of a tensor."""

import math

import numpy as np

from uecompress.tensors.cross import (
    ROUNDING,
    check_options,
    extend,
    fill,
    finished,
    interpolate,
    is_count,
    no_sets,
    relative_error,
    turned_sets,
)
from uecompress.tensors.entries import NO_INDEX, Entries, all_indices


def tt_cross(f, shape, rank, *, sweeps=4, eps=1e-8, seed=0):
    """Interpolate a tensor in the tensor-train format, with given ranks.

    Oseledets and Tyrtyshnikov (2010). Start with random column sets Jₖ, multi-indices of the
    dimensions after k. A sweep chooses row sets Iₖ: from the entries at Iₖ₋₁ × {1, …, nₖ} × Jₖ
    those rows of maximal volume. They are the column sets of the sweep back. Each sweep gives a
    train; we stop when it changes little at 1,000 random points.

    A feature that the crosses do not meet, such as a narrow peak, is missed, and no estimate that
    is made of the same entries says so.

    Args:
        f: takes multi-indices (n, d), int64, counted from 0; returns n real numbers, as a NumPy
            array or torch tensor of shape (n,). It is not asked for an entry twice.
        shape: (n₁, …, n_d).
        rank: r₁ = … = r_{d−1}, or all d − 1 of them. Where a sweep finds that a smaller rank
            is exact to rounding, or no larger one is possible, the train has the smaller rank.
        sweeps: the largest number of sweeps, there or back.
        eps: the relative change from one sweep to the next at which to stop.
        seed: of the first column sets and the points.

    Returns:
        A :class:`TensorTrain` of float64 NumPy cores with two more attributes: ``evaluations``,
        the number of different entries that ``f`` was asked for, of order d·n·r² for each sweep,
        and ``error_estimate``, the last change.

    Raises:
        ValueError: a shape, rank, eps or number of sweeps out of range; a function that returns
            the wrong shape, complex numbers, or a number that is not finite (the message has its
            index). What the function itself raises is not caught.
    """
    entries = Entries(f, shape)
    check_options(eps, sweeps=sweeps)
    ranks = possible_ranks(rank, entries.shape)
    rng = np.random.default_rng(seed)
    points = rng.integers(0, entries.shape, size=(1000, len(entries.shape)))
    right, before, error = no_sets(entries.shape), None, math.inf
    for _ in range(sweeps):
        right = fill(right, entries.shape, ranks, rng)  # sets are short where f lacked rank
        left, cores = sweep(entries, right)
        train = finished(cores, entries, error)
        values = train.at(points)
        if before is not None:
            train.error_estimate = error = relative_error(before, values)
            if error <= eps:
                break
        before = values
        entries.turn()
        ranks, right = ranks[::-1], turned_sets(left)
    return train


def sweep(entries, right):
    """Choose row sets I₀, …, I_{d−1} for the column sets; return them and the cores."""
    left, cores = [NO_INDEX], []
    for k, n in enumerate(entries.shape):
        block = entries.block(left[k], all_indices(n), right[k])  # (rₖ₋₁, nₖ, rₖ)
        if k == len(right) - 1:
            return left, [*cores, block]
        rows, core = interpolate(block.reshape(-1, block.shape[2]), ROUNDING)  # (rₖ₋₁nₖ, rₖ)
        cores.append(core.reshape(len(left[k]), n, -1))
        left.append(extend(left[k], n, rows))


def possible_ranks(rank, shape):
    """The d − 1 ranks asked for, none larger than a side of its unfolding."""
    d, one = len(shape), np.ndim(rank) == 0
    ranks = [rank] if one else list(rank)
    if not all(is_count(r) for r in ranks):
        raise ValueError(f"ranks must be whole numbers of at least 1, not {rank}")
    if not one and len(ranks) != d - 1:
        raise ValueError(f"a tensor of {d} dimensions has {d - 1} ranks, not {len(ranks)}")
    sides = [(math.prod(shape[:k]), math.prod(shape[k:])) for k in range(1, d)]
    return [min(r, *side) for r, side in zip(ranks * (d - 1) if one else ranks, sides, strict=True)]
