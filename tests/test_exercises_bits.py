"""The exercises of "How many bits": the right answers, and what is said about wrong ones."""

import pytest
import torch
from torch import nn

from uecompress import bayes, networks, storage
from uecompress.exercises import bits, check


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-bits-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_count(says):
    small = 311 * 86 * 13 + 86 * 14 * 11 + 14 * 10 * 10
    assert says("count", 32 * 266_610 / (small + 784 + 32 * 110)) == "✓ correct"
    assert "biases of the small" in says("count", 32 * 266_610 / (small + 784))
    assert "list of pixels" in says("count", 32 * 266_610 / (small + 32 * 110))
    assert "original network" in says("count", 32 * 266_200 / (small + 784 + 32 * 110))


def by_counting(log_sigma2, factor=2.0, power=0.5):
    sizes = factor * (power * log_sigma2).exp()
    return sum((2.0**-t > sizes).long() for t in range(1, 24))


def test_digits(says):
    assert says("digits", by_counting) == "✓ correct"
    assert "variance" in says("digits", lambda x: by_counting(x, power=1.0))
    assert "2σ, not σ" in says("digits", lambda x: by_counting(x, factor=1.0))
    assert "no fewer than 0" in says("digits", lambda x: (-1 - x / 2 / 0.6931471805599453).floor())


@pytest.fixture
def pair():
    torch.manual_seed(0)
    model = bayes.variational(nn.Sequential(nn.Linear(30, 20)), "group_horseshoe")
    pruned = bayes.prune_groups(model, 100.0)
    pruned[0].weight.data[:, :10] = 0
    return model, pruned


def test_finer(pair, tmp_path):
    model, pruned = pair
    length = [
        storage.save(networks.shrink(bayes.fixed_point(model, pruned, step)), tmp_path / "x")
        for step in (1.0, 0.5)
    ]
    expected = bits.finer(model, pruned)
    left = networks.nonzero_weights(pruned)
    assert expected.judge(8 * (length[1] - length[0]) / left) == (True, "correct")
    assert "bytes" in expected.judge((length[1] - length[0]) / left)[1]
    assert "not by how much" in expected.judge(8 * length[1] / left)[1]
