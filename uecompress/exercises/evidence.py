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
    for n, d, s, beta in ((1, 1, 1.0, 1.0), (5, 2, 0.7, 25.0), (4, 7, 1.8, 0.5)):
        phi = torch.randn(n, d, generator=generator, dtype=torch.float64)
        y = torch.randn(n, generator=generator, dtype=torch.float64)
        inputs.append((phi, y, s, beta))
    return Function(
        _evidence,
        inputs,
        {
            "this is the fit at the best weights: take the Occam factor along": _fit,
            "this is the height of the posterior's peak: its width is missing": _peak,
            "β is a precision, the inverse of a variance": lambda phi, y, s, beta: _evidence(
                phi, y, s, 1 / beta
            ),
            "the prior's variance is s², its precision 1 / s²": lambda phi, y, s, beta: _evidence(
                phi, y, s**-1, beta
            ),
            "s is the standard deviation of the prior, not its variance": (
                lambda phi, y, s, beta: _evidence(phi, y, s**0.5, beta)
            ),
            "the noise of each target counts as well": lambda phi, y, s, beta: _evidence(
                phi, y, s, beta=1e6
            ),
            "this is the evidence; its logarithm was asked for": lambda *arguments: _evidence(
                *arguments
            ).exp(),
        },
        show=lambda phi, y, s, beta: (
            f"{len(y)} targets, {phi.shape[1]} weights, s = {s:g} and β = {beta:g}"
        ),
    )


def _evidence(phi, y, s, beta):
    """As the density of the targets, which are Gaussian."""
    covariance = torch.eye(len(y)).double() / beta + s**2 * phi @ phi.T
    return MultivariateNormal(torch.zeros_like(y), covariance).log_prob(y)


def _best(phi, y, s, beta):
    a = torch.eye(phi.shape[1]).double() / s**2 + beta * phi.T @ phi
    return beta * torch.linalg.solve(a, phi.T @ y)


def _fit(phi, y, s, beta):
    """log p(D | m, h)."""
    off = y - phi @ _best(phi, y, s, beta)
    return len(y) / 2 * math.log(beta / (2 * math.pi)) - beta / 2 * off.square().sum()


def _peak(phi, y, s, beta):
    """log p(D, m | h)."""
    m = _best(phi, y, s, beta)
    prior = -len(m) / 2 * math.log(2 * math.pi * s**2) - m.square().sum() / (2 * s**2)
    return _fit(phi, y, s, beta) + prior


def bell():
    """Nats by which Laplace's log evidence of 2 heads in 10 throws is above the true one."""
    peak, true = 2 * math.log(0.2) + 8 * math.log(0.8), -math.log(11 * 45)
    a = 2 / 0.2**2 + 8 / 0.8**2
    above = peak + math.log(2 * math.pi / a) / 2 - true
    return Number(
        above,
        {
            "this is the height of the peak: its width is missing": peak - true,
            "above the evidence: the sign is positive": -above,
            "these are bits": above / math.log(2),
            "the width has a factor of √(2π)": peak - math.log(a) / 2 - true,
            "A is a precision: the larger it is, the narrower the bell": (
                peak + math.log(2 * math.pi * a) / 2 - true
            ),
        },
    )


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
