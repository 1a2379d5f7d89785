"""The exercises of "Complexity and evidence": right answers, and what is said about wrong ones."""

import math

import numpy as np
import pytest
import torch

from uecompress import bayes
from uecompress.exercises import check, evidence


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-evidence-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_prior(says):
    ones = torch.ones(1000, 1).double()
    narrow, vague = (
        bayes.log_evidence(ones, ones[:, 0], prior_precision=p, noise_precision=1.0)
        for p in (1e-4, 1e-6)
    )
    assert says("prior", vague - narrow) == "✓ correct"
    assert "so does the evidence" in says("prior", 2.3)
    assert "not the variance" in says("prior", -1.15)
    assert "bits" in says("prior", -3.32)


def test_coin(says):
    p = np.where(np.arange(100) < 20, 0.2, 0.8)
    code_a = math.log2(101) - np.log2(p).sum()
    code_b = math.log2(101 * math.comb(100, 20))
    assert says("coin", code_a - code_b) == "✓ correct"
    assert "also tell the number" in says("coin", -np.log2(p).sum() - code_b)
    assert "nats" in says("coin", (code_a - code_b) * math.log(2))
    assert "positive" in says("coin", code_b - code_a)


def library(phi, y, s, beta):
    return bayes.log_evidence(phi, y, prior_precision=1 / s**2, noise_precision=beta)


def test_by_hand(says):
    assert says("by-hand", library) == "✓ correct"
    assert "Occam" in says("by-hand", evidence._fit)
    assert "width" in says("by-hand", evidence._peak)
    assert "inverse of" in says("by-hand", lambda phi, y, s, beta: library(phi, y, s, 1 / beta))
    assert "precision 1 / s²" in says(
        "by-hand", lambda phi, y, s, beta: library(phi, y, 1 / s, beta)
    )
    assert "standard" in says("by-hand", lambda phi, y, s, beta: library(phi, y, s**0.5, beta))
    assert "logarithm" in says("by-hand", lambda *given: math.exp(library(*given)))
    assert "for 1 targets" in says("by-hand", lambda *given: library(*given) + 1)


def test_bell(says):
    def log_throws(w):
        return (2 * w.log() + 8 * (1 - w).log()).sum()

    number, _ = bayes.laplace(log_throws, torch.tensor([0.2]).double())
    heads = torch.distributions.Beta(3.0, 9.0)  # the posterior: its density at ½ gives the evidence
    true = 10 * math.log(0.5) - heads.log_prob(torch.tensor(0.5)).item()
    assert says("bell", number - true) == "✓ correct"
    assert "width is missing" in says("bell", 1.2)
    assert "positive" in says("bell", -0.052)
    assert "bits" in says("bell", 0.0749)
    assert "2π" in says("bell", -0.867)
    assert "narrower" in says("bell", 4.19)


def test_odds(says):
    def scores(seed, n):
        return np.log([1, 1, 1, n / 10, 2, 1, 1, 1, 1, 1])  # 30 points: 3 of 13, 200: 20 of 30

    assert says("odds", [3 / 13, 20 / 30], scores=scores) == "✓ correct"
    assert "divide" in says("odds", [1, 1], scores=scores)
    assert "first 30" in says("odds", [2 / 3, 3 / 13], scores=scores)
    logs = [math.log(3) / math.log(6), math.log(20) / math.log(40)]
    assert "exponentiate" in says("odds", logs, scores=scores)
