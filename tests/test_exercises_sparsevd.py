"""The exercises of "Sparse variational dropout": right answers, and what wrong ones are told."""

import math

import pytest
import torch

from uecompress import bayes, bench, networks
from uecompress.exercises import check


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-sparsevd-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_cut(says):
    def normalizer(end):
        t = torch.linspace(-end, end, 100_001, dtype=torch.float64)  # t = log |w|, dw = |w| dt
        return 2 * torch.trapezoid(torch.ones_like(t), t)

    assert says("cut", (normalizer(800) / normalizer(8)).log()) == "✓ correct"
    assert "bits" in says("cut", 6.64)
    assert "base 10" in says("cut", 2)
    assert "ratio" in says("cut", 100)
    assert "not Z" in says("cut", 3168)
    assert "price" in says("cut", -4.6)


def test_kl(says):
    def price(mu, log_sigma2, sign=1, clip=8.0):
        a = (sign * (log_sigma2 - (mu**2).log())).clamp(-clip, clip)
        gate = torch.sigmoid(1.87320 + 1.48695 * a)
        return (0.63576 + torch.log1p((-a).exp()) / 2 - 0.63576 * gate).sum()

    assert says("kl", price) == "✓ correct"
    assert says("kl", lambda mu, log_sigma2: ...).startswith("… waiting")
    assert "minus" in says("kl", lambda mu, s: -price(mu, s))
    assert "log |μ|" in says("kl", lambda mu, s: price(mu.abs().sqrt(), s))
    assert "signal over noise" in says("kl", lambda mu, s: price(mu, s, sign=-1))
    assert "mean" in says("kl", lambda mu, s: price(mu, s) / s.numel())
    assert "clip" in says("kl", lambda mu, s: price(mu, s, clip=math.inf))


def test_the_library_agrees_with_the_exercise(says):
    def by_layer(mu, log_sigma2):
        mu, log_sigma2 = torch.atleast_2d(mu), torch.atleast_2d(log_sigma2)
        layer = bayes.SparseVDLinear(mu.shape[1], mu.shape[0]).double()
        layer.weight_mu.data, layer.weight_log_sigma2.data = mu, log_sigma2
        return layer.kl()

    assert says("kl", by_layer).startswith(("✓ correct", "✓ close"))


def test_pixels(says):
    pruned = [bench.cut(networks.lenet300(seed=0), share) for share in (0.85, 0.88)]
    page = {"models": pruned}
    weights = [network.linear1.weight for network in pruned]
    read = [len({column for _, column in w.nonzero().tolist()}) for w in weights]
    assert says("pixels", read, **page) == "✓ correct"
    assert "not read" in says("pixels", [784 - count for count in read], **page)
    assert "several weights" in says("pixels", [int(w.count_nonzero()) for w in weights], **page)
    rows = [len({row for row, _ in w.nonzero().tolist()}) for w in weights]
    assert "rows of the matrix" in says("pixels", rows, **page)
