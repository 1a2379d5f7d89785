"""Tensor trains and TT-matrices that formulas give, with no tensor ever built.

Each function of a sum has an addition theorem, and the theorem is the core.
"""

import math

import numpy as np

from uecompress.tensors.arrays import check_tensor, library, like, same_kind
from uecompress.tensors.tensor_train import TensorTrain
from uecompress.tensors.tt_matrix import TTMatrix


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
        eps: the relative error of every entry, between 0 and 1.

    Raises:
        TypeError: as for :func:`tt_sum`.
        ValueError: as for :func:`tt_sum`; a sum that is not positive; eps out of range.
    """
    vectors = _checked(vectors)
    smallest, largest = sum(float(x.min()) for x in vectors), sum(float(x.max()) for x in vectors)
    weights, rates = exponential_sum(smallest, largest, eps)
    cores, diagonal = [], like(np.eye(len(rates)), vectors[0])[:, None]  # (R, 1, R)
    for x in vectors:
        factors = library(x).exp(-x[:, None] * like(rates, x))  # (nₖ, R)
        cores.append(diagonal * factors)  # (R, nₖ, R)
    cores[0] = (like(weights, vectors[0])[:, None, None] * cores[0]).sum(0)[None]  # (1, n₁, R)
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
        eps: the relative error, between 0 and 1.

    Raises:
        ValueError: s that is not positive; eps out of range.
    """
    if not 0 < smallest <= largest:
        raise ValueError(f"the sums must be positive, but they are in {smallest}..{largest}")
    if not 0 < eps < 1:
        raise ValueError(f"eps must be between 0 and 1, not {eps}")
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
        ValueError: no directions, no points in one, or a spacing that is not positive.
    """
    shape = tuple(shape)
    if not shape or min(shape) < 1:
        raise ValueError(f"the grid needs at least one point in each direction, not {shape}")
    if not 0 < spacing < math.inf:
        raise ValueError(f"the spacing must be positive, not {spacing}")
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
