"""The exercises of "Cut in two"."""

import math
from functools import partial

import torch

from uecompress import networks
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number
from uecompress.pruning import scores


def pipe():
    """R of ((1, −2), (0, 3)) and (−4, 1), and the flow through −2."""
    return Number(
        [15, 8],
        {
            "the absolute values are missing": [7, 8],
            "a score is the weight times what comes in and what goes out": [15, 4],
            "what goes on from the unit counts, too": [15, 2],
            "that is the flow through the unit, of which this weight has a part": [15, 12],
            "the input of this weight brings 1, and not what all its pipes pass on": [15, 40],
            "first R, then the flow": [8, 15],
        },
    )


def safe():
    """How many of the lowest scores sum to less than one layer's."""
    generator = torch.Generator().manual_seed(0)

    def layers(*shapes):
        drawn = [torch.rand(shape, generator=generator).double() + 0.01 for shape in shapes]
        return [12 * score / score.sum() for score in drawn]

    half = torch.full((2, 2), 3.0, dtype=torch.float64)  # the sum of four is R exactly
    return Function(
        _safe,
        [
            (layers((20, 10), (5, 20), (3, 5)),),
            (layers((4, 4), (30, 4), (2, 30)),),
            (layers((9, 9), (9, 9)),),
            ([half, half.clone()],),
            ([torch.tensor([[2.0, 10.0]]).double(), torch.tensor([[12.0]]).double()],),
        ],
        {
            "less than R, not R itself: four scores that sum to R can be a whole layer": (
                lambda scores: int((_sums(scores) <= scores[0].sum() + 1e-9).sum())
            ),
            "R is the sum of one layer, not of all": lambda scores: int(
                (_sums(scores) < sum(score.sum() for score in scores)).sum()
            ),
            "the lowest scores go first": lambda scores: int(
                (_sums(scores, descending=True) < scores[0].sum()).sum()
            ),
            "the lowest of all layers go, not those of one": lambda scores: int(
                (_sums(scores[:1]) < scores[0].sum()).sum()
            ),
            "this is how many stay": lambda scores: sum(map(torch.numel, scores)) - _safe(scores),
        },
        show=lambda scores: f"layers of shapes {[tuple(score.shape) for score in scores]}",
    )


def _sums(scores, descending=False):
    every = torch.cat([score.flatten() for score in scores])
    return every.sort(descending=descending).values.cumsum(0)


def _safe(scores):
    return int((_sums(scores) < scores[0].sum()).sum())


def dead():
    """Accuracy, NLL and ECE of a network that knows how frequent three classes are."""
    nll = 1.5 * math.log(2)
    return Number(
        [0.5, nll, 0.0],
        {
            "it has learned the frequencies, not one in three": [
                1 / 3,
                math.log(3),
                0,
            ],
            "in nats, not in bits": [0.5, 1.5, 0],
            "half of the images are not of the first class: their NLL counts, too": [
                0.5,
                math.log(2),
                0,
            ],
            "it is half sure, and right half of the time": [0.5, nll, 0.5],
        },
    )


def gauge(net):
    """One cut by magnitude and by flow, after the first two layers have changed their scales.

    Args:
        net: a chain of layers without biases, for images of 28 × 28 pixels.
    """
    before, after = _both(net), _both(_scaled(net, 4, 1 / 4))
    return Number(
        after,
        {
            "this is the network as it was": before,
            "divide the second layer, or the function changes": _both(_scaled(net, 4, 1)),
            "the first layer is multiplied, the second divided": _both(_scaled(net, 1 / 4, 4)),
            "first magnitude, then flow": after[::-1],
        },
    )


@torch.no_grad()
def _scaled(net, *factors):
    scaled = networks.plain(net)
    layers = networks.plain_layers(scaled).values()
    for layer, factor in zip(layers, factors, strict=False):
        layer.weight.mul_(factor)
    return scaled


def _both(net):
    flow = partial(scores.synflow, input_shape=(1, 28, 28))
    return [_critical(score(net)) for score in (scores.magnitude, flow)]


def _critical(found):
    """The largest compression at which one cut leaves every layer a weight."""
    parts = [score.double().flatten() for score in found.values()]
    worst = min(score.max() for score in parts)
    return sum(map(len, parts)) / sum(int((score >= worst).sum()) for score in parts)
