"""The code that README.md and CONTRIBUTING.md print does what they say."""

import re
import textwrap
from pathlib import Path

import torch

from uecompress import networks

ROOT = Path(__file__).parent.parent


def first_block(name):
    """Return the first Python block of a Markdown file."""
    text = (ROOT / name).read_text("utf-8")
    return textwrap.dedent(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1])


def test_readme_example(capsys):
    exec(first_block("README.md"), {})
    accuracy, entropy = re.findall(r"[\d.]+", capsys.readouterr().out)
    assert 0.85 < float(accuracy) <= 1
    assert 0 < float(entropy) < 1


def test_contributing_example():
    names = {}
    exec(first_block("CONTRIBUTING.md"), names)
    model = networks.lenet300()
    before = [p.clone() for p in model.parameters()]
    pruned = names["prune"](model, 0.75)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    for name, layer in networks.linear_and_conv_layers(pruned):
        assert abs((layer.weight == 0).double().mean() - 0.75) < 0.01, name
