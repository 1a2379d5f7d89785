"""Chapter 13, sparse variational dropout."""

import math

import torch

from uecompress import bayes
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def cut():
    """The normalizer of a log-uniform prior that is cut off at e⁻⁸ and e⁸, on both sides."""
    return Number(
        32,
        {
            "the prior has two sides, w > 0 and w < 0": 16,
            "log |w| goes from −T to T, not from 0": 16.0,
            "both halves of the interval count, and both signs": 8,
            "that is the normalizer's logarithm": math.log(32),
            "the antiderivative of 1/w is log w: what you took is that of 1": 2 * math.sinh(8) * 2,
        },
    )


def kl():
    """The divergence from the log-uniform prior, of the weights of a layer."""
    mu = torch.tensor([[0.5, -0.2, 0.001], [0.0, 1.0, -0.03]], dtype=torch.float64)
    log_sigma2 = torch.tensor([[-3.0, -3.5, -2.0], [-4.0, -20.0, -7.0]], dtype=torch.float64)
    inputs = [(mu[:1], log_sigma2[:1]), (mu, log_sigma2), (mu[1], log_sigma2[1])]
    return Function(
        lambda mu, log_sigma2: _divergence(log_sigma2 - mu.square().log()),
        inputs,
        {
            "that is minus the divergence": (
                lambda mu, log_sigma2: -_divergence(log_sigma2 - mu.square().log())
            ),
            "log α is log σ² − log μ², not log σ² − log |μ|": (
                lambda mu, log_sigma2: _divergence(log_sigma2 - mu.abs().log())
            ),
            "α is noise over signal; you have signal over noise": (
                lambda mu, log_sigma2: _divergence(mu.square().log() - log_sigma2)
            ),
            "without the clip an α of exactly 0 or ∞ leads out of the formula's range": (
                lambda mu, log_sigma2: _divergence(log_sigma2 - mu.square().log(), clip=math.inf)
            ),
            "that is the mean over the weights; the ELBO wants their sum": (
                lambda mu, log_sigma2: (
                    _divergence(log_sigma2 - mu.square().log()) / log_sigma2.numel()
                )
            ),
        },
        show=lambda mu, log_sigma2: f"μ = {mu.tolist()} and log σ² = {log_sigma2.tolist()}",
    )


def _divergence(log_alpha, clip=8):
    """The sum over all weights, with log α clipped."""
    return bayes.log_uniform_kl(log_alpha.clamp(-clip, clip)).sum()


def pixels(model):
    """Pixels that the first layer of a pruned network still reads."""
    used = model.linear1.weight != 0
    read = int(used.any(0).sum())
    return Number(
        read,
        {
            "these are the pixels that it does not read": used.shape[1] - read,
            "these are the first layer's weights; a pixel may have several": int(used.sum()),
            "these are the units that have a weight: rows, not columns": int(used.any(1).sum()),
        },
    )
