"""The exercises of "Low rank, zeros, few values": right answers, and words on wrong ones."""

import pytest
import torch

from uecompress import lowrank
from uecompress.exercises import check
from uecompress.exercises import mixtures as exercises


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-mixtures-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_room(says):
    assert says("room", 4580) == "✓ correct"
    assert 10 * (300 + 784) + 2 * 4580 == 20_000
    assert "two numbers" in says("room", 9160)
    assert "both factors" in says("room", 6080)


def test_whitened(says):
    def librarys(w, x, rank):
        left, right = lowrank.whitened(w, x @ x.T, rank)
        return left @ right

    assert says("whitened", librarys) == "✓ correct"
    assert "waiting" in says("whitened", lambda *_: None)
    assert "inputs" in says("whitened", lambda w, x, r: exercises._low(w, r))
    assert "undo" in says("whitened", lambda w, x, r: exercises._low(w @ exercises._factor(x), r))
    assert "right of W" in says("whitened", exercises._other_side)


def test_split(says):
    draw = torch.Generator().manual_seed(0)
    matrix = torch.randn(12, 30, generator=draw, dtype=torch.float64)
    left, right, sparse = lowrank.godec(matrix, 1, 150, 50)
    error = ((matrix - left @ right - sparse).norm() / matrix.norm()).item()
    assert says("split", error, matrix=matrix) == "✓ correct"
    assert "relative" in says("split", error * matrix.norm().item(), matrix=matrix)
