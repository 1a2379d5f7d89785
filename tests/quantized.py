"""A network trained on digits that the tests of quantization share, and how well one does."""

from functools import cache

import torch
from torch.nn import functional as F

from uecompress import bench, data, uncertainty

SEEDS = (0, 1, 2)
dense = cache(bench.dense)


def images(n=None, split="train"):
    """Digits, the first n."""
    return data.load("digits", split)[0][:n]


def results(network):
    """Accuracy and NLL on the test digits."""
    x, y = data.load("digits", "test")
    log_probs = uncertainty.predict(network, x)
    return uncertainty.accuracy(log_probs, y), uncertainty.nll(log_probs, y)


def change(network, other, x):
    """The relative change of the logits."""
    with torch.no_grad():
        before, after = network(x), other(x)
    return (F.mse_loss(after, before) / before.square().mean()).sqrt().item()
