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

from uecompress import checks
from uecompress.tensors.arrays import (
    check_kind,
    check_tensor,
    fitting,
    library,
    like,
    scaled_columns,
    to_torch,
)
from uecompress.tensors.svd import check_rank

# What is added to singular normal equations, the least that helps, where the largest entry is 1.
RIDGES = (1e-14, 1e-12, 1e-10)
MOST = 10**6  # sweeps


def cp(a, rank, *, iterations=1000, tol=1e-10, seed=0):
    """A CP decomposition of given rank by alternating least squares from a random start.

    A best approximation need not exist, and the iteration may stop at a poor one: compare several
    seeds. Weights that grow without bound, with nearly opposite products, are the sign of a
    degenerate problem (de Silva and Lim, 2008).

    Where the tensor has fewer components than ``rank``, the normal equations of a step can be
    singular. Then the iteration starts again with ridges of three sizes, and the closest result
    counts: the sum of all R components is the tensor, to about 1e-9, but the components themselves
    are no longer unique, and some may have the weight 0.

    Args:
        a: a NumPy array or torch tensor (n₁, …, n_d), d ≥ 2, of float32 or float64; the iteration
            runs in float64 on the CPU.
        rank: R, 1 to n₁⋯n_d / max nₖ, which is always enough.
        iterations: at most so many sweeps over all factors, 1 to 10⁶.
        tol: stop when a sweep changes the relative error by less; at least 0.
        seed: of the normally distributed start.

    Returns:
        ``weights`` (R,), not negative and in descending order, and a list of ``factors`` (nₖ, R)
        with columns of norm 1, of the kind and type of ``a``.

    Raises:
        TypeError: neither a NumPy array nor a dense torch tensor, or a masked array; an option
            that is no number.
        ValueError: not a finite real tensor; an option out of range; a weight that the type of
            ``a`` cannot hold; an iteration that broke down.
    """
    check_tensor(a)
    if a.ndim < 2:
        raise ValueError("CP needs a tensor of at least two dimensions")
    rank = check_rank(rank, math.prod(a.shape) // max(a.shape))
    iterations, seed = checks.whole("iterations", iterations, 1, MOST), checks.seed(seed)
    tol = checks.within("tol", tol, 0, math.inf, open_high=True)
    values = to_torch(a).detach().cpu().double()
    scale = values.abs().max()  # so that squares neither overflow nor vanish
    if scale == 0:
        factors = [torch.full((n, rank), n**-0.5, dtype=torch.float64) for n in a.shape]
        return like(torch.zeros(rank), a), [like(factor, a) for factor in factors]
    factors = _als(values / scale, rank, iterations, tol, seed)
    parts, exponents = zip(*(scaled_columns(factor.numpy()) for factor in factors), strict=True)
    factors = [torch.from_numpy(part) for part in parts]
    norms = [factor.norm(dim=0) for factor in factors]  # d times (R,)
    with np.errstate(over="ignore"):
        weights = np.ldexp((scale * math.prod(norms)).numpy(), sum(exponents))
    weights = torch.from_numpy(weights)
    order = weights.argsort(descending=True, stable=True)
    factors = [
        torch.where(norm > 0, factor / norm, len(factor) ** -0.5)[:, order]
        for factor, norm in zip(factors, norms, strict=True)
    ]
    weights = fitting(weights[order], a, "the largest weight")
    return weights, [like(factor, a) for factor in factors]


def _als(values, rank, iterations, tol, seed):
    """The factors of tensorly's ``parafac``; where it breaks down, the closest with a ridge.

    A small ridge leaves more of the rounding errors, a large one is an error itself.
    """
    closest, best = None, math.inf
    for ridge in (0, *RIDGES):
        rng = np.random.default_rng(seed)
        start = None, [torch.from_numpy(rng.standard_normal((n, rank))) for n in values.shape]
        settings = {"n_iter_max": iterations, "tol": tol, "init": start, "l2_reg": ridge}
        try:
            # Products of a tensor with all factors but one are most of the work; torch's einsum
            # finds a good order for them.
            with tensorly_backend("pytorch", "einsum"):
                _, factors = parafac(values, rank, **settings)
        except RuntimeError:  # torch.linalg.LinAlgError among them
            continue
        if not all(factor.isfinite().all() for factor in factors):
            continue
        if ridge == 0:
            return factors
        ones = torch.ones(rank, dtype=torch.float64)
        error = (cp_full(ones, factors) - values).norm().item()
        if error < best:
            closest, best = factors, error
    if closest is None:
        raise ValueError(f"ALS broke down at rank {rank}: lower it or change the seed")
    return closest


def cp_full(weights, factors):
    """The tensor (n₁, …, n_d) of a CP decomposition: weights (R,) and d ≥ 2 factors (nₖ, R).

    Raises:
        TypeError: what is neither a NumPy array nor a dense torch tensor, or a masked array.
        ValueError: weights and factors of other shapes, or of different types.
    """
    library(weights)
    factors = list(factors)
    for k, factor in enumerate(factors):
        check_kind(weights, factor, f"weights and factor {k}")
        if weights.ndim != 1 or factor.ndim != 2 or factor.shape[1] != len(weights):
            raise ValueError(
                f"expected weights (R,) and factors (n, R), but weights are {tuple(weights.shape)} "
                f"and factor {k} is {tuple(factor.shape)}"
            )
    if len(factors) < 2:
        raise ValueError(f"a CP decomposition has at least two factors, not {len(factors)}")
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
