"""How many weights of a hashed layer are equal because they share all their buckets."""

import math
from dataclasses import dataclass

import numpy as np

from uecompress.hashing.layers import HashedLayer


@dataclass(frozen=True)
class Collisions:
    """Weights of a hashed layer that share all their buckets, signs aside.

    With m pools there are P = K₁ ⋯ K_m combinations of buckets, about (K / m)^m, of which each of n
    weights takes one at random.

    Attributes:
        weights: n.
        buckets: K.
        distinct: combinations that occur: the largest number of different absolute values.
        expected_distinct: P (1 − (1 − 1 / P)^n).
        pairs: pairs of weights that have the same combination.
        expected_pairs: n (n − 1) / 2 P.
    """

    weights: int
    buckets: int
    distinct: int
    expected_distinct: float
    pairs: int
    expected_pairs: float


def collisions(layer):
    """The :class:`Collisions` of a layer, counted and expected.

    Few weights collide fully when there are several folds, and yet no weight is free: without
    signs, the weights of an m-fold sum lie in a space of K − m + 1 dimensions, since a constant can
    move from one pool to another; with signs in one of K. The test of that is the rank of the
    weights' derivatives with respect to the buckets.

    Args:
        layer: a :class:`HashedLinear` or :class:`HashedConv2d`.

    Raises:
        TypeError: another layer.
    """
    if not isinstance(layer, HashedLayer):
        raise TypeError(f"expected a hashed layer, not {type(layer).__name__}")
    buckets, n = len(layer.buckets), layer.index.shape[1]
    # rows of m bucket numbers, without the signs
    combinations = (layer.index % buckets).T.contiguous().cpu().numpy()
    _, counts = np.unique(combinations, axis=0, return_counts=True)
    possible = math.prod(layer.pools)
    taken = -math.expm1(n * math.log1p(-1 / possible)) if possible > 1 else 1.0
    return Collisions(
        weights=n,
        buckets=buckets,
        distinct=len(counts),
        expected_distinct=possible * taken,
        pairs=int((counts * (counts - 1) // 2).sum()),
        expected_pairs=n * (n - 1) / 2 / possible,
    )
