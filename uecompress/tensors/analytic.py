"""Tensor trains and TT-matrices that formulas give, with no tensor ever built.

Each function of a sum has an addition theorem, and the theorem is the core.
"""

import math

import numpy as np

from uecompress import checks
from uecompress.tensors.arrays import (
    check_sizes,
    check_tensor,
    excess,
    fitting,
    library,
    like,
    same_kind,
    times_power_of_two,
    unscaled,
)
from uecompress.tensors.tensor_train import TensorTrain
from uecompress.tensors.tt_matrix import TTMatrix

MOST_POINTS = 10_000  # of a grid in one direction: a core has 4 n² numbers


def tt_sum(vectors):
    """A(i₁, …, i_d) = f₁(i₁) + … + f_d(i_d), of rank 2.

    [1 0; f 1] [1 0; g 1] = [1 0; f + g 1]: such matrices multiply by adding their corners.

    Args:
        vectors: d NumPy arrays or torch tensors, fₖ of shape (nₖ,).

    Raises:
        TypeError: vectors that are neither NumPy arrays nor torch tensors.
        ValueError: no vectors, or vectors that are not finite, real, one-dimensional and alike.
    """
    vectors = _checked(vectors)
    zeros, ones = library(vectors[0]).zeros_like, library(vectors[0]).ones_like
    return TensorTrain(_corner([[[ones(f), zeros(f)], [f, ones(f)]] for f in vectors]))


def tt_sin_of_sum(vectors):
    """A(i₁, …, i_d) = sin(x₁(i₁) + … + x_d(i_d)), of rank 2.

    The cores are rotations, [cos x, -sin x; sin x, cos x], whose products add the angles.

    Args:
        vectors: d NumPy arrays or torch tensors, xₖ of shape (nₖ,), in radians.

    Raises:
        TypeError, ValueError: as for :func:`tt_sum`.
    """
    vectors = _checked(vectors)
    sin, cos = library(vectors[0]).sin, library(vectors[0]).cos
    return TensorTrain(_corner([[[cos(x), -sin(x)], [sin(x), cos(x)]] for x in vectors]))


def tt_reciprocal_of_sum(vectors, eps):
    """A(i₁, …, i_d) = 1 / (x₁(i₁) + … + x_d(i_d)), of rank equal to the number of exponentials.

    1/s = ∫ exp(u - s eᵘ) du over the whole line. The trapezoidal rule (sinc quadrature) turns it
    into Σⱼ wⱼ exp(-tⱼ s), and each exponential of a sum is a product: a train of rank 1.
    See :func:`exponential_sum` for the number of terms; :meth:`TensorTrain.round` finds smaller
    ranks.

    Args:
        vectors: d NumPy arrays or torch tensors, xₖ of shape (nₖ,); the smallest sum must be
            positive.
        eps: the relative error of every entry, 1e-15 to 1.

    Raises:
        TypeError: as for :func:`tt_sum`.
        ValueError: as for :func:`tt_sum`; a sum that is not positive; sums or reciprocals that the
            type cannot hold; eps out of range.
    """
    vectors = _checked(vectors)
    smallest, largest = sum(float(x.min()) for x in vectors), sum(float(x.max()) for x in vectors)
    exponent = excess(sum(float(abs(x).max()) for x in vectors), vectors[0].dtype)
    vectors = [times_power_of_two(x, -exponent) for x in vectors]
    ends = (times_power_of_two(end, -exponent) for end in (smallest, largest))
    weights, rates = exponential_sum(*ends, eps)
    fitting(rates, vectors[0], "the largest rate of the exponential sum")
    cores, diagonal = [], like(np.eye(len(rates)), vectors[0])[:, None]  # (R, 1, R)
    for x in vectors:
        factors = library(x).exp(-x[:, None] * like(rates, x))  # (nₖ, R)
        cores.append(diagonal * factors)  # (R, nₖ, R)
    cores[0] = (like(weights, vectors[0])[:, None, None] * cores[0]).sum(0)[None]  # (1, n₁, R)
    cores[0] = unscaled(cores[0], -exponent, "the reciprocal of the sum")
    cores[-1] = cores[-1].sum(-1)[:, :, None]  # (R, n_d, 1)
    return TensorTrain(cores)


