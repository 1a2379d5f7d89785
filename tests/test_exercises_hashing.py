"""The exercises of "Hashing": the right answers, and what is said about wrong ones."""

import pytest
import torch

from uecompress import hashing, networks
from uecompress.exercises import check
from uecompress.exercises import hashing as exercises


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-hashing-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_pairs(says):
    found = []
    for folds in (1, 2):
        layer = hashing.HashedLinear(40, 25, ratio=20, folds=folds, seed=3)
        found.append(hashing.collisions(layer).expected_pairs)
    assert says("pairs", found) == "✓ correct"
    assert "once" in says("pairs", [2 * each for each in found])
    assert "625" in says("pairs", [found[0], 999_000 / 2 / 2500])
    assert "both" in says("pairs", [found[0], 19980])


def test_matrix(says):
    small = hashing.structured(networks.lenet300(seed=0), ratio=32, seed=0).linear1
    d, k = small.u.shape
    assert d == 517
    assert says("matrix", [k, 2 * d * k]) == "✓ correct"
    assert "both" in says("matrix", [8, 4136])
    assert "two times" in says("matrix", [16, 16544])
    assert "whole" in says("matrix", [8, 8318])


def test_gradient(says):
    def loop(slope, h, sign, buckets):
        found = torch.zeros(buckets).double()
        for g, k, s in zip(slope, h, sign, strict=True):
            found[k] += s * g
        return found

    assert says("gradient", loop) == "✓ correct"
    assert "waiting" in says("gradient", lambda *_: None)
    assert "signs" in says("gradient", lambda g, h, s, k: loop(g, h, s.abs(), k))
    assert "mean" in says("gradient", exercises._mean)
    assert "last weight" in says("gradient", exercises._last)


def test_occupied(says):
    layer = hashing.HashedLinear(98, 75, ratio=1, seed=0)
    empty = 1 - len((layer.index[0] % 7350).unique()) / 7350
    assert empty == pytest.approx(0.3679, abs=0.01)
    assert says("occupied", empty) == "✓ correct"
    assert "used" in says("occupied", 1 - empty)
    assert "not a count" in says("occupied", round(7350 * empty))
