"""Scores of weights against what they are made of, one forward and one backward pass."""

from functools import partial

import torch
from torch import nn

from uecompress import networks, training
from uecompress.pruning import prune_in_rounds, scores


def saliency():
    """SNIP, skeletonization and GraSP; the second row pays for its copy of a small network."""
    for make, n in ((networks.lenet5, 200), (networks.lenet300, 200), (networks.lenet300, 5000)):
        model, data = make(), (torch.rand(n, 1, 28, 28), torch.arange(n) % 10)
        passes = partial(_passes, model, *data)
        for score in (scores.snip, scores.skeletonization, scores.grasp):
            name = f"{score.__name__} {make.__name__}, {n:,} images / forward and backward"
            yield name, partial(score, model, data), passes


def synflow():
    """One round of SynFlow's hundred, on two million weights, with the choice of what stays."""
    wide, middle = nn.Linear(784, 650), [nn.Linear(650, 650) for _ in range(4)]
    layers = [nn.Flatten(), wide, *(part for layer in middle for part in (nn.ReLU(), layer))]
    model = nn.Sequential(*layers, nn.ReLU(), nn.Linear(650, 10))
    score = partial(scores.synflow, input_shape=(1, 28, 28))
    ours = partial(prune_in_rounds, model, score, density=0.95, rounds=1)
    data = torch.rand(100, 1, 28, 28), torch.arange(100) % 10
    name = "synflow, a round, 2.2 M weights / forward and backward of 100 images"
    yield name, ours, partial(_passes, model, *data)


def _passes(model, x, y):
    model.zero_grad()
    training.cross_entropy(model, x, y, 0.0).backward()
