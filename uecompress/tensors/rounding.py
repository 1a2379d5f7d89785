"""Rounding a tensor train to smaller ranks, and what a truncation may cut off."""

import math

import torch

from uecompress.tensors.arrays import like, scaled, to_torch, unscaled
from uecompress.tensors.svd import check_eps, check_rank

# Relative errors that rounding leaves where exact arithmetic has zeros: no eps asks for less.
FLOOR = {torch.float32: 1e-6, torch.float64: 1e-12}


def check_truncation(eps, max_rank):
    """``eps`` as a float, if it is finite and ≥ 0, and ``max_rank`` as an int ≥ 1, or None."""
    return check_eps(eps), None if max_rank is None else check_rank(max_rank)


def tolerance(eps, norm, d, dtype):
    """The Frobenius error δ = ε/√(d-1) ‖A‖ that each of the d - 1 truncations may make.

    The errors are orthogonal to each other, so their squares add up to at most (ε‖A‖)²
    (Oseledets 2011, algorithm 1).
    """
    return max(eps, FLOOR[dtype]) / math.sqrt(max(d - 1, 1)) * norm


def kept_rank(s, delta, max_rank):
    """The smallest rank ≥ 1 whose tail √(Σ_{i>r} sᵢ²) is at most ``delta``, cut at ``max_rank``.

    The tail's energy counts, not the first dropped singular value, which is smaller.
    """
    rank, tail = len(s), 0.0
    for value in reversed(s.tolist()):
        tail = math.hypot(tail, value)
        if tail > delta:
            break
        rank -= 1
    rank = max(rank, 1)
    return rank if max_rank is None else min(rank, max_rank)


@torch.no_grad()
def round_cores(cores, eps, max_rank):
    """The cores of a train of smaller ranks, at most ``eps`` away (Oseledets 2011, algorithm 2).

    First, from right to left, QR makes the rows of every unfolded core orthonormal. From then on
    the error made in one core is the error of the whole tensor, and a sweep of truncated SVDs from
    left to right may spend δ at each core. The last core carries the norm.

    Args:
        cores: core k of shape (rₖ₋₁, nₖ, rₖ).
        eps: as for :meth:`TensorTrain.round`.
        max_rank: as for :meth:`TensorTrain.round`.

    Raises:
        ValueError: eps or max_rank out of range; a norm that the type cannot hold.
    """
    eps, max_rank = check_truncation(eps, max_rank)
    kind, sizes = cores[0], [core.shape[1] for core in cores]
    cores, exponents = map(list, zip(*(scaled(to_torch(core)) for core in cores), strict=True))
    for k in range(len(cores) - 1, 0, -1):
        rows = cores[k].reshape(len(cores[k]), -1)  # (rₖ₋₁, nₖrₖ)
        q, triangle = torch.linalg.qr(rows.T)  # (nₖrₖ, r'), (r', rₖ₋₁)
        cores[k] = q.T.reshape(len(triangle), sizes[k], -1)
        columns = cores[k - 1].reshape(-1, triangle.shape[1])  # (rₖ₋₂nₖ₋₁, rₖ₋₁)
        product, exponent = scaled(columns @ triangle.T)
        cores[k - 1] = product.reshape(-1, sizes[k - 1], len(triangle))
        exponents.append(exponent)
    delta = tolerance(eps, float(torch.linalg.norm(cores[0])), len(cores), cores[0].dtype)
    for k in range(len(cores) - 1):
        left, n, r = cores[k].shape
        u, s, vh = torch.linalg.svd(cores[k].reshape(left * n, r), full_matrices=False)
        rank = kept_rank(s, delta, max_rank)
        cores[k] = u[:, :rank].reshape(left, n, rank)
        rows = (s[:rank, None] * vh[:rank]) @ cores[k + 1].reshape(r, -1)  # (rank, nₖ₊₁rₖ₊₁)
        cores[k + 1] = rows.reshape(rank, sizes[k + 1], -1)
    cores[-1] = unscaled(cores[-1], sum(exponents), "the norm of the tensor")
    return [like(core, kind) for core in cores]
