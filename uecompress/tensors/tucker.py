"""The Tucker decomposition: a small core and one matrix for each index.

A = C ×₁ U₁ ×₂ U₂ ⋯ ×_d U_d, with Uₖ (nₖ, rₖ) of orthonormal columns and C (r₁, …, r_d).
"""

import math
import warnings

import numpy as np
from tensorly.decomposition import tucker as tensorly_tucker

from uecompress import checks
from uecompress.tensors.arrays import (
    check_kind,
    check_sizes,
    check_tensor,
    fitting,
    library,
    like,
    scaled,
    to_torch,
    unscaled,
)
from uecompress.tensors.cp import MOST, tensorly_backend
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

    Raises:
        TypeError: what is neither a NumPy array nor a dense torch tensor, or a masked array.
        ValueError: a mode out of range; a matrix of another shape or type.
    """
    library(a)
    mode = checks.whole("mode", mode, 0, a.ndim - 1)
    check_kind(a, matrix, "the tensor and the matrix")
    if matrix.ndim != 2 or matrix.shape[1] != a.shape[mode]:
        raise ValueError(
            f"expected a matrix (m, {a.shape[mode]}) for mode {mode} of shape {tuple(a.shape)}, "
            f"not {tuple(matrix.shape)}"
        )
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
        TypeError: neither a NumPy array nor a dense torch tensor, or a masked array; ranks that
            are no numbers.
        ValueError: not a finite real tensor; not d ranks, or one out of range; a core that the
            type of ``a`` cannot hold.
    """
    check_tensor(a)
    ranks = _checked_ranks(a.shape, ranks)
    a, exponent = scaled(a)
    factors = [truncated_svd(unfold_mode(a, k), rank=r)[0] for k, r in enumerate(ranks)]
    core = a
    for k, factor in enumerate(factors):
        core = mode_product(core, factor.T, k)
    return unscaled(core, exponent, "the core"), factors


def tucker(a, ranks, *, iterations=100, tol=1e-8):
    """A Tucker decomposition by higher-order orthogonal iteration, which starts from the HOSVD.

    The algorithm is tensorly's; each step replaces one factor by the best one for the others, so
    the error is never larger than that of :func:`hosvd`. There is no chance in it.

    Args:
        a: a NumPy array or torch tensor (n₁, …, n_d) of float32 or float64; the iteration runs in
            float64 on the CPU.
        ranks: (r₁, …, r_d), each 1 to min(nₖ, product of the others).
        iterations: at most so many sweeps over all factors, 1 to 10⁶.
        tol: stop when a sweep changes the relative error by less; at least 0.

    Returns:
        The core (r₁, …, r_d) and a list of the d factors (nₖ, rₖ), of the kind of ``a``.

    Raises:
        TypeError, ValueError: as for :func:`hosvd`; an option that is no number, or out of range.
    """
    check_tensor(a)
    ranks = _checked_ranks(a.shape, ranks)
    iterations = checks.whole("iterations", iterations, 1, MOST)
    tol = checks.within("tol", tol, 0, math.inf, open_high=True)
    values = to_torch(a).detach().cpu().double().numpy()
    scale = abs(values).max()  # so that squares neither overflow nor vanish
    if scale == 0 or a.ndim == 1:
        return hosvd(a, ranks)
    with tensorly_backend("numpy"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Trying to compute SVD with n_eigenvecs")  # harmless
        core, factors = tensorly_tucker(
            values / scale, ranks, n_iter_max=iterations, tol=tol, random_state=0
        )
    with np.errstate(over="ignore"):
        core = scale * core
    return fitting(core, a, "the core"), [like(factor, a) for factor in factors]


def tucker_full(core, factors):
    """The tensor (n₁, …, n_d) of a Tucker decomposition: core (r₁, …, r_d), factors (nₖ, rₖ).

    Raises:
        TypeError, ValueError: not d factors, or as for :func:`mode_product`.
    """
    library(core)
    factors = list(factors)
    if len(factors) != core.ndim:
        raise ValueError(f"a core of {core.ndim} dimensions has as many factors: {len(factors)}")
    for k, factor in enumerate(factors):
        core = mode_product(core, factor, k)
    return core


def _checked_ranks(shape, ranks):
    ranks = check_sizes("ranks", ranks)
    if len(ranks) != len(shape):
        raise ValueError(f"expected {len(shape)} ranks, one for each dimension, not {ranks}")
    limits = (min(n, math.prod(shape) // n) for n in shape)
    return tuple(check_rank(r, most) for r, most in zip(ranks, limits, strict=True))
