"""The singular value decomposition: truncated, randomized, and the error of each truncation.

Matrices are NumPy arrays or torch tensors, float32 or float64; what goes in comes out.
"""

import math

import numpy as np
import torch

from uecompress import checks
from uecompress.tensors.arrays import check_tensor, refuse_masked, scaled, unscaled


def truncated_svd(a, *, rank=None, eps=None):
    """The best approximation of ``a`` of a given rank, or the smallest of a given accuracy.

    Eckart and Young (1936): no matrix of rank r is closer to ``a``, in the Frobenius norm, than
    ``(u * s) @ vh`` with the r largest singular values.

    Args:
        a: a matrix (m, n).
        rank: the number of singular values to keep, 1 to min(m, n).
        eps: instead of ``rank``, the relative error to stay within, in the Frobenius norm.

    Returns:
        ``u`` (m, r), ``s`` (r,) in descending order, ``vh`` (r, n).

    Raises:
        TypeError: neither a NumPy array nor a dense torch tensor, or a masked array; a rank or
            ``eps`` that is no number.
        ValueError: not a finite, non-empty matrix; a rank or ``eps`` out of range; not exactly one
            of the two; a largest singular value that the type of ``a`` cannot hold.
    """
    xp = check_matrix(a)
    if (rank is None) == (eps is None):
        raise ValueError("give either rank or eps")
    if rank is not None:
        rank = check_rank(rank, min(a.shape))
    else:
        eps = check_eps(eps)
    a, exponent = scaled(a)
    u, s, vh = xp.linalg.svd(a, full_matrices=False)
    if rank is None:
        rank = rank_for_error(s, eps)
    return u[:, :rank], unscaled(s[:rank], exponent, "the largest singular value"), vh[:rank]


def truncation_error(s, rank):
    """The Frobenius error of the rank-``rank`` truncation: the root of the tail's energy.

    Args:
        s: all singular values, in descending order.
        rank: how many are kept, 0 to len(s).

    Raises:
        TypeError: singular values or a rank that are no numbers.
        ValueError: singular values that are not finite, of one dimension and descending to no
            less than 0; a rank out of range.
    """
    s = _spectrum(s)
    tail = s[checks.whole("rank", rank, 0, len(s)) :]
    largest = float(tail[0]) if len(tail) else 0.0  # so that squares neither overflow nor vanish
    return largest * math.hypot(*(tail / largest)) if largest else 0.0


def rank_for_error(s, eps):
    """The smallest rank, at least 1, whose truncation error is at most ``eps`` times the norm.

    Args:
        s: all singular values, in descending order.
        eps: the relative error in the Frobenius norm, at least 0.

    Raises:
        TypeError, ValueError: as for :func:`truncation_error`; no singular values.
    """
    eps, s = check_eps(eps), _spectrum(s)
    if len(s) == 0:
        raise ValueError("the singular values must be at least one")
    s = s / s[0].clamp(min=torch.finfo(s.dtype).tiny)  # so that squares cannot underflow
    tails = s.square().flip(0).cumsum(0).flip(0).sqrt()  # tails[r] is the error of rank r
    return max(1, int((tails > eps * tails[0]).sum()))


def randomized_svd(a, rank, *, oversampling=10, iterations=4, seed=0):
    """An approximate truncated SVD from a few products with ``a``.

    Halko, Martinsson and Tropp (2011), algorithms 4.4 and 5.1: the range of ``a`` is found by
    multiplying it with ``rank + oversampling`` random vectors; each power iteration, a product
    with ``a aᵀ``, makes the large singular values stand out more.

    Args:
        a: a matrix (m, n).
        rank: the number of singular values to keep, 1 to min(m, n).
        oversampling: extra random vectors, at least 0.
        iterations: power iterations, 0 to 1,000.
        seed: of the random vectors; the same for NumPy and torch.

    Returns:
        ``u`` (m, rank), ``s`` (rank,), ``vh`` (rank, n).

    Raises:
        TypeError, ValueError: as for :func:`truncated_svd`, for all options.
    """
    xp = check_matrix(a)
    rank = check_rank(rank, min(a.shape))
    oversampling = checks.whole("oversampling", oversampling, 0)
    iterations = checks.whole("iterations", iterations, 0, 1000)
    a, exponent = scaled(a)
    width = min(rank + oversampling, *a.shape)
    noise = np.random.default_rng(checks.seed(seed)).standard_normal((a.shape[1], width))
    if xp is torch:
        noise = torch.as_tensor(noise, dtype=a.dtype, device=a.device)
    else:
        noise = noise.astype(a.dtype)
    q = xp.linalg.qr(a @ noise)[0]  # (m, width), orthonormal columns
    for _ in range(iterations):
        q = xp.linalg.qr(a.T @ q)[0]
        q = xp.linalg.qr(a @ q)[0]
    u, s, vh = xp.linalg.svd(q.T @ a, full_matrices=False)
    s = unscaled(s[:rank], exponent, "the largest singular value")
    return (q @ u)[:, :rank], s, vh[:rank]


def check_matrix(a):
    """Return the library of ``a``, a finite, non-empty real matrix of float32 or float64."""
    xp = check_tensor(a, "matrix")
    if a.ndim != 2:
        raise ValueError(f"expected a matrix, not shape {tuple(a.shape)}")
    return xp


def check_rank(rank, maximum=None):
    """``rank`` as an int, if it is a whole number of at least 1 and at most ``maximum``."""
    return checks.whole("rank", rank, 1, maximum)


def check_eps(eps):
    """A relative error as a float, if it is at least 0 and finite."""
    return checks.within("eps", eps, 0, math.inf, open_high=True)


def _spectrum(s):
    """Singular values as a float64 tensor (n,), if that is what they can be."""
    refuse_masked(s)
    s = torch.as_tensor(s).detach()
    if s.is_complex() or s.dtype == torch.bool:
        raise TypeError(f"the singular values must be real numbers, not {s.dtype}")
    s = s.double()
    if s.ndim != 1 or not torch.isfinite(s).all():
        raise ValueError(f"the singular values must be finite numbers (n,), not {s}")
    if (s < 0).any() or (s.diff() > 0).any():
        raise ValueError(f"the singular values must descend to no less than 0, not {s}")
    return s
