"""The TT-matrix: a matrix whose row and column numbers are split into d indices each.

W(i, j) = G₁[i₁, j₁] G₂[i₂, j₂] ⋯ G_d[i_d, j_d] (Oseledets 2011, section 4.3; Novikov 2015).
The row number i stands for (i₁, …, i_d) with the **last index fastest**, as in a reshape in NumPy
or torch: a vector becomes a tensor by ``x.reshape(n₁, …, n_d)``, the weight of a layer needs no
permutation, and rank 1 is ``np.kron(G₁, np.kron(G₂, …))``. (The unfoldings of
:mod:`uecompress.tensors.unfolding` follow the opposite order of Oseledets.)
"""

import math

import numpy as np
import torch

from uecompress.tensors.arrays import (
    check_sizes,
    check_tensor,
    contract,
    finite,
    library,
    same_kind,
)
from uecompress.tensors.tensor_train import TensorTrain, check_cores
from uecompress.tensors.tt_svd import tt_svd


class TTMatrix:
    """A matrix of m₁⋯m_d rows and n₁⋯n_d columns in the TT-format.

    Attributes:
        cores: a list of NumPy arrays or torch tensors, core k of shape (rₖ₋₁, mₖ, nₖ, rₖ).
        shape: (M, N) with M = m₁⋯m_d and N = n₁⋯n_d.
        row_shape: (m₁, …, m_d).
        column_shape: (n₁, …, n_d).
        ranks: (r₀, …, r_d), with 1 at both ends.

    Args:
        cores: as above; float32 or float64, all of the same kind. They are not copied.

    Raises:
        TypeError: cores that are neither NumPy arrays nor dense torch tensors, or masked arrays.
        ValueError: as for :class:`TensorTrain`, with cores of four dimensions.
    """

    def __init__(self, cores):
        self.cores = check_cores(cores, 4)
        self.row_shape = tuple(core.shape[1] for core in self.cores)
        self.column_shape = tuple(core.shape[2] for core in self.cores)
        self.shape = math.prod(self.row_shape), math.prod(self.column_shape)
        self.ranks = (1, *(core.shape[-1] for core in self.cores))

    @property
    def parameters(self):
        """How many numbers the cores hold: Σ rₖ₋₁ mₖ nₖ rₖ."""
        return sum(math.prod(core.shape) for core in self.cores)

    def __repr__(self):
        return f"TTMatrix({self.row_shape} by {self.column_shape}, ranks={self.ranks})"

    def full(self):
        """The matrix (M, N).

        Raises:
            ValueError: an entry, or a product on the way to it, overflows.
        """
        block = self.cores[0][0]  # (m₁⋯mₖ, n₁⋯nₖ, rₖ), here k = 1
        with np.errstate(over="ignore", invalid="ignore"):
            for core in self.cores[1:]:
                block = library(core).einsum("ija,aklb->ikjlb", block, core)
                i, k, j, l, b = block.shape
                block = block.reshape(i * k, j * l, b)  # (m₁⋯mₖ₊₁, n₁⋯nₖ₊₁, rₖ₊₁)
        return finite(block[:, :, 0], "a product of the cores")

    def __matmul__(self, x):
        """The product with a train, of ranks multiplied, or with dense vectors.

        Args:
            x: a :class:`TensorTrain` of shape ``column_shape``, or vectors (..., N).

        Returns:
            A :class:`TensorTrain` of shape ``row_shape``, or vectors (..., M): the last axis is
            contracted, as by ``x @ self.full().T``.

        Raises:
            TypeError: neither a train nor a NumPy array nor a dense torch tensor.
            ValueError: shapes or types that do not fit; a core of the product that the type cannot
                hold.
        """
        if not isinstance(x, TensorTrain):
            return self._times_vectors(x)
        self._check_kind(x.cores[0])
        if x.shape != self.column_shape:
            raise ValueError(f"expected a train of shape {self.column_shape}, not {x.shape}")
        cores = []
        for g, h in zip(self.cores, x.cores, strict=True):
            core = contract("aijb,cjd->acibd", g, h, "a core of the product")  # Σⱼ G[i, j] ⊗ H[j]
            cores.append(core.reshape(len(g) * len(h), g.shape[1], g.shape[3] * h.shape[2]))
        return TensorTrain(cores)

    def _times_vectors(self, x):
        """One core after the other, the last first; the batch runs fastest, for few long products.

        After core k the numbers are y(j₁, …, jₖ₋₁; αₖ₋₁, iₖ, …, i_d, b).
        """
        self._check_kind(x)
        columns, rows = self.shape[1], self.shape[0]
        if x.ndim == 0 or x.shape[-1] != columns:
            raise ValueError(f"expected vectors (..., {columns}), not shape {tuple(x.shape)}")
        y = x.reshape(-1, columns).T  # (N, B)
        batch = width = y.shape[1]
        for core in self.cores[::-1]:
            r, m, n, right = core.shape
            matrix = core.reshape(r * m, n * right)
            columns //= n  # n₁⋯nₖ₋₁
            if width == 1:
                y = y.reshape(columns, n * right) @ matrix.T  # the same as below in one product
            else:
                y = matrix @ y.reshape(columns, n * right, width)  # (n₁⋯nₖ₋₁, rₖ₋₁mₖ, mₖ₊₁⋯m_d B)
            width *= m
        return y.reshape(rows, batch).T.reshape(*x.shape[:-1], rows)

    def _check_kind(self, x):
        if not same_kind(x, self.cores[0]):
            a, b = (f"{library(c).__name__} {c.dtype}" for c in (self.cores[0], x))
            raise ValueError(f"a TT-matrix of {a} cannot be multiplied with {b}")


def tt_matrix(a, row_shape, column_shape, eps=0.0, max_rank=None):
    """The TT-matrix of a matrix, by TT-SVD of the tensor with indices (i₁j₁, …, i_dj_d).

    Args:
        a: a NumPy array or torch tensor (m₁⋯m_d, n₁⋯n_d).
        row_shape: (m₁, …, m_d).
        column_shape: (n₁, …, n_d).
        eps: the relative error in the Frobenius norm, as for :func:`tt_svd`.
        max_rank: the largest rank allowed, as for :func:`tt_svd`.

    Raises:
        TypeError: neither a NumPy array nor a dense torch tensor; shapes that are no numbers.
        ValueError: shapes of different lengths or that do not fit the matrix; otherwise as for
            :func:`tt_svd`.
    """
    check_tensor(a, "matrix")
    row_shape = check_sizes("row_shape", row_shape)
    column_shape, d = check_sizes("column_shape", column_shape), len(row_shape)
    if d == 0 or d != len(column_shape):
        raise ValueError(
            f"row and column shapes must be of one length: {row_shape}, {column_shape}"
        )
    if tuple(a.shape) != (math.prod(row_shape), math.prod(column_shape)):
        raise ValueError(f"a matrix of shape {tuple(a.shape)} is not {row_shape} by {column_shape}")
    a = a.reshape(*row_shape, *column_shape)  # (m₁, …, m_d, n₁, …, n_d)
    pairs = [axis for k in range(d) for axis in (k, d + k)]  # m₁, n₁, m₂, n₂, …
    a = a.permute(pairs) if isinstance(a, torch.Tensor) else np.transpose(a, pairs)
    sizes = list(zip(row_shape, column_shape, strict=True))
    train = tt_svd(a.reshape([m * n for m, n in sizes]), eps, max_rank)
    return TTMatrix([
        core.reshape(len(core), *size, -1) for core, size in zip(train.cores, sizes, strict=True)
    ])  # fmt: skip
