"""The singular value decomposition: truncated, randomized, and the error of each truncation.

Matrices are NumPy arrays or torch tensors, float32 or float64; what goes in comes out.
"""

import math
import numbers

import numpy as np
import torch

from uecompress.tensors.arrays import check_tensor


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
        TypeError: neither a NumPy array nor a torch tensor.
        ValueError: not a finite, non-empty matrix; a rank that is out of range; not exactly one of
            ``rank`` and ``eps``.
    """
    xp = check_matrix(a)
    if (rank is None) == (eps is None):
        raise ValueError("give either rank or eps")
    if rank is not None:
        check_rank(rank, min(a.shape))
    u, s, vh = xp.linalg.svd(a, full_matrices=False)
    if rank is None:
        rank = rank_for_error(s, eps)
    return u[:, :rank], s[:rank], vh[:rank]


def truncation_error(s, rank):
    """The Frobenius error of the rank-``rank`` truncation: the root of the tail's energy.

    Args:
        s: all singular values, in descending order.
        rank: how many are kept, 0 to len(s).
    """
    if not 0 <= rank <= len(s):
        raise ValueError(f"rank must be in 0..{len(s)}, not {rank}")
    tail = torch.as_tensor(s).double()[rank:]
    largest = float(tail[0]) if len(tail) else 0.0  # so that squares neither overflow nor vanish
    return largest * math.hypot(*(tail / largest)) if largest else 0.0


def rank_for_error(s, eps):
    """The smallest rank, at least 1, whose truncation error is at most ``eps`` times the norm.

    Args:
        s: all singular values, in descending order.
        eps: the relative error in the Frobenius norm, at least 0.
    """
    if not 0 <= eps < math.inf:
        raise ValueError(f"eps must be a finite number of at least 0, not {eps}")
    s = torch.as_tensor(s).double()
    if len(s) == 0 or not torch.isfinite(s).all():
        raise ValueError("the singular values must be finite numbers, at least one of them")
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
        iterations: power iterations, at least 0.
        seed: of the random vectors; the same for NumPy and torch.

    Returns:
        ``u`` (m, rank), ``s`` (rank,), ``vh`` (rank, n).

    Raises:
        TypeError, ValueError: as for :func:`truncated_svd`.
        ValueError: ``oversampling`` or ``iterations`` below 0.
    """
    xp = check_matrix(a)
    check_rank(rank, min(a.shape))
    if oversampling < 0 or iterations < 0:
        raise ValueError(
            f"oversampling and iterations must be at least 0, not {oversampling} and {iterations}"
        )
    width = min(rank + oversampling, *a.shape)
    noise = np.random.default_rng(seed).standard_normal((a.shape[1], width))
    if xp is torch:
        noise = torch.as_tensor(noise, dtype=a.dtype, device=a.device)
    else:
        noise = noise.astype(a.dtype)
    q = xp.linalg.qr(a @ noise)[0]  # (m, width), orthonormal columns
    for _ in range(iterations):
        q = xp.linalg.qr(a.T @ q)[0]
        q = xp.linalg.qr(a @ q)[0]
    u, s, vh = xp.linalg.svd(q.T @ a, full_matrices=False)
    return (q @ u)[:, :rank], s[:rank], vh[:rank]


def check_matrix(a):
    """Return the library of ``a``, a finite, non-empty real matrix of float32 or float64."""
    xp = check_tensor(a, "matrix")
    if a.ndim != 2:
        raise ValueError(f"expected a matrix, not shape {tuple(a.shape)}")
    return xp


def check_rank(rank, maximum):
    """Raise ValueError unless ``rank`` is a whole number in 1..maximum."""
    whole = isinstance(rank, numbers.Integral) and not isinstance(rank, bool)
    if not whole or not 1 <= rank <= maximum:
        raise ValueError(f"rank must be a whole number in 1..{maximum}, not {rank!r}")
