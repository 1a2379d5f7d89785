"""Exercises of the chapter on tensors and unfoldings."""

import torch

from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def position():
    """Row and column of A(2, 3, 4, 5) in the second unfolding of a 3 × 4 × 5 × 7 tensor."""
    return Number(
        [2 + 3 * (3 - 1), 4 + 5 * (5 - 1)],
        {
            "the first index of each group runs fastest, not the last": [7, 26],
            "count from 1": [7, 23],
            "rows and columns are swapped": [24, 8],
        },
    )


def unfold():
    """The unfolding with the first index of each group fastest, in torch."""

    def right(a, k):
        turned = a.permute(*reversed(range(a.ndim)))
        return turned.reshape(-1, a.shape[:k].numel()).T

    def last_fastest(a, k):
        return a.reshape(a.shape[:k].numel(), -1)

    def not_transposed(a, k):
        turned = a.permute(*reversed(range(a.ndim)))
        return turned.reshape(a.shape[:k].numel(), -1)

    def swapped(a, k):
        return right(a, k).T

    def mode(a, k):
        return a.movedim(k - 1, 0).reshape(a.shape[k - 1], -1)

    sizes = [((2, 2, 2), 1), ((2, 3, 4), 2), ((3, 2, 4, 5), 2), ((3, 4), 1)]
    return Function(
        right,
        [(torch.arange(torch.Size(size).numel()).reshape(size), k) for size, k in sizes],
        {
            "this is torch's order: the last index of each group runs fastest": last_fastest,
            "after the turn the last k indices come first: reshape to N × M, then transpose": (
                not_transposed
            ),
            "rows and columns are swapped: transpose": swapped,
            "this is the mode unfolding, one index against all others": mode,
        },
        show=lambda a, k: f"a tensor of size {tuple(a.shape)} and k = {k}",
    )


def central():
    """Error at t = 0.1 of the central difference, and how its products grow."""
    error = 0.1**2 / 3**0.5
    return Number(
        [error, 10.0],
        {
            "the error falls with t squared: t need not fall 100-fold": [error, 100.0],
            "divide the error by the norm of D": [0.1**2, 10.0],
            "this is the one-sided difference": [0.1 * (1 + 0.01 / 3) ** 0.5, 100.0],
        },
    )


def letters():
    """Rows and columns that Tucker keeps of the letters, where the storage is given."""
    return Number(
        13,
        {
            "eight is the history of the digits; the letters were not enlarged": 8,
            "near, but 13 rows and columns still fit beside 36 pieces": 12,
            "this is the best for tensors.tucker, by a hair: take tensors.hosvd": 11,
            "this is r, the number of pieces: give q": 36,
        },
    )
