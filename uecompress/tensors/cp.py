"""The canonical polyadic decomposition (Hitchcock 1927): a tensor as a sum of products of vectors.

A(i₁, …, i_d) = Σ_α w_α U₁(i₁, α) ⋯ U_d(i_d, α). The algorithm is tensorly's.
"""

import math
from contextlib import contextmanager

import numpy as np
import tensorly
import torch
from tensorly import tenalg
from tensorly.decomposition import parafac

from uecompress.tensors.arrays import check_tensor, like, to_torch
from uecompress.tensors.svd import check_rank


def cp(a, rank, *, iterations=1000, tol=1e-10, seed=0):
    """A CP decomposition of given rank by alternating least squares from a random start.

    A best approximation need not exist, and the iteration may stop at a poor one: compare several
    seeds. Weights that grow without bound, with nearly opposite products, are the sign of a
    degenerate problem (de Silva and Lim, 2008).

    Args:
        a: a NumPy array or torch tensor (n₁, …, n_d), d ≥ 2, of float32 or float64; the iteration
            runs in float64 on the CPU.
        rank: R, 1 to n₁⋯n_d / max nₖ, which is always enough.
        iterations: at most so many sweeps over all factors.
        tol: stop when a sweep changes the relative error by less.
        seed: of the normally distributed start.

    Returns:
        ``weights`` (R,), not negative and in descending order, and a list of ``factors`` (nₖ, R)
        with columns of norm 1, of the kind and type of ``a``.

    Raises:
        TypeError: neither a NumPy array nor a torch tensor.
        ValueError: not a finite real tensor; a rank out of range; an iteration that broke down.
    """
    check_tensor(a)
    if a.ndim < 2:
        raise ValueError("CP needs a tensor of at least two dimensions")
    check_rank(rank, math.prod(a.shape) // max(a.shape))
    values = to_torch(a).detach().cpu().double()
    scale = values.abs().max()  # so that squares neither overflow nor vanish
    if scale == 0:
        factors = [torch.full((n, rank), n**-0.5, dtype=torch.float64) for n in a.shape]
        return like(torch.zeros(rank), a), [like(factor, a) for factor in factors]
    rng = np.random.default_rng(seed)
    start = None, [torch.from_numpy(rng.standard_normal((n, rank))) for n in a.shape]
    try:
        # Products of a tensor with all factors but one are most of the work; torch's einsum finds
        # a good order for them.
        with tensorly_backend("pytorch", "einsum"):
            _, factors = parafac(values / scale, rank, n_iter_max=iterations, tol=tol, init=start)
    except RuntimeError as error:  # torch.linalg.LinAlgError among them
        raise ValueError(f"ALS broke down at rank {rank}: lower it or change the seed") from error
    norms = [factor.norm(dim=0) for factor in factors]  # d times (R,)
    weights = scale * math.prod(norms)
    order = weights.argsort(descending=True, stable=True)
    tiny = torch.finfo(weights.dtype).tiny
    factors = [(f / norm.clamp_min(tiny))[:, order] for f, norm in zip(factors, norms, strict=True)]
    return like(weights[order], a), [like(factor, a) for factor in factors]


def cp_full(weights, factors):
    """The tensor (n₁, …, n_d) of a CP decomposition: weights (R,) and d ≥ 2 factors (nₖ, R)."""
    rows = weights * factors[0]  # (n₁⋯nₖ, R), here k = 1
    for factor in factors[1:-1]:
        rows = (rows[:, None] * factor).reshape(-1, len(weights))  # Khatri-Rao product
    return (rows @ factors[-1].T).reshape([len(factor) for factor in factors])


@contextmanager
def tensorly_backend(name, algebra="core"):
    """Let tensorly work with this backend here, in this thread, whatever is set elsewhere."""
    before = tensorly.get_backend(), tenalg.get_backend()
    tensorly.set_backend(name, local_threadsafe=True)
    tenalg.set_backend(algebra, local_threadsafe=True)
    try:
        yield
    finally:
        tensorly.set_backend(before[0], local_threadsafe=True)
        tenalg.set_backend(before[1], local_threadsafe=True)
