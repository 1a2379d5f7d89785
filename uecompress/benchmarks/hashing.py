"""Hashed weights: what it costs to look them up, forward and backward."""

from functools import partial

import torch
from torch import nn

from uecompress.hashing import HashedLinear, StructuredLinear


def hashing():
    """A layer 784×1000 at a ratio of 32: memory access against matrix products.

    ν[h] is the hash as one writes it down, with torch's indexing and a sign for each weight.
    """
    sizes = 784, 1000
    dense, structured = nn.Linear(*sizes), StructuredLinear(*sizes, dim=887, rank=13)
    hashed = {folds: HashedLinear(*sizes, ratio=32, folds=folds) for folds in (1, 2, 10)}
    for batch in (32, 128):
        x = torch.rand(batch, 784)
        fast = partial(_passes, structured, x)
        for folds, layer in hashed.items():
            passes = partial(_passes, layer, x)
            yield f"structured / {folds}-fold hash, batch {batch}", fast, passes
            yield f"{folds}-fold hash / dense, batch {batch}", passes, partial(_passes, dense, x)
        yield f"structured / dense, batch {batch}", fast, partial(_passes, dense, x)
        written = partial(_passes, _Written(hashed[1]), x)
        yield f"1-fold hash / ν[h], batch {batch}", partial(_passes, hashed[1], x), written
        yield f"structured / ν[h], batch {batch}", fast, written


class _Written(nn.Module):
    """A 1-fold hashed layer as in the book: weight = sign · ν[h]."""

    def __init__(self, layer):
        super().__init__()
        self.buckets, self.bias = layer.buckets, layer.bias
        buckets = len(layer.buckets)
        self.h = (layer.index[0] % buckets).long().view(layer.shape)
        self.sign = torch.where(layer.index[0] < buckets, 1.0, -1.0).view(layer.shape)

    def forward(self, x):
        return nn.functional.linear(x, self.sign * self.buckets[self.h], self.bias)


def _passes(layer, x):
    layer.zero_grad()
    layer(x).sum().backward()
