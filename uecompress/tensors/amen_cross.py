"""AMEn-cross: a tensor train of given accuracy from some entries, one dimension at a time."""

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

KICK = 2  # how many more columns than rows a sweep has: what ranks can grow by


def amen_cross(f, shape, eps, *, max_rank=None, sweeps=25, seed=0):
    """Interpolate a tensor in the tensor-train format, with ranks that follow from the accuracy.

    The sweeps of :func:`tt_cross`, one dimension at a time, but with :data:`KICK` more columns
    than ranks found so far, so that ranks can grow; a truncated singular value decomposition
    lets them shrink. That is the idea of AMEn (Dolgov and Savostyanov 2014; for cross
    interpolation it is ``amen_cross`` in the TT-Toolbox): enrich with the residual. Here each
    row set gets, for the sweep back, the row where the last train is most wrong after the chosen
    rows have been interpolated, and a random multi-index. We stop when the last train predicts
    the entries of a whole sweep to ``eps``, and the new one 100 random entries.

    A feature that neither the crosses nor random entries meet, such as a narrow peak, is missed,
    and no estimate says so.

    Args:
        f: takes multi-indices (n, d), int64, counted from 0; returns n real numbers, as a NumPy
            array or torch tensor of shape (n,). It is not asked for an entry twice.
        shape: (n₁, …, n_d).
        eps: the relative error to aim at, in the Frobenius norm; below 1e-13 it counts as 1e-13.
        max_rank: the largest rank allowed, if any. One too small for ``eps`` costs all the sweeps.
        sweeps: the largest number of sweeps, there or back, 1 to 1,000.
        seed: of the random multi-indices.

    Returns:
        A :class:`TensorTrain` of float64 NumPy cores with three more attributes: ``evaluations``,
        the number of different entries that ``f`` was asked for, of order d·n·r² for each sweep,
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
    right, before = fill(no_sets(entries.shape), entries.shape, [KICK] * (d - 1), rng), None
    for _ in range(sweeps):
        left, enriched, cores, error = _sweep(entries, right, before, share(eps, d), max_rank)
        wrong = []
        if error <= eps:
            worst, wrong = check_at_random(cores, entries, rng)
            error = max(error, worst)
        if error <= eps:
            return finished(cores, entries, error)
        counts = [len(rows) + KICK for rows in left]
        right, before = turn(entries, enriched, wrong, counts, rng), turned_cores(cores)
    train = validated(before, entries, error, rng)
    warn_above(train.error_estimate, eps)
    return train


def _sweep(entries, right, before, eps, max_rank):
    """One sweep, from the column sets ``right`` and the cores ``before`` of the last train.

    Returns:
        The row sets I₀, …, I_{d−1}; the same enriched; the cores; the relative error of the last
        train at all entries of the sweep, infinite if there is none.
    """
    left, enriched, cores, blocks, guesses = [NO_INDEX], [NO_INDEX], [], [], []
    for k, n in enumerate(entries.shape):
        block = entries.block(left[k], all_indices(n), right[k]).reshape(-1, len(right[k]))
        guess = _predict(before, k, left[k], right[k]) if before else 0 * block
        blocks.append(block.ravel())
        guesses.append(guess.ravel())
        if k == len(right) - 1:
            break
        rows, core = interpolate(block, eps, max_rank)  # (rₖ₋₁nₖ, rₖ)
        residual = block - guess
        residual = np.abs(residual - core @ residual[rows]).max(axis=1)
        worst = residual.argmax()
        left.append(extend(left[k], n, rows))
        enriched.append(extend(left[k], n, rows if worst in rows else np.append(rows, worst)))
        cores.append(core.reshape(len(left[k]), n, -1))
    cores.append(block.reshape(-1, n, 1))
    error = relative_error(np.concatenate(guesses), np.concatenate(blocks)) if before else np.inf
    return left, enriched, cores, error


def _predict(cores, k, left, right):
    """The train's entries at ``left`` × {0, …, nₖ − 1} × ``right``, as a matrix."""
    rows = np.tensordot(left_products(cores[:k], left), cores[k], 1)  # (|left|, nₖ, rₖ)
    return (rows @ right_products(cores[k + 1 :], right)).reshape(-1, len(right))
