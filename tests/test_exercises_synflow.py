"""The exercises of "Cut in two": the right answers, and what is said about wrong ones."""

import math

import pytest
import torch
from torch import nn

from uecompress import networks, uncertainty
from uecompress.exercises import check
from uecompress.exercises import synflow as exercises
from uecompress.pruning import scores


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-synflow-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_pipe(says):
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    model[0].weight.data = torch.tensor([[1.0, -2], [0, 3]])
    model[2].weight.data = torch.tensor([[-4.0, 1]])
    found = scores.synflow(model, input_shape=(2,))["0"]
    total = scores.synflow(model, input_shape=(2,))["2"].sum()
    assert says("pipe", [total.item(), found[0, 1].item()]) == "✓ correct"
    assert "absolute values" in says("pipe", [7, 8])
    assert "weight times" in says("pipe", [15, 4])
    assert "goes on" in says("pipe", [15, 2])
    assert "has a part" in says("pipe", [15, 12])
    assert "first R" in says("pipe", [8, 15])


def loop(layers):
    """Counts as a reader would, weight after weight."""
    total, count = 0.0, 0
    for score in sorted(value for layer in layers for value in layer.flatten().tolist()):
        total += score
        if total >= layers[0].sum():
            return count
        count += 1
    return count


def test_safe(says):
    assert says("safe", loop) == "✓ correct"
    assert "not R itself" in says("safe", lambda layers: _below(layers, layers[0].sum() + 1e-9))
    assert "not of all" in says("safe", lambda layers: _below(layers, sum(s.sum() for s in layers)))
    assert "lowest scores go first" in says(
        "safe", lambda layers: _below(layers, layers[0].sum(), descending=True)
    )
    assert "not those of one" in says("safe", lambda layers: _below(layers[:1], layers[0].sum()))
    assert "how many stay" in says(
        "safe", lambda layers: sum(s.numel() for s in layers) - loop(layers)
    )


def _below(layers, limit, descending=False):
    every = torch.cat([s.flatten() for s in layers]).sort(descending=descending).values
    return int((every.cumsum(0) < limit).sum())


def test_no_layer_can_be_emptied_by_a_safe_round_and_one_more_could():
    even = [torch.full((2, 2), 3.0), torch.full((2, 2), 3.0)]
    assert loop(even) == 3  # a fourth could be the last of a layer


def test_dead(says):
    shares = torch.tensor([0.5, 0.25, 0.25]).double()
    labels = torch.tensor([0, 0, 1, 2])
    answers = shares.log().expand(1, 4, 3)  # (members, images, classes)
    right = [getattr(uncertainty, name)(answers, labels) for name in ("accuracy", "nll", "ece")]
    assert says("dead", right) == "✓ correct"
    assert "frequencies" in says("dead", [1 / 3, math.log(3), 0])
    assert "nats" in says("dead", [0.5, 1.5, 0])
    assert "not of the first class" in says("dead", [0.5, math.log(2), 0])
    assert "half sure" in says("dead", [0.5, 1.04, 0.5])


def test_gauge(says):
    net = nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 20, bias=False),
        nn.ReLU(),
        nn.Linear(20, 20, bias=False),
        nn.ReLU(),
        nn.Linear(20, 10, bias=False),
    )
    generator = torch.Generator().manual_seed(0)
    for layer in networks.plain_layers(net).values():
        drawn = torch.randn(layer.weight.shape, generator=generator)
        layer.weight.data = drawn * (2 / drawn.shape[1]) ** 0.5
    before, after = exercises._both(net), exercises._both(exercises._scaled(net, 4, 1 / 4))
    assert after[1] == pytest.approx(before[1])  # the flow does not notice
    assert after[0] != pytest.approx(before[0])
    assert says("gauge", after, net=net) == "✓ correct"
    assert "as it was" in says("gauge", before, net=net)
    assert "function changes" in says("gauge", exercises._both(exercises._scaled(net, 4)), net=net)
    assert "the second divided" in says(
        "gauge", exercises._both(exercises._scaled(net, 1 / 4, 4)), net=net
    )
    assert "first magnitude" in says("gauge", after[::-1], net=net)
