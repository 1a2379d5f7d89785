"""The exercises of chapter 22: the right answers, and what is said about wrong ones."""

import copy

import pytest
import torch

from uecompress import bench, networks, pruning
from uecompress.exercises import check, structured


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-structured-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_stream(says):
    model = networks.resnet_small()
    small = networks.keep_units(model, "conv", torch.arange(16) > 0)
    gone = networks.parameter_count(model) - networks.parameter_count(small)
    assert says("stream", gone) == "✓ correct"
    assert "that read the channel lose" in says("stream", 9 + 144 + 4)
    assert "a scale and a shift" in says("stream", gone - 4)
    assert "the shortcut of the second block" in says("stream", gone - 32)
    assert "1 × 1" in says("stream", gone - 32 + 288)
    assert "no parameters" in says("stream", gone + 4)
    assert "ties others" in says("stream", 11)


def test_tied(says):
    def norms(makers, readers):
        total = sum(m.flatten(1).square().sum(1) for m in makers)
        return (total + sum(r.square().flatten(2).sum((0, 2)) for r in map(_4d, readers))).sqrt()

    assert says("tied", norms) == "✓ correct"
    assert says("tied", lambda makers, readers: ...).startswith("… waiting")
    assert "readers count" in says("tied", lambda makers, readers: norms(makers, [readers[0] * 0]))
    assert "squares of" in says("tied", lambda makers, readers: norms(makers, readers) ** 2)
    assert "absolute" in says(
        "tied",
        lambda makers, readers: (
            sum(m.flatten(1).abs().sum(1) for m in makers)
            + sum(r.abs().flatten(2).sum((0, 2)) for r in map(_4d, readers))
        ),
    )


def _4d(weight):
    return weight if weight.dim() == 4 else weight[..., None, None]


def test_the_norms_are_those_of_the_library():
    model = networks.resnet_small()
    layers = networks.plain_layers(model)
    squares = {name: layer.weight.square() for name, layer in layers.items()}
    scores = pruning.unit_scores(model, squares, side="both")
    for name, group in pruning.unit_groups(model).items():
        makers, readers = (
            [layers[n].weight for n in kind] for kind in (group.makers, group.readers)
        )
        expected = structured._norms(makers, readers).double()
        torch.testing.assert_close(scores[name].sqrt(), expected, rtol=1e-5, atol=0)


def test_gauge(says):
    network = bench.dense(0)
    other = copy.deepcopy(network)
    other.linear1.weight.data /= 10
    other.linear1.bias.data /= 10
    other.linear2.weight.data *= 10
    x = torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(network(x), other(x), rtol=1e-4, atol=1e-4)

    def second(model):
        rows = [layer.weight.abs().sum(1) for layer in (model.linear1, model.linear2)]
        best = torch.cat(rows).topk(200).indices
        return int((best >= 300).sum())

    answer = [second(network), second(other)]
    assert answer[0] < 20 < 90 < answer[1]
    page = {"network": network}
    assert says("gauge", answer, **page) == "✓ correct"
    assert "then rescaled" in says("gauge", answer[::-1], **page)
    assert "first layer" in says("gauge", [200 - n for n in answer], **page)
    assert "units that go" in says("gauge", [100 - n for n in answer], **page)
    assert "compete" in says("gauge", [50, 50], **page)
