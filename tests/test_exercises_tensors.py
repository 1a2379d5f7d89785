import numpy as np
import pytest
import torch

from uecompress import data, tensors
from uecompress.exercises import check
from uecompress.exercises import tensors as exercises


@pytest.fixture
def says(capsys):
    def ask(name, answer):
        check(f"ex-tensors-{name}", answer)
        return capsys.readouterr().out.strip()

    return ask


def test_position(says):
    marked = np.zeros((3, 4, 5, 7))
    marked[1, 2, 3, 4] = 1
    place = np.argwhere(tensors.unfold(marked, 2))[0] + 1
    assert says("position", place) == "✓ correct"
    last_fastest = np.argwhere(marked.reshape(12, 35))[0] + 1
    assert "not the last" in says("position", last_fastest)
    assert "count from 1" in says("position", place - 1)
    assert "swapped" in says("position", place[::-1].copy())


def test_unfold(says):
    assert says("unfold", tensors.unfold) == "✓ correct"
    assert "torch's order" in says("unfold", lambda a, k: a.flatten(k).flatten(0, k - 1))

    def not_transposed(a, k):
        return a.permute(*range(a.ndim)[::-1]).reshape(a.shape[:k].numel(), -1)

    assert "then transpose" in says("unfold", not_transposed)
    assert "swapped" in says("unfold", lambda a, k: tensors.unfold(a, k).T)
    assert "mode unfolding" in says("unfold", lambda a, k: tensors.unfold_mode(a, k - 1))
    assert "for a tensor of size (2, 2, 2) and k = 1" in says("unfold", lambda a, k: torch.ones(3))


def test_central(says):
    def cube(v):
        return np.einsum("i,j,k->ijk", v, v, v)

    a, b = np.eye(2)
    target = sum(np.einsum("i,j,k->ijk", *v) for v in ((a, a, b), (a, b, a), (b, a, a)))
    central = (cube(a + 0.1 * b) - cube(a - 0.1 * b)) / 0.2
    error = np.linalg.norm(central - target) / np.linalg.norm(target)
    assert says("central", [error, 10]) == "✓ correct"
    assert "t need not fall 100-fold" in says("central", [error, 100])
    assert "divide the error" in says("central", [0.01, 10])
    off = (cube(a + 0.1 * b) - cube(a)) / 0.1 - target
    one_sided = np.linalg.norm(off) / np.linalg.norm(target)
    assert "one-sided" in says("central", [one_sided, 100])


def test_letters(says):
    letters = data.load("glyphs", "test")[0][:, 0].double().numpy()
    core, _ = tensors.hosvd(letters, (50, 28, 28))
    kept = {}
    for q in range(4, 25):
        r = (42_816 - 56 * q) // (1000 + q * q)
        kept[q] = np.linalg.norm(core[:r, :q, :q])
    assert says("letters", max(kept, key=kept.get)) == "✓ correct"
    assert "history of the digits" in says("letters", 8)
    assert "still fit" in says("letters", 12)
    assert "give q" in says("letters", 36)
    assert "take tensors.hosvd" in says("letters", 11)


def test_every_exercise_knows_three_mistakes():
    for exercise in (exercises.position, exercises.unfold, exercises.central, exercises.letters):
        assert len(exercise().wrong) >= 3
