"""The exercises of "Hashing"."""

import torch

from uecompress import hashing
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def pairs():
    """Expected equal pairs of 1,000 weights in 50 buckets, and with two pools of 25."""
    return Number(
        [9990.0, 799.2],
        {
            "each pair counts once": [19980.0, 1598.4],
            "two pools of 25 buckets have 625 combinations, not 2,500": [9990.0, 199.8],
            "with two pools both buckets have to agree": [9990.0, 19980.0],
        },
    )


def matrix():
    """The rank of 266,200 weights in a matrix of side 517 at a ratio of 32, and its numbers."""
    return Number(
        [8, 8272],
        {
            "U and V both have numbers": [8, 4136],
            "each rank has a column of U and a row of V: two times 517 numbers": [16, 16544],
            "whole ranks only, and their numbers": [8, 8318],
        },
    )


def gradient():
    """The gradient of the buckets, by the gradient of the weights."""
    draw = torch.Generator().manual_seed(0)

    def case(n, buckets):
        slope = torch.randn(n, generator=draw, dtype=torch.float64)
        h = torch.randint(buckets, (n,), generator=draw)
        sign = 1.0 - 2.0 * torch.randint(2, (n,), generator=draw).double()
        return slope, h, sign, buckets

    return Function(
        _gradient,
        [case(9, 4), case(30, 5), case(3, 6)],
        {
            "the signs are missing": lambda g, h, sign, k: _gradient(g, h, sign.abs(), k),
            "a bucket gets the sum, not the mean": _mean,
            "an assignment keeps the last weight of each bucket: add them up": _last,
        },
        show=lambda g, h, sign, k: f"{len(g)} weights and {k} buckets",
    )


def _gradient(slope, h, sign, buckets):
    return torch.zeros(buckets, dtype=slope.dtype).index_add(0, h, sign * slope)


def _mean(slope, h, sign, buckets):
    count = torch.bincount(h, minlength=buckets).clamp(min=1)
    return _gradient(slope, h, sign, buckets) / count


def _last(slope, h, sign, buckets):
    found = torch.zeros(buckets, dtype=slope.dtype)
    for i in range(len(h)):
        found[h[i]] = sign[i] * slope[i]
    return found


def occupied():
    """The share of 7,350 buckets that 7,350 weights leave empty."""
    layer = hashing.HashedLinear(98, 75, ratio=1, seed=0)
    used = len((layer.index[0] % len(layer.buckets)).unique())
    return Number(
        1 - used / len(layer.buckets),
        {
            "this is the share that is used": used / len(layer.buckets),
            "a share, not a count": len(layer.buckets) - used,
        },
    )
