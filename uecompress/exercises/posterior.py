"""Chapter 12, pruning by posterior."""

import math

import torch

from uecompress import bayes, networks, uncertainty
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number

LIMITS = (0.5, 0.8, 0.9, 0.95, 0.975, 0.99)  # the thresholds of the page


def prior():
    """The variance of Graves' prior for N(−1, 1), N(1, 1) and N(3, 4)."""
    return Number(
        14 / 3,
        {
            "you forgot the posteriors' own variances": 8 / 3,
            "you forgot the spread of the means": 2.0,
            "the numerators are right, but their sum is divided by W, not by W − 1": 7.0,
            "the spread is around the mean of the means, not around 0": 17 / 3,
            "that is s; its square is asked for": math.sqrt(14 / 3),
        },
    )


def keep():
    """Which weights stay, from the log of noise over signal, squared."""
    inputs = [
        (torch.tensor([-3.0, 0.0, 2.0, 10.0]), 0.95),
        (torch.tensor([[-1.0, -0.2, 0.5], [1.5, 3.1, 0.1]]), 0.5),
        (torch.tensor([2.5, 3.3, 2.9]), 0.975),
    ]
    return Function(
        lambda log_alpha, limit: (-1 / (2 * log_alpha.exp())).exp() <= limit,
        inputs,
        {
            "you keep what should go: at limit 0.95 a weight with log α = 10 stays": (
                lambda log_alpha, limit: (-1 / (2 * log_alpha.exp())).exp() > limit
            ),
            "right up to a factor of 2 in the exponent": (
                lambda log_alpha, limit: (-1 / log_alpha.exp()).exp() <= limit
            ),
            "this is right if you are given α: did you forget to exponentiate?": (
                lambda log_alpha, limit: (-1 / (2 * log_alpha)).exp() <= limit
            ),
            "α is noise over signal: it belongs in the denominator": (
                lambda log_alpha, limit: (-log_alpha.exp() / 2).exp() <= limit
            ),
        },
        show=lambda log_alpha, limit: f"log α = {log_alpha.tolist()} and the limit {limit}",
    )


def threshold(model, images):
    """Weights that stay at the smallest threshold that loses at most a point of accuracy.

    Args:
        model: one of the page's networks with posteriors.
        images: validation images and labels.
    """

    def accuracy(network):
        return uncertainty.accuracy(uncertainty.predict(network, images[0]), images[1])

    pruned = [bayes.graves_prune(model, limit) for limit in LIMITS]
    stay = [networks.nonzero_weights(network) for network in pruned]
    whole = accuracy(model)
    allowed = [n for n, p in zip(stay, pruned, strict=True) if accuracy(p) > whole - 0.0101]
    total = networks.nonzero_weights(bayes.prune(model, math.inf))
    return Number(
        allowed[0],
        {
            "these are the weights that went, not those that stay": total - allowed[0],
            "this is λ* = 0.5, the strictest of the six; it costs far more than a point": stay[0],
            "λ* = 0.99 loses little, but it is not the smallest that does": stay[-1],
        },
    )
