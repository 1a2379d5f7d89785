"""The tensor train: a tensor of many dimensions as a chain of cores, and arithmetic in that form.

Every entry is a product of small matrices, one for each index (Oseledets 2011):
A(i₁, …, i_d) = G₁[i₁] G₂[i₂] ⋯ G_d[i_d], with Gₖ[iₖ] of shape (rₖ₋₁, rₖ) and r₀ = r_d = 1.
"""

import math

import numpy as np
import torch

from uecompress import checks
from uecompress.tensors.arrays import (
    check_tensor,
    contract,
    excess,
    finite,
    library,
    like,
    refuse_masked,
    same_kind,
    scaled,
    times_power_of_two,
    unscaled,
)
from uecompress.tensors.rounding import round_cores


class TensorTrain:
    """A tensor in the tensor-train format.

    Attributes:
        cores: a list of NumPy arrays or torch tensors, core k of shape (rₖ₋₁, nₖ, rₖ).
        shape: (n₁, …, n_d).
        ranks: (r₀, …, r_d), of length d + 1, with 1 at both ends.

    Args:
        cores: as above; float32 or float64, all of the same kind. They are not copied.

    Raises:
        TypeError: cores that are neither NumPy arrays nor dense torch tensors, or masked arrays.
        ValueError: no cores; a core that is not a finite, non-empty real tensor of three
            dimensions; ranks that do not fit; different kinds or types.
    """

    __array_ufunc__ = None  # np.float64(2) * train comes to __rmul__
    __iter__ = None  # entries are reached by d indices, not one after the other

    def __init__(self, cores):
        self.cores = check_cores(cores, 3)
        self.shape = tuple(core.shape[1] for core in self.cores)
        self.ranks = (1, *(core.shape[-1] for core in self.cores))

    @property
    def parameters(self):
        """How many numbers the cores hold: Σ rₖ₋₁ nₖ rₖ."""
        return sum(math.prod(core.shape) for core in self.cores)

    def __repr__(self):
        return f"TensorTrain(shape={self.shape}, ranks={self.ranks})"

    def full(self):
        """The whole tensor, of shape ``shape``: n₁⋯n_d numbers.

        Raises:
            ValueError: an entry, or a product on the way to it, overflows. (One too small for the
                type is 0.)
        """
        rows = self.cores[0]  # (n₁⋯nₖ, rₖ), here k = 1
        with np.errstate(over="ignore", invalid="ignore"):
            for core in self.cores[1:]:
                r = len(core)
                rows = rows.reshape(-1, r) @ core.reshape(r, -1)  # (n₁⋯nₖ, nₖ₊₁rₖ₊₁)
        return finite(rows.reshape(self.shape), "a product of the cores")

    def at(self, indices):
        """Many entries at once, without building the tensor.

        Args:
            indices: whole numbers (n, d), one row for each entry, from 0; negative ones count from
                the end.

        Returns:
            The n entries, (n,). Takes n·rₖ₋₁·rₖ numbers of memory.

        Raises:
            TypeError: a masked array.
            ValueError: indices that are not an (n, d) array of whole numbers; otherwise as for
                :meth:`full`.
            IndexError: an index out of range.
        """
        refuse_masked(indices)
        indices, sizes = np.asarray(indices), np.array(self.shape)
        if indices.dtype.kind not in "iu" or indices.ndim != 2 or indices.shape[1] != len(sizes):
            raise ValueError(f"indices must be whole numbers of shape (n, {len(sizes)}), "
                             f"not {indices.dtype} of shape {indices.shape}")  # fmt: skip
        wrong = ((indices < -sizes) | (indices >= sizes)).any(axis=1)
        if wrong.any():
            raise IndexError(f"index {indices[wrong][0].tolist()} is out of range for {self.shape}")
        indices = indices.astype(np.int64)  # torch would take uint8 for a mask
        xp = library(self.cores[0])
        rows = self.cores[0][0, indices[:, 0]]  # (n, r₁)
        with np.errstate(over="ignore", invalid="ignore"):
            for core, i in zip(self.cores[1:], indices.T[1:], strict=True):
                rows = xp.einsum("na,anb->nb", rows, core[:, i])  # G₁[i₁]⋯Gₖ[iₖ]
        return finite(rows[:, 0], "a product of the cores")

    def __getitem__(self, index):
        index = index if isinstance(index, tuple) else (index,)
        if len(index) != len(self.shape):
            raise IndexError(f"expected {len(self.shape)} indices, not {len(index)}")
        return self.at([index])[0]

    def round(self, eps=0.0, max_rank=None):
        """The train of smaller ranks within a relative error, by QR and then truncated SVDs.

        Args:
            eps: the relative error in the Frobenius norm; 0 removes what is superfluous.
            max_rank: the largest rank allowed, also where ``eps`` asks for more.

        Returns:
            A new :class:`TensorTrain`. No gradient flows through it.

        Raises:
            TypeError: eps or max_rank that is no number.
            ValueError: eps below 0 or not finite; max_rank below 1; a norm that the type cannot
                hold.
        """
        return TensorTrain(round_cores(self.cores, eps, max_rank))

    def __add__(self, other):
        """The sum; ranks add. The matrices are block diagonal (Oseledets 2011, section 4.1)."""
        if not isinstance(other, TensorTrain):
            return NotImplemented
        self._check(other)
        cores = []
        for g, h in zip(self.cores, other.cores, strict=True):
            xp, n = library(g), g.shape[1]
            above = xp.concatenate([g, like(np.zeros((len(g), n, h.shape[2])), g)], 2)
            below = xp.concatenate([like(np.zeros((len(h), n, g.shape[2])), g), h], 2)
            cores.append(xp.concatenate([above, below], 0))  # [[G, 0], [0, H]]
        cores[0] = cores[0][:1] + cores[0][1:]  # [G, H]
        cores[-1] = cores[-1][:, :, :1] + cores[-1][:, :, 1:]  # [G; H]
        return TensorTrain(cores)

    def __mul__(self, other):
        """The elementwise product with a train, where ranks multiply, or with a number.

        The number may be one of NumPy or a tensor of no dimensions, through which gradients flow;
        the type of the cores stays.

        Raises:
            TypeError: neither a train nor a real number.
            ValueError: trains of different shapes or types; a core that the type cannot hold.
        """
        if isinstance(other, TensorTrain):
            self._check(other)
            cores = []
            for g, h in zip(self.cores, other.cores, strict=True):  # G[i] ⊗ H[i] (section 4.2)
                core = contract("anb,cnd->acnbd", g, h, "a core of the product")
                cores.append(core.reshape(len(g) * len(h), g.shape[1], g.shape[2] * h.shape[2]))
            return TensorTrain(cores)
        number = checks.real("the factor of a train", other)
        size = excess(abs(number), self.cores[0].dtype)
        if isinstance(other, torch.Tensor) and isinstance(self.cores[0], torch.Tensor):
            number = other.to(self.cores[0].device)  # such as a norm, that gradients flow through
        else:
            number = float(number)  # np.float64 would make float32 cores float64
        core, exponent = scaled(self.cores[0])
        core = core * times_power_of_two(number, -size)
        return TensorTrain(
            [unscaled(core, exponent + size, "a core of the product"), *self.cores[1:]]
        )

    __rmul__ = __mul__

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -other if isinstance(other, TensorTrain) else NotImplemented

    def dot(self, other):
        """The sum of the products of all entries of two trains, in O(d n r³).

        Raises:
            TypeError: no train.
            ValueError: trains of different shapes or types; a sum that the type cannot hold.
        """
        self._check(other)
        product = like(np.ones((1, 1)), self.cores[0])  # (r of other, r of self)
        exponent = 0  # the product stands for itself times 2^exponent
        for g, h in zip(self.cores, other.cores, strict=True):
            (g, up), (h, down) = scaled(g), scaled(h)
            product, first = scaled(product @ g.reshape(len(g), -1))  # (r', nrₖ)
            product = h.reshape(-1, h.shape[2]).T @ product.reshape(-1, g.shape[2])  # (r'ₖ, rₖ)
            product, second = scaled(product)
            exponent += up + down + first + second
        return unscaled(product, exponent, "the sum of products")[0, 0]

    def norm(self):
        """The Frobenius norm, by QR from left to right.

        Also the norm of a difference of nearly equal trains is right to machine precision; the
        root of ``dot`` would know only half of the digits.

        Raises:
            ValueError: a norm that the type cannot hold.
        """
        qr = library(self.cores[0]).linalg.qr
        triangle = like(np.ones((1, 1)), self.cores[0])
        exponent = 0  # the triangle stands for itself times 2^exponent
        for core in self.cores:
            core, own = scaled(core)
            rows = triangle @ core.reshape(len(core), -1)  # (r, nₖrₖ)
            triangle, left = scaled(qr(rows.reshape(-1, core.shape[2]))[1])  # (≤ rₖ, rₖ)
            exponent += own + left
        return abs(unscaled(triangle, exponent, "the norm of the tensor")[0, 0])

    def _check(self, other):
        if not isinstance(other, TensorTrain):
            raise TypeError(f"expected a TensorTrain, not {type(other).__name__}")
        if self.shape != other.shape:
            raise ValueError(f"trains of different shapes: {self.shape} and {other.shape}")
        if not same_kind(self.cores[0], other.cores[0]):
            a, b = (f"{library(t.cores[0]).__name__} {t.cores[0].dtype}" for t in (self, other))
            raise ValueError(f"trains of different types: {a} and {b}")


def check_cores(cores, ndim):
    """The cores as a list, if they form a chain of ``ndim``-dimensional cores; else ValueError."""
    cores = list(cores)
    if not cores:
        raise ValueError("a tensor train needs at least one core")
    for k, core in enumerate(cores):
        check_tensor(core, f"core {k}")
        if core.ndim != ndim:
            raise ValueError(f"core {k} must have {ndim} dimensions, not shape {tuple(core.shape)}")
        if not same_kind(core, cores[0]):
            raise ValueError(f"core {k} is of {core.dtype}, core 0 of {cores[0].dtype}")
    ranks = [core.shape[0] for core in cores], [core.shape[-1] for core in cores]
    if ranks[0] != [1, *ranks[1][:-1]] or ranks[1][-1] != 1:
        shapes = ", ".join(str(tuple(core.shape)) for core in cores)
        raise ValueError(
            f"the ranks of the cores do not fit, or do not begin and end with 1: {shapes}"
        )
    return cores
