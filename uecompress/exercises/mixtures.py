"""The exercises of "Low rank, zeros, few values"."""

import torch

from uecompress import lowrank
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def room():
    """Entries beside rank 10 of a layer 784 -> 300, with 20,000 numbers."""
    return Number(
        4580,
        {
            "an entry costs two numbers": 9160,
            "the two factors have 300 + 784 numbers for each rank": (20_000 - 10 * 300 * 784) // 2,
            "both factors count": (20_000 - 7840) // 2,
        },
    )


def whitened():
    """The matrix of a rank that is best for the responses."""
    draw = torch.Generator().manual_seed(0)

    def case(m, n, rank):
        w = torch.randn(m, n, generator=draw, dtype=torch.float64)
        mix = torch.randn(n, n, generator=draw, dtype=torch.float64)
        return w, mix @ torch.randn(n, 3 * n, generator=draw, dtype=torch.float64), rank

    return Function(
        _whitened,
        [case(5, 4, 1), case(4, 6, 2)],
        {
            "this is the cut for the weights: the inputs have to enter": lambda w, x, r: _low(w, r),
            "undo C at the end": lambda w, x, r: _low(w @ _factor(x), r),
            "C comes from the right of W, and its inverse too": _other_side,
        },
        show=lambda w, x, rank: f"a weight {tuple(w.shape)} and rank {rank}",
    )


def _low(w, rank):
    u, s, vh = torch.linalg.svd(w, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ vh[:rank]


def _factor(x):
    return torch.linalg.cholesky(x @ x.T)


def _whitened(w, x, rank):
    return _low(w @ _factor(x), rank) @ torch.linalg.inv(_factor(x))


def _other_side(w, x, rank):
    return _low(w @ _factor(x).T, rank) @ torch.linalg.inv(_factor(x).T)


def split(matrix):
    """The relative error of rank 1 and 150 entries.

    Args:
        matrix: (m, n), float64.
    """

    def error(rank, count, rounds):
        left, right, sparse = lowrank.godec(matrix, rank, count, rounds)
        return ((matrix - left @ right - sparse).norm() / matrix.norm()).item()

    return Number(
        error(1, 150, 50),
        {
            "this is rank 2 and 100 entries": error(2, 100, 50),
            "relative to the norm of the matrix": error(1, 150, 50) * matrix.norm().item(),
        },
    )
