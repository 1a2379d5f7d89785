"""The exercises of "Which weights may go?": the right answers, and what is said of wrong ones."""

import copy

import pytest
import torch

from uecompress import networks, pruning
from uecompress.exercises import check


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-tickets-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_account(says):
    keeps = (1 / 8) ** (1 / 3)
    assert says("account", [1 - keeps, 8 - 6, 11 - 6, 0.85 - 0.87]) == "✓ correct"
    assert "wrong rate" in says("account", [(1 - 1 / 8) ** (1 / 3), 2, 5, -0.02])
    assert "of what there was" in says("account", [7 / 8 / 3, 2, 5, -0.02])
    assert "the ticket's" in says("account", [0.5, 8 - 5, 11 - 5, -0.02])
    assert "went along" in says("account", [0.5, 2, 11 - 8, -0.02])
    assert "nothing cut" in says("account", [0.5, 2, 5, 0.85 - 0.90])
    assert "the control loses" in says("account", [0.5, 2, 5, 0.87 - 0.90])
    assert "a minus" in says("account", [0.5, 2, 5, 0.02])


def test_lamp(says):
    def by_definition(w):
        squares = w**2
        return torch.stack([s / squares[squares >= s].sum() for s in squares])

    def by_library(w):
        layer = torch.nn.Linear(len(w), 1)
        layer.weight.data = w[None]
        return pruning.scores.lamp(torch.nn.Sequential(layer))["0"][0]

    def smaller(w):
        squares = w**2
        return torch.stack([s / squares[squares <= s].sum() for s in squares])

    def without_itself(w):
        squares = w**2
        return torch.stack([s / squares[squares > s].sum() for s in squares])

    assert says("lamp", by_definition) == "✓ correct"
    assert says("lamp", by_library) == "✓ correct"
    assert says("lamp", lambda w: ...).startswith("… waiting")
    assert "not larger" in says("lamp", smaller)
    assert "may go" in says("lamp", lambda w: w**2 / (w**2).sum())
    assert "squares, not sizes" in says("lamp", lambda w: by_definition(w.abs().sqrt()))
    assert "put them back" in says("lamp", lambda w: by_definition(w).sort(descending=True).values)
    assert says("lamp", without_itself).startswith("✗")


def test_balance(says):
    network = networks.lenet300(seed=0)
    units = 2.0 ** torch.randint(-3, 4, (300,), generator=torch.Generator().manual_seed(0))
    page = {"network": network, "other": _scaled(network, units)}
    into = network.linear1.weight.norm(dim=1) * units
    out = network.linear2.weight.norm(dim=0) / units
    shares = {
        name: _common(network, _scaled(network, units * c))
        for name, c in {"right": (out / into).sqrt(), "none": 1, "ratio": out / into}.items()
    }
    assert says("balance", shares["right"], **page) == "✓ correct"
    assert "not yet rescaled" in says("balance", shares["none"], **page)
    assert "the root" in says("balance", shares["ratio"], **page)
    assert "upside down" in says(
        "balance", _common(network, _scaled(network, units * (into / out).sqrt())), **page
    )


@torch.no_grad()
def _scaled(network, c):
    result = copy.deepcopy(network)
    result.linear1.weight.mul_((c * torch.ones(300))[:, None])
    result.linear1.bias.mul_(c)
    result.linear2.weight.div_(c)
    return result


def _common(network, other):
    """The share of the largest tenth that two networks have in common, by sorting."""
    largest = []
    for model in (network, other):
        sizes = torch.cat([w.abs().flatten() for w in model.parameters() if w.ndim == 2])
        largest.append(set(sizes.argsort(descending=True)[:26_620].tolist()))
    return len(largest[0] & largest[1]) / 26_620
