"""The exercises of "What flows in flows out"."""

import itertools
import warnings

import torch

from uecompress import pruning
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number
from uecompress.pruning import scores


def neurons():
    """Saliencies of three ReLU neurons, of which one is silent, and what a temperature does."""
    return Number(
        [4.0, 0.0, -2.0, -0.04],
        {
            "a neuron whose value is negative is silent, and no saliency passes it": [
                4,
                -5,
                -2,
                0.06,
            ],
            "saliency has a sign: the third neuron lowers R": [4, 0, 2, -0.12],
            "these are the activations: multiply them by the outgoing weights": [4, 0, 1, -0.1],
            "these are the slopes ∂R/∂x: multiply them by the neurons' values": [1, 0, -2, 0.02],
            "these are the saliencies; the effect of the temperature is missing": [4, 0, -2],
            "a temperature above 1 makes logits smaller: minus the saliency": [4, 0, -2, 0.04],
            "one layer shrunk is the whole temperature: do not add up the layers": [
                4,
                0,
                -2,
                -0.08,
            ],
            "this is the exact change; to first order it is minus the sum times 0.02": [
                4,
                0,
                -2,
                2 / 1.02 - 2,
            ],
        },
    )


def leak():
    """What enters each unit of a layer, its bias included, minus what leaves."""
    inputs = [
        _scores((6, 4), (4, 6)),
        _scores((5, 3), (3, 5)),
        _scores((6, 4, 3, 3), (4, 6, 3, 3)),
    ]
    return Function(
        lambda made, bias, read: _enters(made) + bias - _leaves(read),
        inputs,
        {
            "the saliency of the biases is missing": lambda made, bias, read: (
                _enters(made) - _leaves(read)
            ),
            "a bias enters, as the weights do: add it to them": lambda made, bias, read: (
                _enters(made) - bias - _leaves(read)
            ),
            "the other way round: what enters minus what leaves": lambda made, bias, read: (
                _leaves(read) - _enters(made) - bias
            ),
            "the law is about scores with their signs: leave them": lambda made, bias, read: (
                _enters(made.abs()) + bias.abs() - _leaves(read.abs())
            ),
            "this is one sum for the whole layer: give one for each neuron": (
                lambda made, bias, read: made.sum() + bias.sum() - read.sum()
            ),
        },
        show=lambda made, bias, read: f"shapes {tuple(made.shape)} and {tuple(read.shape)}",
    )


def _scores(made, read, seed=0):
    """Scores of a layer, of its biases and of the layer behind it."""
    draw = torch.Generator().manual_seed(seed)
    shapes = made, made[:1], read
    return tuple(torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes)


def _enters(score):
    return score.flatten(1).sum(1)


def _leaves(score):
    return score.transpose(0, 1).flatten(1).sum(1)


def rounds(network):
    """The fewest rounds of SynFlow that keep a chain of layers alive at half of N/L.

    Args:
        network: the page's ``tiny``.
    """
    limit = pruning.maximal_critical_compression(network)
    right = _fewest(network, limit / 2, pruning.exponential)
    return Number(
        right,
        {
            "with one round less it is alive, too: find the smallest number": right + 1,
            "with so few rounds a layer is empty": right - 1,
            "this is for the linear schedule": _fewest(network, limit / 2, pruning.linear),
            "this is for all of N/L": _fewest(network, limit, pruning.exponential),
        },
    )


def _fewest(network, ratio, schedule):
    """The smallest number of rounds with which no layer is empty at this compression."""
    shape = (next(network.parameters()).shape[1],)
    how = {"density": 1 / ratio, "schedule": schedule}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # which name the empty layers
        for n in itertools.count(1):
            left = pruning.prune_in_rounds(
                network, lambda net: scores.synflow(net, input_shape=shape), rounds=n, **how
            )
            if all(pruning.densities(left).values()):
                return n
