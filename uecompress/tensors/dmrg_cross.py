"""DMRG-cross: a tensor train of given accuracy from some entries, two dimensions at a time."""

import numpy as np

from uecompress.tensors.cross import (
    check_at_random,
    check_options,
    extend,
    fill,
    finished,
    interpolate,
    left_products,
    no_sets,
    relative_error,
    right_products,
    share,
    turn,
    turned_cores,
    validated,
    warn_above,
)
from uecompress.tensors.entries import NO_INDEX, Entries, all_indices

KICK = 1  # how many random columns are added to each set before a sweep


def dmrg_cross(f, shape, eps, *, max_rank=None, sweeps=10, seed=0):
    """Interpolate a tensor in the tensor-train format, with ranks that follow from the accuracy.

    Savostyanov and Oseledets (2011). A sweep takes two neighbouring dimensions at once: the
    entries at Iₖ₋₁ × {1, …, nₖ} × {1, …, nₖ₊₁} × Jₖ₊₁, as a matrix with Iₖ₋₁ × {1, …, nₖ} for
    its rows, have a truncated singular value decomposition, which gives rₖ whatever it was
    before, and Iₖ are the rows of maximal volume. One random column is added to each column set.
    We stop when the last train predicts the entries of a whole sweep to ``eps``.

    A feature that neither the crosses nor random entries meet, such as a narrow peak, is missed,
    and no estimate says so.

    Args:
        f: takes multi-indices (n, d), int64, counted from 0; returns n real numbers, as a NumPy
            array or torch tensor of shape (n,). It is not asked for an entry twice.
        shape: (n₁, …, n_d).
        eps: the relative error to aim at, in the Frobenius norm; below 1e-13 it counts as 1e-13.
        max_rank: the largest rank allowed, if any. One too small for ``eps`` costs all the sweeps.
            Without it, a function that has no small ranks is asked for nearly all its entries.
        sweeps: the largest number of sweeps, there or back, 1 to 1,000.
        seed: of the random multi-indices.

    Returns:
        A :class:`TensorTrain` of float64 NumPy cores with three more attributes: ``evaluations``,
        the number of different entries that ``f`` was asked for, of order d·n²·r² for each sweep,
        ``error_estimate``, the relative error of the last but one train at the entries of the
        last sweep or, if larger, that of the train at 100 random entries; and ``validations``, how
        many of these were asked for after the last sweep, in vain.

    Warns:
        RuntimeWarning: ``error_estimate`` is above ``eps`` after the last sweep.

    Raises:
        TypeError: an option that is no number; a function that returns a masked array.
        ValueError: a shape, eps, rank or number of sweeps out of range; a function that returns
            the wrong shape, complex numbers, or a number that is not within ±1e300 (the message has
            its index). What the function itself raises is not caught.
    """
    entries = Entries(f, shape)
    eps, sweeps, max_rank, rng = check_options(eps, sweeps, max_rank, seed)
    d = len(entries.shape)
    if d == 1:
        everything = entries.block(NO_INDEX, all_indices(*entries.shape), NO_INDEX)
        return finished([everything], entries, 0.0)
    right, before = fill(no_sets(entries.shape), entries.shape, [KICK] * (d - 1), rng), None
    for _ in range(sweeps):
        left, cores, error = _sweep(entries, right, before, share(eps, d), max_rank)
        wrong = []
        if error <= eps:
            worst, wrong = check_at_random(cores, entries, rng)
            error = max(error, worst)
        if error <= eps:
            return finished(cores, entries, error)
        counts = [len(rows) + KICK for rows in left]
        right, before = turn(entries, left, wrong, counts, rng), turned_cores(cores)
    train = validated(before, entries, error, rng)
    warn_above(train.error_estimate, eps)
    return train


def _sweep(entries, right, before, eps, max_rank):
    """One sweep, from the column sets ``right`` and the cores ``before`` of the last train.

    Returns:
        The row sets I₀, …, I_{d−1}; the cores; the relative error of the last train at all
        entries of the sweep, infinite if there is none.
    """
    left, cores, blocks, guesses = [NO_INDEX], [], [], []
    for k in range(len(entries.shape) - 1):
        n, m = entries.shape[k : k + 2]
        block = entries.block(left[k], all_indices(n), all_indices(m), right[k + 1])
        blocks.append(block.ravel())
        if before:
            guesses.append(_predict(before, k, left[k], right[k + 1]).ravel())
        block = block.reshape(len(left[k]) * n, -1)  # (rₖ₋₁nₖ, nₖ₊₁rₖ₊₁)
        rows, core = interpolate(block, eps, max_rank)
        left.append(extend(left[k], n, rows))
        cores.append(core.reshape(len(left[k]), n, -1))
    cores.append(block[rows].reshape(-1, m, 1))
    error = relative_error(np.concatenate(guesses), np.concatenate(blocks)) if before else np.inf
    return left, cores, error


def _predict(cores, k, left, right):
    """The train's entries at ``left`` × {0, …, nₖ − 1} × {0, …, nₖ₊₁ − 1} × ``right``."""
    rows = np.tensordot(left_products(cores[:k], left), cores[k], 1)  # (|left|, nₖ, rₖ)
    rows = np.tensordot(rows, cores[k + 1], 1)  # (|left|, nₖ, nₖ₊₁, rₖ₊₁)
    return rows @ right_products(cores[k + 2 :], right)
