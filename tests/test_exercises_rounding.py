"""The exercises of "Rounding while you train": right answers, and what is said about wrong ones."""

import pytest
import torch

from uecompress import quantization, storage
from uecompress.exercises import check
from uecompress.exercises import rounding as exercises


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-rounding-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def slope(w):
    """By the library's rounding; its gradient is scaled by 1 / √(count · high)."""
    step = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    quantization.learned_rounding(torch.tensor(w).double(), step, -2, 1, 1).backward()
    return step.grad.item()


def test_step(says):
    assert says("step", [slope(w) for w in (0.2, -0.65, 0.9)]) == "✓ correct"
    assert "not w / s minus" in says("step", [0.4, -0.3, 1])
    assert "beyond the end: the slope" in says("step", [-0.4, 0.3, 0.2])
    assert "divide by s" in says("step", [-0.2, 0.35, 0.1])
    assert "not by 0" in says("step", [-0.4, 0.3, 0])


def test_through(says):
    def right(w, step, low, high):
        inside = (w / step).clamp(low, high)
        return step * (inside + (inside.round() - inside).detach())

    assert says("through", right) == "✓ correct"
    assert "waiting" in says("through", ...)
    assert "waiting" in says("through", lambda w, step, low, high: None)
    for function, words in (
        (exercises._everywhere, "where the weight is clipped"),
        (exercises._flat, "by w is 0"),
        (exercises._fixed_step, "by the step is missing"),
    ):
        assert words in says("through", function)


def test_a_result_without_a_gradient_is_explained(says):
    def constant(w, step, low, high):
        return exercises._right(w, step, low, high).detach()

    assert "detach" in says("through", constant)


def test_length(says):
    draw = torch.Generator().manual_seed(0)
    codes = (torch.rand(100, 100, generator=draw) < 0.05).to(torch.int8)
    p = codes.double().mean()
    entropy = -(p * p.log2() + (1 - p) * (1 - p).log2()).item() * codes.numel()
    ratio = storage.size({"codes": codes}) * 8 / entropy
    assert 0.95 < ratio < 1.3  # no neighbours to learn from, and a header
    assert says("length", ratio, codes=codes) == "✓ correct"
    assert "other way round" in says("length", 1 / ratio, codes=codes)
    assert "eight bits" in says("length", ratio / 8, codes=codes)
    assert "base 2" in says("length", ratio / 0.6931472, codes=codes)
