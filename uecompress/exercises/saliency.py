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
    """The mask of the weights that a score keeps, exactly so many."""
    ties = torch.tensor([1.0, -2.0, 3.0, 4.0, 0.5, 6.0]), torch.tensor([0, 0.3, 0, 0, -0.1, 0])
    weights = torch.tensor([2.0, -0.1, 1.0, -3.0, 0.5, 1.5])
    vectors = (
        weights,
        torch.tensor([0.1, 5.0, -0.9, 0.2, 0.0, 0.7]),
        torch.tensor([-0.4, 3.0, 0.6, -0.5, 0.2, 0.1]),
    )
    inputs = [(name, *vectors, count) for name in _SCORES for count in (2, 3)]
    inputs += [("SNIP", *ties, ties[1], 4), ("skeletonization", *ties, ties[1], 4)]
    return Function(
        lambda *arguments: _kept(_SCORES, *arguments),
        inputs,
        {
            "a threshold keeps all that are equal to it: count them where scores are 0": (
                lambda name, theta, slope, curved, count: _above(
                    _SCORES[name](theta, slope, curved), count
                )
            ),
            "as printed GraSP's highest go: turn it around": _but(GraSP=lambda t, g, hg: -t * hg),
            "GraSP has a sign: what lowers the flow goes on one side only": _but(
                GraSP=lambda t, g, hg: (t * hg).abs()
            ),
            "SNIP has no sign: a weight that harms much counts like one that helps much": _but(
                SNIP=lambda t, g, hg: -t * g
            ),
            "skeletonization removes the harmful first, those with θ · slope above 0": _but(
                skeletonization=lambda t, g, hg: t * g
            ),
            "skeletonization has a sign: without it, it is SNIP": _but(
                skeletonization=lambda t, g, hg: (t * g).abs()
            ),
            "these are the slopes alone; a score is the slope times the weight": (
                lambda name, theta, slope, curved, count: _kept(
                    _SCORES, name, theta.sign(), slope, curved, count
                )
            ),
            "this is what goes, not what stays": lambda *arguments: ~_kept(_SCORES, *arguments),
        },
        show=lambda name, theta, slope, curved, count: (
            f"{name}, weights {theta.tolist()}, slopes {slope.tolist()}, Hg {curved.tolist()} and "
            f"the count {count}"
        ),
    )


_SCORES = {  # of weights, slopes and Hg, so that the lowest go
    "skeletonization": lambda theta, slope, curved: -theta * slope,
    "SNIP": lambda theta, slope, curved: (theta * slope).abs(),
    "GraSP": lambda theta, slope, curved: theta * curved,
}


def _kept(of, name, theta, slope, curved, count):
    return _first(of[name](theta, slope, curved), count)


def _but(**mistaken):
    """All scores right but these."""
    return lambda *arguments: _kept(_SCORES | mistaken, *arguments)


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
