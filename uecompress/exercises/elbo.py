"""Chapter 11, the ELBO."""

import math

import torch

from uecompress import bayes, data, training, uncertainty
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def decay():
    """The standard deviation of the prior that a weight decay of 1e-4 stands for."""
    variance = 1 / (55_000 * 1e-4)
    return Number(
        math.sqrt(variance),
        {
            "the loss is a mean, so the divergence is divided by N": math.sqrt(1 / 1e-4),
            "this is the variance": variance,
            "the decay multiplies w itself: it is 1 / (s² N)": math.sqrt(variance / 2),
        },
    )


def gap():
    """What independent weights miss of a Gaussian posterior with correlation 0.9, in nats."""
    return Number(
        -0.5 * math.log(1 - 0.81),
        {
            "the correlation enters squared": -0.5 * math.log(1 - 0.9),
            "a root of the determinant is taken: there is a factor ½": -math.log(1 - 0.81),
            "these are bits": -0.5 * math.log2(1 - 0.81),
            "this q has the variances of the posterior; narrower ones are better": (
                1 / 0.19 - 1 + 0.5 * math.log(0.19)
            ),
        },
    )


def loss():
    """Minus the ELBO per example, from a batch."""
    generator = torch.Generator().manual_seed(0)

    def drawn(batch, weights, s, examples):
        log_p, mu, log_sigma2 = (
            torch.randn(n, generator=generator, dtype=torch.float64)
            for n in (batch, weights, weights)
        )
        return -log_p.abs(), mu, log_sigma2 - 3, s, examples

    inputs = [drawn(8, 5, 1.0, 40), drawn(16, 30, 0.2, 1000), drawn(3, 12, 3.0, 7)]
    return Function(
        _loss,
        inputs,
        {
            "the divergence belongs to all N examples: divide it by N, not by the batch": (
                lambda p, m, v, s, n: _loss(p, m, v, s, len(p))
            ),
            "per example, the divergence is divided by N": (
                lambda p, m, v, s, n: _loss(p, m, v, s, 1)
            ),
            "the divergence is a sum over the weights, not a mean": (
                lambda p, m, v, s, n: _loss(p, m, v, s, n * len(m))
            ),
            "this is minus the ELBO of all N examples; divide by N": (
                lambda p, m, v, s, n: n * _loss(p, m, v, s, n)
            ),
            "the first term is a mean over the batch": (
                lambda p, m, v, s, n: -p.sum() + _loss(0 * p, m, v, s, n)
            ),
            "this is the ELBO; a loss is minus it": lambda p, m, v, s, n: -_loss(p, m, v, s, n),
            "log p has the wrong sign: this makes the data as unlikely as possible": (
                lambda p, m, v, s, n: _loss(-p, m, v, s, n)
            ),
            "log_sigma2 is the log of the variance, not of σ": (
                lambda p, m, v, s, n: _loss(p, m, 2 * v, s, n)
            ),
            "the prior's variance is s², not s": (
                lambda p, m, v, s, n: _loss(p, m, v, math.sqrt(s), n)
            ),
        },
        show=lambda p, m, v, s, n: f"a batch of {len(p)}, {len(m)} weights, s = {s} and N = {n}",
    )


def _loss(log_p, mu, log_sigma2, s, examples):
    ratio = log_sigma2.exp() / s**2
    nats = 0.5 * (ratio + mu**2 / s**2 - 1 - ratio.log()).sum()
    return -log_p.mean() + nats / examples


def prior(right, start):
    """The ELBO per example with the prior of s = 0.1 minus that of the page's network, in nats.

    Args:
        right: the page's network for seed 0, trained with s = 0.2.
        start: what ``bench.dense(0)`` returned.
    """
    images = data.load("digits", "train")
    narrow = training.fit(
        bayes.variational(start, "mean_field", prior_sigma=0.1, initial_log_sigma2=-4.0),
        images,
        seed=0,
        loss=bayes.elbo_loss(len(images[1]), warm_up=(0, 0.5)),
        progress=False,
        epochs=20,
        batch_size=100,
        lr=lambda done: 0.03 * (1 - done),
    )
    fits, prices = zip(*(_bound(model, images) for model in (narrow, right)), strict=True)
    fit, price = fits[0] - fits[1], prices[0] - prices[1]
    return Number(
        fit - price,
        {
            "this is the difference of all examples together": len(images[1]) * (fit - price),
            "the narrow prior has the larger ELBO: turn the sign": price - fit,
            "this is the divergence alone": -price,
            "this is the likelihood alone": fit,
        },
    )


def _bound(model, images):
    """The two terms of the ELBO per example, from 20 draws."""
    x, y = images
    log_probs = uncertainty.predict(model, x, samples=20)
    return log_probs[:, range(len(y)), y].mean().item(), bayes.kl(model).item() / len(y)
