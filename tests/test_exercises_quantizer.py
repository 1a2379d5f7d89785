"""The exercises of "The quantizer": the right answers, and what is said about wrong ones."""

import pytest
import torch

from uecompress import quantization
from uecompress.exercises import check
from uecompress.exercises import quantizer as exercises


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-quantizer-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_codes(says):
    numbers, w = torch.tensor([0.5, -0.31, 2.0]).double(), torch.tensor(5.5).double()
    right = quantization.fake_quantize(numbers, 0.2, low=-7, high=7).tolist()
    halves = [quantization.round_half_up(half).item() for half in ((w - 0.5) / 2, (w + 0.5) / 2)]
    assert sum(halves) == quantization.round_half_up(w)
    assert says("codes", right + halves) == "✓ correct"
    assert "even neighbour" in says("codes", [0.6, -0.4, 1.4, *halves])
    assert "clamped" in says("codes", [0.4, -0.4, 2, *halves])
    assert "multiply" in says("codes", [2, -2, 7, *halves])
    assert "cut off" in says("codes", [0.4, -0.2, 1.4, *halves])
    wider = quantization.fake_quantize(numbers, 1.4 / 7.5, low=-8, high=7)
    assert "no code −8" in says("codes", wider.tolist() + halves)
    assert "go up" in says("codes", [*right, ((w - 0.5) / 2).round().item(), 3])
    assert "half a step" in says("codes", [*right, 2.75, 2.75])


def test_affine(says):
    def right(x, bits):
        scale, zero = quantization.scale_and_zero_point(x.min(), x.max(), bits)
        return quantization.fake_quantize(x, scale, zero, low=0, high=2**bits - 1)

    assert says("affine", right) == "✓ correct"
    assert "waiting" in says("affine", lambda x, bits: None)
    for function, words in (
        (exercises._not_widened, "widen"),
        (exercises._real_zero, "integer"),
        (exercises._too_many_steps, "steps"),
        (exercises._no_way_back, "way back"),
    ):
        assert words in says("affine", function)


def test_bit(says):
    x = torch.randn(2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    best = exercises._off(x, 4, quantization.mse_threshold) / exercises._off(
        x, 5, quantization.mse_threshold
    )
    assert 1.5 < best < 2  # the best end moves outward, too
    assert says("bit", best, x=x) == "✓ correct"
    assert "square" in says("bit", best**2, x=x)
    assert "five" in says("bit", 1 / best, x=x)
    largest = exercises._off(x, 4, quantization.max_threshold) / exercises._off(
        x, 5, quantization.max_threshold
    )
    assert "smallest" in says("bit", largest, x=x)
