"""Chapter 13, sparse variational dropout."""

import math

import torch

from uecompress import bayes
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def cut():
    """Nats that a weight pays when the log-uniform prior reaches to e^±800 instead of e^±8."""
    return Number(
        math.log(100),
        {
            "these are bits: take the natural logarithm": math.log2(100),
            "the logarithm is the natural one, not that to base 10": 2,
            "that is the ratio of the normalizers; the divergence has its logarithm": 100,
            "the divergence has log Z, not Z = 4 R": 4 * 792,
            "it is a price: with a larger Z the density is lower, and −log p higher": -math.log(
                100
            ),
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


def pixels(models):
    """Pixels that the first layer of each pruned network still reads."""
    used = [model.linear1.weight != 0 for model in models]
    return Number(
        [int(mask.any(0).sum()) for mask in used],
        {
            "these are the pixels that are not read": [int((~mask.any(0)).sum()) for mask in used],
            "a pixel may have several weights: these are all of the first layer": [
                int(mask.sum()) for mask in used
            ],
            "these are units, rows of the matrix; a pixel is a column": [
                int(mask.any(1).sum()) for mask in used
            ],
        },
    )
