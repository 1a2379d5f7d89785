"""The exercises of chapter 22: the right answers, and what is said about wrong ones."""

import copy

import pytest
import torch

from uecompress import bench, networks, pruning, uncertainty
from uecompress.exercises import check, structured


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-structured-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_step(says):
    gamma = torch.tensor([0.2, -0.03, 0.01])
    stepped = gamma.sign() * (gamma.abs() - 0.5 * 0.1).clamp(min=0)
    silent = sum(g == 0 and b == 0 for g, b in zip(stepped, (0.3, 0, 0.4), strict=True))
    assert says("step", [*stepped.tolist(), int(silent)]) == "✓ correct"
    assert "still says" in says("step", [0.15, 0, 0, 2])
    by_gradient = gamma - 0.5 * 0.1 * gamma.sign()
    assert "would pass 0" in says("step", [*by_gradient.tolist(), 0])
    assert "not λ alone" in says("step", [0.1, 0, 0, 1])
    assert "large one moves" in says("step", [0.2, 0, 0, 1])


def test_price(says):
    model = networks.lenet300()
    density = {name: 0.25 for name in ("linear1", "linear2")}
    norms = {name: layer.weight.abs() for name, layer in networks.plain_layers(model).items()}
    cut = pruning.prune_units(model, pruning.unit_scores(model, norms), density=density)
    small, x = networks.shrink(cut), torch.rand(2, 1, 28, 28)
    whole, less = (uncertainty.multiply_adds(net, x) for net in (model, small))
    _, epochs = pruning.scratch_b(small, 25, dense=model, x=x, seed=0)
    assert says("price", [whole, less, epochs]) == "✓ correct"
    assert "like any other" in says("price", [whole / 4, less, epochs])
    assert "rows and of its columns" in says("price", [whole, whole / 4, 100])
    assert "scratch-E" in says("price", [whole, less, 25])
    assert "one quarter stays" in says("price", [whole, 225 * 784 + 75 * 225 + 750, 34])


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
