"""The exercises of "Four in one file": the right answers, and what is said about wrong ones."""

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


def test_even(says):
    assert says("even", [912.84, 433.6]) == "✓ correct"
    assert "its number and its place" in says("even", [1084, 1084])
    assert "place alone" in says("even", [1084 * 32 / 6, 1084 * 4 / 6])
    assert "300 + 784" in says("even", [235_200 * 32 / 38, 235_200 * 4 / 10])
    assert "first 32" in says("even", [433.6, 912.84])


def by_hand(W, S, d, r, k):
    """With diagonal matrices, and place after place."""
    scale = torch.diag(d)
    u, s, vh = torch.linalg.svd((W - S) @ scale)
    L = u[:, :r] @ torch.diag(s[:r]) @ vh[:r] @ torch.linalg.inv(scale)
    rest, few = W - L, torch.zeros_like(W)
    sizes = {(i, j): abs(rest[i, j] * d[j]) for i in range(len(W)) for j in range(len(d))}
    for place in sorted(sizes, key=sizes.get, reverse=True)[:k]:
        few[place] = rest[place]
    return torch.stack([L, few])


def test_turn(says):
    assert says("turn", by_hand) == "✓ correct"
    ones = torch.ones_like
    assert "not used" in says("turn", lambda W, S, d, r, k: by_hand(W, S, ones(d), r, k))
    assert "divide both" in says("turn", lambda W, S, d, r, k: by_hand(W, S, d, r, k) * d)
    assert "entries so far" in says("turn", lambda W, S, d, r, k: by_hand(W, 0 * S, d, r, k))
    assert "chosen by their size" in says("turn", exercises._plain_entries)
    assert "columns" in says("turn", exercises._rows)
    assert "first L" in says("turn", lambda W, S, d, r, k: by_hand(W, S, d, r, k).flip(0))


def test_a_turn_with_equal_scales_is_one_of_the_library():
    W = torch.randn(6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    left, right, sparse = lowrank.godec(W, 2, 5, rounds=1)
    found = exercises._right(W, torch.zeros_like(W), torch.ones(8).double(), 2, 5)
    torch.testing.assert_close(found, torch.stack([left @ right, sparse]))


def test_order(says):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(300, 10, generator=generator) @ torch.randn(10, 784, generator=generator)
    weight += torch.randn(300, 784, generator=generator)
    right = list(exercises.order(weight).right)
    assert says("order", right, weight=weight) == "✓ correct"
    assert "first factor" in says("order", right[::-1], weight=weight)
    u, s, vh = torch.linalg.svd(weight, full_matrices=False)
    whole = ((u[:, :24] * s[:24]) @ vh[:24] - weight).norm() / weight.norm()
    assert "before the cut" in says("order", [whole.item(), right[1]], weight=weight)
