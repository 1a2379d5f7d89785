"""Chapter 19, saliency."""

import torch

from uecompress import pruning
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def forecast():
    """The change of ½ (w₂ max(0, w₁ x) − t)² without w₁: by its saliency, and in truth."""
    return Number(
        [-12, 6],
        {
            "the saliency is what the loss loses: its change is minus that": [12, 6],
            "that is the slope; the forecast is the slope times the weight": [-6, 6],
            "you forgot w₂ on the way back to w₁": [-4, 6],
            "without w₁ the loss is 8; the change is from what it was": [-12, 8],
            "the change is the loss without w₁ minus the loss with it": [-12, -6],
            "the truth comes first here: give the forecast first": [6, -12],
        },
    )


def keep():
    """The mask of the weights that SNIP keeps, exactly so many."""
    inputs = [
        (torch.tensor([2.0, -0.1, 1.0, -3.0, 0.5]), torch.tensor([0.1, 5.0, -0.9, 0.2, 0.0]), 2),
        (torch.tensor([1.0, -2.0, 3.0, 4.0, 0.5, 6.0]), torch.tensor([0, 0.3, 0, 0, -0.1, 0]), 4),
        (torch.tensor([0.5, 4.0, -1.0]), torch.tensor([2.0, -0.1, 0.3]), 1),
    ]
    return Function(
        lambda theta, slope, count: _first((theta * slope).abs(), count),
        inputs,
        {
            "a threshold keeps all that are equal to it: count them where scores are 0": (
                lambda theta, slope, count: _above((theta * slope).abs(), count)
            ),
            "this is the slope alone; the score is the slope times the weight": (
                lambda theta, slope, count: _first(slope.abs(), count)
            ),
            "SNIP has no sign: a weight that harms much counts like one that helps much": (
                lambda theta, slope, count: _first(theta * slope, count)
            ),
            "this is skeletonization; SNIP has no sign": (
                lambda theta, slope, count: _first(-theta * slope, count)
            ),
            "you keep the lowest scores": (
                lambda theta, slope, count: _first(-(theta * slope).abs(), count)
            ),
            "this is what goes, not what stays": (
                lambda theta, slope, count: ~_first((theta * slope).abs(), count)
            ),
        },
        show=lambda theta, slope, count: (
            f"weights {theta.tolist()}, slopes {slope.tolist()} and the count {count}"
        ),
    )


def _first(score, count):
    mask = torch.zeros_like(score, dtype=torch.bool)
    mask[score.sort(descending=True, stable=True).indices[:count]] = True
    return mask


def _above(score, count):
    return score >= score.topk(count).values[-1]


def zeros(model, images):
    """The share of all ink that lies on pixels without weights if SNIP has seen zeros only.

    Args:
        model: an untrained network of the page.
        images: training images and labels.
    """
    x, y = images
    of_zeros, of_all = x[y == 0], x[:100]
    only, whole = _unread(model, (of_zeros, y[y == 0])), _unread(model, (of_all, y[:100]))
    ink = x.double().sum(0).flatten()
    never = of_zeros.amax(0).flatten() == 0
    right = float(ink[only].sum() / ink.sum())
    return Number(
        right,
        {
            "this is the share that is still read": 1 - right,
            "this is the share of the pixels, not of the ink": float(only.double().mean()),
            "these are the pixels that no zero inks; SNIP has cut off more of them": float(
                ink[never].sum() / ink.sum()
            ),
            "this is the batch of all classes": float(ink[whole].sum() / ink.sum()),
        },
    )


def _unread(model, batch):
    """Pixels that no weight reads once SNIP has left 2 %, (784,) bool."""
    pruned = pruning.prune(model, pruning.scores.snip(model, batch), density=0.02)
    return (pruned.linear1.weight == 0).all(0)
