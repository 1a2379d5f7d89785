"""The code that README.md and CONTRIBUTING.md print does what they say."""

import re
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from uecompress import bayes, lowrank, networks

ROOT = Path(__file__).parent.parent


def names_of(name, block=0):
    """What a Python block of a Markdown file defines."""
    text = (ROOT / name).read_text("utf-8")
    blocks = re.findall(r"^( *)```python\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    names = {"__name__": "example"}
    exec(textwrap.dedent(blocks[block][1]), names)
    return names


def lines_of(text):
    """Bytes, accuracy and AUROC that the README's example prints, by network."""
    found = re.findall(
        r"^(.+): ([\d,]+) bytes, accuracy (\S+), .* AUROC (\S+)$", text, re.MULTILINE
    )
    return {name: [float(n.replace(",", "")) for n in numbers] for name, *numbers in found}


def test_readme_example_prints_what_the_readme_shows(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names_of("README.md")
    printed = lines_of(capsys.readouterr().out)
    shown = lines_of((ROOT / "README.md").read_text("utf-8"))
    assert list(printed) == list(shown) == ["dense", "rank 20"]
    for name, (size, accuracy, auroc) in printed.items():
        assert size == pytest.approx(shown[name][0], rel=0.01)
        assert accuracy == pytest.approx(shown[name][1], abs=0.02)
        assert auroc == pytest.approx(shown[name][2], abs=0.12)
    assert printed["rank 20"][2] < printed["dense"][2] < 0.5  # "compression makes it worse"


def test_contributing_example():
    prune = names_of("CONTRIBUTING.md")["prune"]
    model = networks.lenet300()
    before = [p.clone() for p in model.parameters()]
    pruned = prune(model, 0.75)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    for name, layer in networks.linear_and_conv_layers(pruned):
        assert abs((layer.weight == 0).double().mean() - 0.75) < 0.01, name


def test_contributing_example_finds_its_weights_or_raises():
    prune = names_of("CONTRIBUTING.md")["prune"]
    model = networks.lenet300()
    others = [lowrank.compress(model, "tt", rank=2), bayes.variational(model, "vnq")]
    coded = names_of("CONTRIBUTING.md", 1)["CodedLinear"]
    others.append(nn.Sequential(coded.from_linear(model.linear3)))
    for other in others:
        with pytest.raises(ValueError, match="no plain Linear or Conv2d layer"):
            prune(other, 0.5)
    for layer in (model.linear1, model.linear2, model.linear3):
        nn.utils.parametrizations.weight_norm(layer)
    total = 784 * 300 + 300 * 100 + 100 * 10
    assert networks.nonzero_weights(prune(model, 0.5)) == pytest.approx(total / 2, rel=1e-3)
    with pytest.raises(ValueError, match=r"fraction must be in \[0, 1\)"):
        prune(model, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_contributing_layer(dtype):
    names = names_of("CONTRIBUTING.md", 1)
    torch.manual_seed(0)
    x = torch.rand(2, 3, 5, 5, dtype=dtype)
    for plain, coded, inputs in (
        (nn.Linear(5, 4), names["CodedLinear"].from_linear, x),
        (nn.Conv2d(3, 4, 3, padding=1), names["CodedConv2d"].from_conv2d, x),
    ):
        layer = coded(plain.to(dtype))
        assert layer.codes.dtype == torch.int8
        step = layer.scale.double()
        rounding = 127 * torch.finfo(dtype).eps  # of the scale, in steps
        error = layer.dense_weight.double() - plain.weight.double()
        assert error.abs().max() <= (0.5 + 2 * rounding) * step
        with torch.no_grad():
            plain.weight.copy_(layer.dense_weight)
        assert torch.equal(layer(inputs), plain(inputs))
        again = type(layer)(**layer.config()).to(dtype)
        assert not again.codes.any()  # nothing of the weights that it drew
        assert again.scale == 1
        again.load_state_dict(layer.state_dict())
        assert torch.equal(again(inputs), layer(inputs))
        assert re.search(r"(in_features=5|in_channels=3)", str(layer))
