"""The exercises of "The horseshoe": the right answers, and what is said about wrong ones."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from uecompress import bayes
from uecompress.exercises import check


@pytest.fixture
def says(capsys):
    def ask(label, answer):
        check(f"ex-horseshoe-{label}", answer)
        return capsys.readouterr().out.strip()

    return ask


def test_rate(says):
    assert says("rate", 1e10) == "✓ correct"
    assert "s is its root" in says("rate", 1e20)
    assert "τ₀⁻⁴" in says("rate", 1e5)
    assert "too large, not too small" in says("rate", 1e-10)


def test_shrunk(says):
    prior = stats.halfcauchy(scale=0.1)
    assert says("shrunk", prior.cdf(1 / 3)) == "✓ correct"
    assert "τ = 1" in says("shrunk", stats.halfcauchy.cdf(1 / 3))
    assert "below 0.9" in says("shrunk", prior.sf(1 / 3))
    assert "z < 1/3" in says("shrunk", prior.cdf(1 / 9))


def test_inverse_gamma_kl(says):
    def library(mu, sigma2, a, b):
        mu, log_sigma2 = torch.tensor([mu, math.log(sigma2)], dtype=torch.float64)
        return bayes.log_normal_inverse_gamma_kl(mu, log_sigma2, a, b)

    def gamma(mu, sigma2, a, b):
        mu, log_sigma2 = torch.tensor([mu, math.log(sigma2)], dtype=torch.float64)
        return bayes.log_normal_gamma_kl(mu, log_sigma2, a, b)

    def without_spread(mu, sigma2, a, b):
        wrong = b * (math.exp(-mu - sigma2 / 2) - math.exp(-mu + sigma2 / 2))
        return library(mu, sigma2, a, b) + wrong

    assert says("inverse-gamma-kl", library) == "✓ correct"
    assert "from the Gamma prior" in says("inverse-gamma-kl", gamma)
    assert "one over the mean" in says("inverse-gamma-kl", without_spread)
    assert "b multiplies 1/x" in says(
        "inverse-gamma-kl", lambda mu, s2, a, b: library(mu, s2, a, 1 / b)
    )


def test_half(says):
    angle = (np.arange(20_000) + 0.5) / 20_000 * math.pi / 2  # κ = sin² of it is Beta(½, ½)
    kappa = np.sin(angle) ** 2

    def believed(y):
        weight = np.sqrt(kappa) * np.exp(-kappa * y**2 / 2)
        return ((1 - kappa) * weight).sum() / weight.sum()

    y = next(y for y in np.arange(1, 3, 1e-3) if believed(y) > 0.5)
    assert says("half", y).startswith("✓")
    assert "Laplace" in says("half", 0.9405)
    assert "itself" in says("half", 1.2337)
    assert "of which y" in says("half", 0.5)
