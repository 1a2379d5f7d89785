"""The exercises of chapter 6 accept what is right and explain what is wrong."""

import numpy as np
import pytest
import torch

from uecompress import data, ensembles, networks, uncertainty
from uecompress.exercises import check
from uecompress.exercises import uncertainty as exercises


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-uncertainty-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_cubic(says):
    s = np.linspace(0, 1, 100_001)
    cheapest = s[(0.7 * (1 - s) ** 3 + 0.3 * s**3).argmin()]
    assert says("cubic", cheapest) == "✓ correct"
    assert says("cubic", 0.6).startswith("✓ close")
    assert "not proper" in says("cubic", 0.7)
    assert "no rain" in says("cubic", 1 - cheapest)
    assert "square root" in says("cubic", 0.5701)
    assert "linear rule" in says("cubic", 1.0)


def by_loop(sure, correct, bins):
    """Bin after bin, as a reader would write it."""
    order = sorted(range(len(sure)), key=lambda i: sure[i])
    size, total = len(sure) // bins, 0
    for b in range(bins):
        mine = order[b * size : (b + 1) * size]
        gap = np.mean([correct[i] for i in mine]) - np.mean([sure[i] for i in mine])
        total += size / len(sure) * abs(gap)
    return total


def test_mass(says):
    assert says("mass", by_loop) == "✓ correct"
    assert "sort the images" in says(
        "mass", lambda s, c, bins: np.abs((c - s).reshape(bins, -1).mean(1)).mean()
    )
    assert "together" in says("mass", lambda s, c, bins: by_loop(np.sort(s), c, bins))
    assert "absolute value after" in says("mass", lambda s, c, bins: np.abs(c - s).mean())
    assert "is weighted" in says("mass", lambda s, c, bins: bins * by_loop(s, c, bins))
    assert "12 images and 3 bins" in says("mass", lambda s, c, bins: by_loop(s, c, bins) + 1)
    assert says("mass", lambda s, c, bins: ...).startswith("… waiting")


def test_the_reader_s_function_is_the_library_s():
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.full(4, 0.5), 60)
    y = torch.tensor(rng.integers(0, 4, 60))
    correct = (p.argmax(1) == y.numpy()).astype(float)
    by_library = uncertainty.ece(torch.tensor(p).log()[None], y, bins=3, mass=True)
    assert np.isclose(exercises.mass().right(p.max(1), correct, 3), by_library)


def test_floor(says):
    drawn = np.random.default_rng(0).binomial(10_000, 0.99, 200_000) / 10_000
    assert exercises.floor().right == pytest.approx(np.abs(drawn - 0.99).mean(), rel=0.01)
    assert says("floor", "0.00079389").startswith("✓")
    assert "standard deviation" in says("floor", 0.000994987)
    assert "scatters" in says("floor", 0.0)
    assert "divide by N" in says("floor", 7.93884)


def test_base_rate(says):
    assert says("base-rate", 95 / (95 + 4995)) == "✓ correct"
    assert "how rare" in says("base-rate", 0.95)
    assert "all images that raise a true" in says("base-rate", 0.00095)
    assert "for each false one" in says("base-rate", 95 / 4995)


def test_turning():
    pool = ensembles.fit_ensemble(
        [networks.lenet300(seed=seed) for seed in range(10)],
        data.load("digits", "train"),
        seeds=range(10),
        epochs=5,
        batch_size=100,
        lr=3e-3,
        progress=False,
    )
    members = pool.members
    exercise = exercises.turning(pool=pool)

    x_val, y_val = data.load("digits", "validation")
    x, y = data.load("digits", "test")
    right = []
    for angle in (45, 0):
        change = []
        for member in (members[0], members[5]):
            table = uncertainty.predict(member, data.rotate(x, angle))
            new, old = (
                uncertainty.temperature(
                    uncertainty.predict(member, data.rotate(x_val, fitted)), y_val
                )
                for fitted in (45, 0)
            )
            nlls = [uncertainty.nll(uncertainty.scale(table, t), y) for t in (new, old)]
            change.append(nlls[0] - nlls[1])
        right.append(np.mean(change))
    assert exercise.judge(right) == (True, "correct")
    assert "comes first" in exercise.judge(right[::-1])[1]
    assert "both signs" in exercise.judge([-value for value in right])[1]
    *_, untempered, unfair = exercise.wrong.values()
    assert "T = 1" in exercise.judge(untempered)[1]
    assert "test labels" in exercise.judge(unfair)[1]
