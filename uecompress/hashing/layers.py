"""Hashed layers (Chen et al. 2015, "Compressing neural networks with the hashing trick").

A layer of n weights has only K numbers of its own, the buckets ν. Weight i is ξ(i) ν[h(i)], where a
hash function h spreads the weights over the buckets at random and another one, ξ, gives signs
(eq. 3 and 4 there). Both are computed and not stored, so a file holds K numbers. It is
random weight sharing: the gradient of a bucket is the signed sum of its weights' gradients.

With m folds the buckets make m pools, and a weight takes one bucket from each: their sum, product,
largest or smallest. Then few weights are equal, though none is free.
"""

import math

import numpy as np
import torch
from torch import nn

from uecompress import checks
from uecompress.hashing.reductions import REDUCTIONS, bounds
from uecompress.hashing.xxh64 import xxh64
from uecompress.networks import Conv2dLayer, LinearLayer


class HashedLayer:
    """Buckets, and which of them make each weight; what the Linear and the Conv2d layer share.

    Attributes:
        buckets: (K,), what is trained: K = ⌊n / ratio⌋, in m pools that differ by 1 at most.
        index: (m, n) integers, not stored: where in (ν, −ν) the values of each weight are, or in
            ν itself where signs come after the reduction, or not at all.
        flipped: (n,) bool, not stored: the weights whose sign changes after "max" or "min".
    """

    def start(self, *, ratio=8, folds=1, reduce="sum", sign=True, seed=0):
        """Draw the buckets and torch's biases, and compute the index."""
        ratio = checks.within("ratio", ratio, 1, math.inf, open_high=True)
        folds, seed = checks.whole("folds", folds), checks.seed(seed)
        if reduce not in REDUCTIONS:
            raise ValueError(f"unknown reduce {reduce!r}; known: {', '.join(REDUCTIONS)}")
        self.reduce, self.sign = reduce, checks.flag("sign", sign)
        self.settings = {"ratio": ratio, "folds": folds, "reduce": reduce, "sign": sign}
        self.settings["seed"] = seed
        self.shape = self.ordinary(device="meta").weight.shape
        n, fan_in = math.prod(self.shape), math.prod(self.shape[1:])
        count = math.floor(n / ratio)
        if count < folds:
            raise ValueError(
                f"ratio {ratio:g} leaves {count} buckets for {n:,} weights, and {folds} "
                f"fold{'s need' if folds > 1 else ' needs'} at least {folds}: "
                f"it can be {n / folds:g} at most"
            )
        self.buckets = nn.Parameter(torch.empty(count))
        nn.init.uniform_(self.buckets, *bounds(reduce, folds, 1 / (3 * fan_in)))
        self.register_parameter("bias", self.ordinary().bias)
        # On the device meta, where a file's network is first built, nothing is computed.
        index = torch.empty(folds, n, dtype=torch.int32 if count < 2**30 else torch.int64)
        flipped = torch.empty(n, dtype=torch.bool) if sign and not self.signed else None
        if not index.is_meta:
            found, negative = indices(n, pool_sizes(count, folds), seed)
            index.copy_(torch.from_numpy(found + count * negative if self.signed else found))
            if flipped is not None:
                flipped.copy_(torch.from_numpy(negative[0]))
        self.register_buffer("index", index, persistent=False)
        self.register_buffer("flipped", flipped, persistent=False)

    @property
    def signed(self):
        """Whether each fold has a sign of its own.

        The largest of numbers with random signs would be positive, so "max" and "min" have one sign
        for the weight. A sum needs one for each fold, or constants could move between the pools.
        """
        return self.sign and self.reduce in ("sum", "product")

    @property
    def pools(self):
        """The sizes of the m pools."""
        return pool_sizes(len(self.buckets), len(self.index))

    @property
    def dense_weight(self):
        """Every weight, made of its buckets; the shape of torch's layer."""
        values = torch.cat([self.buckets, -self.buckets]) if self.signed else self.buckets
        # (m, n) positions -> (m·n,) values
        values = values.index_select(0, self.index.flatten())
        if len(self.index) > 1:
            values = REDUCTIONS[self.reduce](values.view(self.index.shape))  # -> (n,)
        if self.flipped is not None:
            values = torch.where(self.flipped, -values, values)
        return values.view(self.shape)


class HashedLinear(HashedLayer, LinearLayer):
    """A Linear layer whose weights share buckets; biases are ordinary.

    Args:
        in_features: size of the input.
        out_features: size of the output.
        bias: whether there are biases.
        ratio: weights for each bucket, at least 1.
        folds: buckets that make a weight, each from a pool of its own.
        reduce: "sum", "product", "max" or "min" of them.
        sign: whether each weight has random signs.
        seed: of the hash function.

    Raises:
        TypeError: an argument that is no number, a ``bias`` or ``sign`` that is not True or False.
        ValueError: one that is out of range; a ``ratio`` that leaves fewer buckets than folds; an
            unknown ``reduce``.
    """


class HashedConv2d(HashedLayer, Conv2dLayer):
    """A Conv2d layer whose weights share buckets, as in :class:`HashedLinear`.

    The arguments are those of :class:`Conv2dLayer <uecompress.networks.Conv2dLayer>`, and
    ``ratio``, ``folds``, ``reduce``, ``sign`` and ``seed`` as in :class:`HashedLinear`.
    """


def pool_sizes(count, folds):
    """The sizes of the pools: ``count`` buckets in ``folds`` parts that differ by 1 at most."""
    return [count // folds + (fold < count % folds) for fold in range(folds)]


def indices(n, pools, seed):
    """The bucket that each weight takes from each pool, and a sign.

    Weight i in fold f has the hash of the number f·n + i: the bucket is its rest modulo the size of
    the pool, and the sign its highest bit, which the rest does not tell.

    Args:
        n: the number of weights.
        pools: the sizes of the m pools.
        seed: of the hash function.

    Returns:
        Positions in all buckets, (m, n) int64, and whether the sign is negative, (m, n) bool.
    """
    hashes = xxh64(np.arange(len(pools) * n).reshape(len(pools), n), seed)
    sizes = np.array(pools)[:, None]
    starts = np.cumsum(sizes, axis=0) - sizes
    return (hashes % sizes.astype(np.uint64)).astype(np.int64) + starts, hashes >> 63 == 1
