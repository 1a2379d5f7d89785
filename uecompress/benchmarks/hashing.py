"""Hashed weights: what it costs to look them up, forward and backward."""

from functools import partial

import torch
from torch import nn

from uecompress.hashing import HashedLinear, StructuredLinear


def hashing():
    """A layer 784×1000 at a ratio of 32, 128 inputs: memory access against matrix products."""
    sizes, x = (784, 1000), torch.rand(128, 784)
    dense, structured = nn.Linear(*sizes), StructuredLinear(*sizes, dim=887, rank=13)
    for folds in (1, 2, 10):
        passes = partial(_passes, HashedLinear(*sizes, ratio=32, folds=folds), x)
        yield f"structured, rank 13 / {folds}-fold hash", partial(_passes, structured, x), passes
        yield f"{folds}-fold hash / dense", passes, partial(_passes, dense, x)
    yield "structured, rank 13 / dense", partial(_passes, structured, x), partial(_passes, dense, x)


def _passes(layer, x):
    layer.zero_grad()
    layer(x).sum().backward()
