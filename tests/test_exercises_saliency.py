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
    def by_pruning(name, theta, slope, curved, count):
        layer = torch.nn.Sequential(torch.nn.Linear(len(theta), 1, bias=False))
        score = {"0": right(name, theta, slope, curved)[None]}
        pruned = pruning.prune(layer, score, density=count / len(theta))
        return pruned[0].weight[0] != 0

    def right(name, theta, slope, curved):
        if name == "SNIP":
            return (theta * slope).abs()
        return -theta * slope if name == "skeletonization" else theta * curved

    def above(name, theta, slope, curved, count):
        score = right(name, theta, slope, curved)
        return score >= score.sort().values[-count]

    def top(score, count):
        order = score.argsort(descending=True, stable=True)
        return order.argsort() < count

    def turned(which, change):
        def keep(name, theta, slope, curved, count):
            score = right(name, theta, slope, curved)
            return top(change(score, theta, slope) if name == which else score, count)

        return keep

    assert says("keep", by_pruning) == "✓ correct"
    assert says("keep", lambda *arguments: ...).startswith("… waiting")
    assert "keeps all that are equal" in says("keep", above)
    assert "turn it around" in says("keep", turned("GraSP", lambda s, t, g: -s))
    assert "one side" in says("keep", turned("GraSP", lambda s, t, g: s.abs()))
    assert "that harms much" in says("keep", turned("SNIP", lambda s, t, g: -t * g))
    assert "harmful first" in says("keep", turned("skeletonization", lambda s, t, g: -s))
    assert "it is SNIP" in says("keep", turned("skeletonization", lambda s, t, g: s.abs()))
    assert "slopes alone" in says(
        "keep", lambda n, t, g, hg, k: top(right(n, t / t.abs(), g, hg), k)
    )
    assert "what goes" in says("keep", lambda n, t, g, hg, k: ~top(right(n, t, g, hg), k))


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
