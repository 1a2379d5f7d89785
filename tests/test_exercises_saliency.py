"""The exercises of "Saliency": the right answers, and what is said about wrong ones."""

import pytest
import torch

from uecompress import data, networks, pruning
from uecompress.exercises import check


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-saliency-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_forecast(says):
    assert says("forecast", [-12, 6]) == "✓ correct"
    assert "minus that" in says("forecast", [12, 6])
    assert "times the weight" in says("forecast", [-6, 6])
    assert "forgot w₂" in says("forecast", [-4, 6])
    assert "from what it was" in says("forecast", [-12, 8])
    assert "minus the loss with it" in says("forecast", [-12, -6])
    assert "forecast first" in says("forecast", [6, -12])


def test_keep(says):
    def by_pruning(theta, slope, count):
        layer = torch.nn.Sequential(torch.nn.Linear(len(theta), 1, bias=False))
        score = {"0": (theta * slope).abs()[None]}
        pruned = pruning.prune(layer, score, density=count / len(theta))
        return pruned[0].weight[0] != 0

    def above(theta, slope, count):
        score = (theta * slope).abs()
        return score >= score.sort().values[-count]

    def top(score, count):
        order = score.argsort(descending=True, stable=True)
        return order.argsort() < count

    assert says("keep", by_pruning) == "✓ correct"
    assert says("keep", lambda theta, slope, count: ...).startswith("… waiting")
    assert "keeps all that are equal" in says("keep", above)
    assert "slope alone" in says("keep", lambda t, s, k: top(s.abs(), k))
    assert "that harms much" in says("keep", lambda t, s, k: top(t * s, k))
    assert "skeletonization" in says("keep", lambda t, s, k: top(-t * s, k))
    assert "lowest scores" in says("keep", lambda t, s, k: top(-(t * s).abs(), k))
    assert "what goes" in says("keep", lambda t, s, k: ~top((t * s).abs(), k))


def test_zeros(says):
    model, (x, y) = networks.lenet300(seed=0), data.load("digits", "train")
    page = {"model": model, "images": (x, y)}

    def unread(of):
        batch = x[of], y[of]
        score = pruning.scores.snip(model, batch)
        return ~(pruning.prune(model, score, density=0.02).linear1.weight != 0).any(0)

    only, first = unread(y == 0), unread(torch.arange(1000) < 100)
    ink = x.sum(0).flatten()
    share = (ink[only].sum() / ink.sum()).item()
    assert 0.1 < share < 0.9
    assert says("zeros", share, **page) == "✓ correct"
    assert "still read" in says("zeros", 1 - share, **page)
    assert "not of the ink" in says("zeros", only.double().mean(), **page)
    assert "all classes" in says("zeros", ink[first].sum() / ink.sum(), **page)
    never = x[y == 0].sum(0).flatten() == 0
    assert "no zero inks" in says("zeros", ink[never].sum() / ink.sum(), **page)
