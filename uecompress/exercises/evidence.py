"""The exercises of "Complexity and evidence"."""

import math

import numpy as np
import torch
from torch.distributions import MultivariateNormal

from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def prior():
    """Nats that the log evidence changes by if the prior of one weight is ten times as wide."""
    return Number(
        -math.log(10),
        {
            "the prior's density at the weight falls, so does the evidence": math.log(10),
            "the width is the standard deviation, not the variance": -math.log(10) / 2,
            "the data fix the posterior, but the prior's density at the weight changes": 0.0,
            "these are bits": -math.log2(10),
        },
    )


def coin():
    """Bits that the evidence saves against a two-part code, for 20 heads in 100 throws."""
    entropy = 0.2 * math.log2(1 / 0.2) + 0.8 * math.log2(1 / 0.8)
    throws = math.log2(math.comb(100, 20))
    return Number(
        100 * entropy - throws,
        {
            "A must also tell the number of heads": 100 * entropy - math.log2(101) - throws,
            "these are nats": (100 * entropy - throws) * math.log(2),
            "B spends bits on the number of heads, too": 100 * entropy + math.log2(101) - throws,
            "A is longer than B: it saves a positive number of bits": throws - 100 * entropy,
        },
    )


def by_hand():
    """The log evidence of Bayesian linear regression."""
    generator = torch.Generator().manual_seed(0)
    inputs = []
    for n, d, alpha, beta in ((1, 1, 1.0, 1.0), (5, 2, 2.0, 25.0), (4, 7, 0.3, 0.5)):
        phi = torch.randn(n, d, generator=generator, dtype=torch.float64)
        y = torch.randn(n, generator=generator, dtype=torch.float64)
        inputs.append((phi, y, alpha, beta))
    return Function(
        _evidence,
        inputs,
        {
            "this is the fit at the best weights: take the Occam factor along": _fit,
            "this is the height of the posterior's peak: its width is missing": _peak,
            "precisions are inverse variances": lambda phi, y, alpha, beta: _evidence(
                phi, y, 1 / alpha, 1 / beta
            ),
            "the noise of each target counts as well": lambda phi, y, alpha, beta: _evidence(
                phi, y, alpha, beta=1e6
            ),
            "this is the evidence; its logarithm was asked for": lambda *arguments: _evidence(
                *arguments
            ).exp(),
        },
        show=lambda phi, y, alpha, beta: (
            f"{len(y)} targets, {phi.shape[1]} weights, α = {alpha:g} and β = {beta:g}"
        ),
    )


def _evidence(phi, y, alpha, beta):
    """As the density of the targets, which are Gaussian."""
    covariance = torch.eye(len(y)).double() / beta + phi @ phi.T / alpha
    return MultivariateNormal(torch.zeros_like(y), covariance).log_prob(y)


def _best(phi, y, alpha, beta):
    a = alpha * torch.eye(phi.shape[1]).double() + beta * phi.T @ phi
    return beta * torch.linalg.solve(a, phi.T @ y)


def _fit(phi, y, alpha, beta):
    """ln p(D | m, h)."""
    off = y - phi @ _best(phi, y, alpha, beta)
    return len(y) / 2 * math.log(beta / (2 * math.pi)) - beta / 2 * off.square().sum()


def _peak(phi, y, alpha, beta):
    """ln p(D, m | h)."""
    m = _best(phi, y, alpha, beta)
    prior = len(m) / 2 * math.log(alpha / (2 * math.pi)) - alpha / 2 * m.square().sum()
    return _fit(phi, y, alpha, beta) + prior


def odds(scores):
    """The posterior probability of degree 3, for 30 and for 200 points of one data set.

    Args:
        scores: of the page: the log evidence by degree, of a seed and a number of points.
    """
    curves = [np.asarray(scores(0, n)) for n in (30, 200)]
    ratios = [np.exp(curve - curve.max()) for curve in curves]
    right = [float(r[3] / r.sum()) for r in ratios]
    return Number(
        right,
        {
            "divide by the sum, so that the ten probabilities make 1": [r[3] for r in ratios],
            "these are log evidences: exponentiate first": [c[3] / c.sum() for c in curves],
            "first 30 points, then 200": right[::-1],
        },
    )
