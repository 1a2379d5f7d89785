"""The exercises of "Four in one file"."""

import torch

from uecompress.exercises.function import Function
from uecompress.exercises.number import Number
from uecompress.tensors import truncated_svd


def even():
    """Entries with places of 6 bits that cost one rank of 300 by 784, with 32 and 4 bits."""
    return Number(
        [1084 * 32 / 38, 1084 * 4 / 10],
        {
            "an entry takes its number and its place": [1084, 1084],
            "that is the place alone: an entry has a number, too": [1084 * 32 / 6, 1084 * 4 / 6],
            "one rank has 300 + 784 numbers, not 300 · 784": [
                235_200 * 32 / 38,
                235_200 * 4 / 10,
            ],
            "first 32 bits, then 4": [1084 * 4 / 10, 1084 * 32 / 38],
        },
    )


def turn():
    """L and S of one round with scaled columns, stacked."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    inputs = []
    for m, n, r, k in ((6, 9, 2, 5), (8, 5, 1, 3), (7, 7, 3, 4)):
        before = _entries(drawn(m, n), k)
        inputs.append((drawn(m, n), before, drawn(n).abs() + 0.1, r, k))
    return Function(
        _right,
        inputs,
        {
            "the scales are not used": lambda W, S, d, r, k: _right(W, S, torch.ones_like(d), r, k),
            "divide both parts by the scales again": lambda W, S, d, r, k: (
                _right(W, S, d, r, k) * d
            ),
            "the entries are chosen by their size after the multiplication, too": _plain_entries,
            "L is fitted to W minus the entries so far": lambda W, S, d, r, k: _right(
                W, torch.zeros_like(S), d, r, k
            ),
            "the scales belong to columns: d has one number for each of them": _rows,
            "first L, then S": lambda W, S, d, r, k: _right(W, S, d, r, k).flip(0),
        },
        show=lambda W, S, d, r, k: f"a matrix of shape {tuple(W.shape)}, rank {r}, {k} entries",
    )


def _low(weight, rank):
    u, s, vh = truncated_svd(weight, rank=rank)
    return (u * s) @ vh


def _entries(weight, count):
    places = weight.abs().flatten().argsort(descending=True, stable=True)[:count]
    result = torch.zeros_like(weight)
    result.view(-1)[places] = weight.reshape(-1)[places]
    return result


def _right(W, S, d, r, k):
    L = _low((W - S) * d, r)
    return torch.stack([L / d, _entries(W * d - L, k) / d])


def _plain_entries(W, S, d, r, k):
    L = _low((W - S) * d, r) / d
    return torch.stack([L, _entries(W - L, k)])


def _rows(W, S, d, r, k):
    scale = d.repeat(len(W))[: len(W), None]
    L = _low((W - S) * scale, r)
    return torch.stack([L / scale, _entries(W * scale - L, k) / scale])


def order(weight):
    """How far a cut pair of rank 24, and rank 6 of a cut matrix, are from the matrix.

    Args:
        weight: (300, 784).
    """
    weight = weight.detach()
    u, s, vh = truncated_svd(weight, rank=24)
    root = s.sqrt()
    cut = _entries(torch.cat([(u * root).flatten(), (root[:, None] * vh).flatten()]), 6504)
    uneven = _entries(torch.cat([(u * s).flatten(), vh.flatten()]), 6504)
    few = _entries(weight, 58_800)

    def off(product):
        return ((product - weight).norm() / weight.norm()).item()

    def product(numbers):
        return numbers[:7200].view(300, 24) @ numbers[7200:].view(24, 784)

    right = [off(product(cut)), off(_low(few, 6))]
    return Number(
        right,
        {
            "first factor, then cut": right[::-1],
            "the singular values belong to both factors, half each": [
                off(product(uneven)),
                right[1],
            ],
            "that is the SVD before the cut": [off(_low(weight, 24)), right[1]],
            "that is the cut before the SVD": [right[0], off(few)],
            "the distance to W, not to the cut W": [
                right[0],
                ((_low(few, 6) - few).norm() / few.norm()).item(),
            ],
        },
    )