def exponential_sum(smallest, largest, eps):
    """Weights w and rates t, each (R,), with Σⱼ wⱼ exp(-tⱼ s) = (1 + δ)/s, -eps ≤ δ ≤ eps.

    The trapezoidal rule of step h for ∫ exp(u - s eᵘ) du: t = eᵘ and w = h eᵘ. Its relative error
    is at most ``2 Σₖ |Γ(1 + 2πik/h)|`` for every s (Poisson's formula), with ``|Γ(1 + iy)|²`` =
    πy/sinh πy ≈ 2πy exp(-πy). What lies left of log(eps/s) adds another eps, what lies right of
    log(log(1/eps)/s) also. Each gets a third.

    Args:
        smallest: the least s, positive.
        largest: the greatest s.
        eps: the relative error, 1e-15 to 1.

    Raises:
        TypeError: what is no number.
        ValueError: s that is not in 1e-300 to 1e300, where weights and rates fit into float64, or
            in the wrong order; eps out of range.
    """
    smallest, largest = checks.real("smallest", smallest), checks.real("largest", largest)
    if not 0 < smallest <= largest:
        raise ValueError(f"the sums must be positive, but they are in {smallest}..{largest}")
    checks.within("smallest", smallest, 1e-300, 1e300)
    checks.within("largest", largest, 1e-300, 1e300)
    eps = checks.within("eps", eps, 1e-15, 1, open_high=True)
    third, y = eps / 3, 1.0
    for _ in range(20):  # 2 √(2πy) exp(-πy/2) = eps/3, solved for y
        y = 2 / math.pi * math.log(2 * math.sqrt(2 * math.pi * y) / third)
    left, right = math.log(third / largest), math.log(math.log(1 / third) / smallest)
    terms = math.ceil((right - left) * y / (2 * math.pi)) + 1
    u, h = np.linspace(left, right, terms, retstep=True)
    return h * np.exp(u), np.exp(u)


def tt_laplacian(shape, spacing=1.0):
    """The negative Laplacian on a grid, with zero values outside it, as a TT-matrix of rank 2.

    -Δ = D ⊗ I ⊗ … ⊗ I + … + I ⊗ … ⊗ I ⊗ D with D = tridiag(-1, 2, -1)/h²: a sum, hence the cores
    of :func:`tt_sum` with matrices in place of numbers.

    Args:
        shape: (n₁, …, n_d), the points of the grid in each direction.
        spacing: h, their distance.

    Returns:
        A :class:`TTMatrix` (n₁⋯n_d, n₁⋯n_d) of float64 NumPy arrays.

    Raises:
        TypeError: a shape or a spacing that is no number.
        ValueError: no directions, no points in one, or more than :data:`MOST_POINTS`; a spacing
            that is not in 1e-150 to 1e150, where 1/h² fits into float64.
    """
    shape = check_sizes("shape", shape)
    if not shape:
        raise ValueError("the grid needs at least one direction")
    for n in shape:
        checks.whole("the number of points in a direction", n, 1, MOST_POINTS)
    spacing = checks.within("spacing", checks.positive("spacing", spacing), 1e-150, 1e150)
    blocks = []
    for n in shape:
        eye = np.eye(n)
        d = (2 * eye - np.eye(n, k=1) - np.eye(n, k=-1)) / spacing**2
        blocks.append([[eye, 0 * eye], [d, eye]])
    return TTMatrix(_corner(blocks))


def _corner(blocks):
    """Cores from 2×2 blocks of vectors or matrices: the lower left corner of their product."""
    stack = library(blocks[0][0][0]).stack
    cores = [stack([stack(row, -1) for row in block], 0) for block in blocks]  # (2, n, 2)
    cores[0] = cores[0][-1:]  # the last row
    cores[-1] = cores[-1][..., :1]  # the first column
    return cores


def _checked(vectors):
    vectors = list(vectors)
    if not vectors:
        raise ValueError("at least one vector is needed")
    for k, x in enumerate(vectors):
        check_tensor(x, f"vector {k}")
        if x.ndim != 1 or not same_kind(x, vectors[0]):
            raise ValueError(f"vector {k} must be one-dimensional and of the type of vector 0, "
                             f"not {x.dtype} of shape {tuple(x.shape)}")  # fmt: skip
    return vectors
