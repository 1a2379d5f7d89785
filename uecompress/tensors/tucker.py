"""The Tucker decomposition: a small core and one matrix for each index.

A = C ×₁ U₁ ×₂ U₂ ⋯ ×_d U_d, with Uₖ (nₖ, rₖ) of orthonormal columns and C (r₁, …, r_d).
"""

import math
import warnings

from tensorly.decomposition import tucker as tensorly_tucker

from uecompress.tensors.arrays import check_tensor, like, to_torch
from uecompress.tensors.cp import tensorly_backend
from uecompress.tensors.svd import check_rank, truncated_svd
from uecompress.tensors.unfolding import fold_mode, unfold_mode


def mode_product(a, matrix, mode):
    """The product ``a`` ×_mode ``matrix``: every vector along that index times the matrix.

    Args:
        a: (n₀, …).
        matrix: (m, n_mode).
        mode: 0 to d - 1.

    Returns:
        The tensor with m in place of n_mode.
    """
    shape = (*a.shape[:mode], len(matrix), *a.shape[mode + 1 :])
    return fold_mode(matrix @ unfold_mode(a, mode), mode, shape)


def hosvd(a, ranks):
    """The higher-order SVD (De Lathauwer, De Moor and Vandewalle, 2000).

    Uₖ holds the leading left singular vectors of the unfolding of mode k, and the core is
    A ×₁ U₁ᵀ ⋯ ×_d U_dᵀ. The squared error is at most the sum of the squared tails of all modes, so
    the error is at most √d times the best possible at these ranks.

    Args:
        a: a NumPy array or torch tensor (n₁, …, n_d) of float32 or float64.
        ranks: (r₁, …, r_d), each 1 to min(nₖ, product of the others).

    Returns:
        The core (r₁, …, r_d) and a list of the d factors (nₖ, rₖ), of the kind of ``a``.

    Raises:
        TypeError: neither a NumPy array nor a torch tensor.
        ValueError: not a finite real tensor; not d ranks, or one out of range.
    """
    check_tensor(a)
    ranks = _checked_ranks(a.shape, ranks)
    factors = [truncated_svd(unfold_mode(a, k), rank=r)[0] for k, r in enumerate(ranks)]
    core = a
    for k, factor in enumerate(factors):
        core = mode_product(core, factor.T, k)
    return core, factors


def tucker(a, ranks, *, iterations=100, tol=1e-8):
    """A Tucker decomposition by higher-order orthogonal iteration, which starts from the HOSVD.

    The algorithm is tensorly's; each step replaces one factor by the best one for the others, so
    the error is never larger than that of :func:`hosvd`. There is no chance in it.

    Args:
        a: a NumPy array or torch tensor (n₁, …, n_d) of float32 or float64; the iteration runs in
            float64 on the CPU.
        ranks: (r₁, …, r_d), each 1 to min(nₖ, product of the others).
        iterations: at most so many sweeps over all factors.
        tol: stop when a sweep changes the relative error by less.

    Returns:
        The core (r₁, …, r_d) and a list of the d factors (nₖ, rₖ), of the kind of ``a``.

    Raises:
        TypeError, ValueError: as for :func:`hosvd`.
    """
    check_tensor(a)
    ranks = _checked_ranks(a.shape, ranks)
    values = to_torch(a).detach().cpu().double().numpy()
    scale = abs(values).max()  # so that squares neither overflow nor vanish
    if scale == 0:
        return hosvd(a, ranks)
    with tensorly_backend("numpy"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Trying to compute SVD with n_eigenvecs")  # harmless
        core, factors = tensorly_tucker(
            values / scale, ranks, n_iter_max=iterations, tol=tol, random_state=0
        )
    return like(scale * core, a), [like(factor, a) for factor in factors]


def tucker_full(core, factors):
    """The tensor (n₁, …, n_d) of a Tucker decomposition: core (r₁, …, r_d), factors (nₖ, rₖ)."""
    for k, factor in enumerate(factors):
        core = mode_product(core, factor, k)
    return core


def _checked_ranks(shape, ranks):
    ranks = tuple(ranks)
    if len(ranks) != len(shape):
        raise ValueError(f"expected {len(shape)} ranks, one for each dimension, not {ranks}")
    for n, rank in zip(shape, ranks, strict=True):
        check_rank(rank, min(n, math.prod(shape) // n))
    return ranks
