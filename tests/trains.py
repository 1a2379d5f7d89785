"""Random tensor trains, and when two arrays are close, for the tests of tensors."""

import numpy as np
import torch

from uecompress.tensors import TensorTrain

KINDS = [np.asarray, torch.from_numpy]


def cores(shape, rank, seed=0, dtype=np.float64):
    ranks = [1, *[rank] * (len(shape) - 1), 1]
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((ranks[k], n, ranks[k + 1])).astype(dtype)
            for k, n in enumerate(shape)]  # fmt: skip


def train(shape, rank, seed=0, kind=np.asarray, dtype=np.float64):
    return TensorTrain([kind(core) for core in cores(shape, rank, seed, dtype)])


def close(a, b, tol=1e-12):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return a.shape == b.shape and np.linalg.norm(a - b) <= tol * (np.linalg.norm(b) + 1e-300)
