"""The exercises of "Quantizing priors"."""

import copy
import math

import torch

from uecompress import bayes, data, networks, uncertainty
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def spikes():
    """Nats by which one spike undershoots five with equal shares."""
    return Number(
        math.log(5),
        {
            "the answer is in nats, this is in bits": math.log2(5),
            "one spike is a fifth of the prior, not a quarter": math.log(4),
            "take the logarithm of the ratio": 4 / 5,
            "it is too low by this: answer how much it undershoots, a positive number": (
                -math.log(5)
            ),
        },
    )


def rescaled():
    """The divergence from the quantizing prior with the codes −a, 0 and a."""
    mu = torch.tensor([-0.31, -0.12, 0.013, 0.07, 0.24, 0.56], dtype=torch.float64)
    logs = torch.tensor([-7.5, -8.0, -5.0, -9.0, -3.0, -6.0], dtype=torch.float64)
    right = _kl(lambda mu, logs, ratio: (mu / ratio, logs - 2 * ratio.log()))
    return Function(
        right,
        [(mu, logs, 0.5), (mu, logs, 0.15), (mu[:3], logs[:3], 0.3)],
        {
            "this is right for a = 0.2 alone": _kl(lambda mu, logs, ratio: (mu, logs)),
            "σ is measured in the same unit as μ: rescale both": _kl(
                lambda mu, logs, ratio: (mu / ratio, logs)
            ),
            "σ² takes the square of the factor that σ takes": _kl(
                lambda mu, logs, ratio: (mu / ratio, logs - ratio.log())
            ),
            "the other way round: a weight at a must come to lie at 0.2": _kl(
                lambda mu, logs, ratio: (mu * ratio, logs + 2 * ratio.log())
            ),
            "the codes have moved, but the windows kept their width": lambda mu, logs, a: (
                bayes.multi_spike_kl(mu, logs, (-a, 0.0, a))
            ),
            "entry by entry: do not sum": lambda mu, logs, a: right(mu, logs, a).sum(),
        },
        show=lambda mu, logs, a: f"six weights and a = {a}" if len(mu) == 6 else f"a = {a}",
    )


def _kl(rescale):
    """A function of μ, log σ² and a: the divergence after ``rescale`` with the ratio a / 0.2."""

    def divergence(mu, log_sigma2, a):
        ratio = torch.tensor(a / 0.2, dtype=mu.dtype)
        return bayes.multi_spike_kl(*rescale(mu, log_sigma2, ratio))

    return divergence


def sigma(posterior, ternary):
    """Accuracies without the fifth of the weights with the smallest, or largest, deviations.

    Args:
        posterior: the variational network of the page.
        ternary: what quantization made of it.
    """
    without = {sign: _without(posterior, ternary, sign) for sign in (1, -1)}
    right = [_accuracy(without[1]), _accuracy(without[-1])]
    of_all = [_accuracy(_without(posterior, ternary, sign, of_all=True)) for sign in (1, -1)]
    both = _accuracy(_without(posterior, without[1], -1))
    whole = _accuracy(ternary)
    return Number(
        right,
        {
            "the other order: first without the smallest": right[::-1],
            "these are points in 100: give shares": [100 * share for share in right],
            "these are losses: give the accuracies that are left": [whole - x for x in right],
            "the second begins with a fresh copy, with all its weights": [right[0], both],
            "take a fifth of the weights that are not zero, not of all": of_all,
        },
    )


def _without(posterior, ternary, sign, of_all=False):
    """A copy without a fifth of its weights: those of small deviation, or large with sign −1."""
    result = copy.deepcopy(ternary)
    for name, layer in networks.linear_and_conv_layers(result):
        score = sign * posterior.get_submodule(name).weight_log_sigma2.detach()
        left = layer.weight != 0
        limit = torch.quantile(score if of_all else score[left], 0.2)
        layer.weight.data[left & (score <= limit)] = 0
    return result


def _accuracy(model):
    """Accuracy on the test digits."""
    images, labels = data.load("digits", "test")
    return uncertainty.accuracy(uncertainty.predict(model, images), labels)
