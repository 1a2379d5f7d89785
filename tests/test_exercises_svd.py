import numpy as np
import pytest

from uecompress import data, lowrank, networks, training, uncertainty
from uecompress.exercises import check, svd


@pytest.fixture
def says(capsys):
    def ask(name, answer, **page):
        check(f"ex-svd-{name}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_break_even(says):
    small = lowrank.compress(networks.lenet300(), rank=20)
    assert says("break-even", networks.parameter_count(small)) == "✓ correct"
    assert "stays as it is" in says("break-even", 20 * (1084 + 400 + 110) + 410)
    assert "biases stay" in says("break-even", 30_680)
    assert "not 2rm" in says("break-even", 17_410)


def test_rank(says):
    def smallest(s, eps):
        return next(
            r for r in range(1, len(s) + 1) if np.linalg.norm(s[r:]) <= eps * np.linalg.norm(s)
        )

    def by_one_value(s, eps):
        return max(1, (s > eps * np.linalg.norm(s)).sum())

    def by_largest(s, eps):
        return max(1, (s > eps * s[0]).sum())

    def by_energy(s, eps):
        return next(r for r in range(1, len(s) + 1) if (s[r:] ** 2).sum() <= eps * (s**2).sum())

    assert says("rank", smallest) == "✓ correct"
    assert "not one value" in says("rank", by_one_value)
    assert "relative to the norm" in says("rank", by_largest)
    assert "take the root" in says("rank", by_energy)
    assert "one too few" in says("rank", lambda s, eps: max(1, smallest(s, eps) - 1))
    assert "the smallest rank is 1" in says(
        "rank", lambda s, eps: 0 if eps >= 1 else smallest(s, eps)
    )
    assert "for 5 values, the largest 3, and eps = 0.5" in says("rank", lambda s, eps: 1 / 0)


def test_randomized(says):
    def values(a, omega, steps, basis=lambda q: np.linalg.qr(q)[0], last=lambda a, q: q.T @ a):
        q = basis(a @ omega)
        for _ in range(steps):
            q = basis(a @ (a.T @ q))
        return np.linalg.svd(last(a, q), compute_uv=False)

    def power(a, q):
        return a @ (a.T @ q)

    assert says("randomized", values) == "✓ correct"
    assert "orthonormal" in says("randomized", lambda *given: values(*given, basis=lambda q: q))
    assert "repeat step 2" in says("randomized", lambda a, omega, steps: values(a, omega, 0))
    assert "decompose QᵀA" in says("randomized", lambda *given: values(*given, last=power))


def test_temperature(says):
    x, y = data.load("digits", "train")
    options = {"epochs": 5, "batch_size": 64, "lr": 1e-3, "seed": 0, "progress": False}
    whole = training.fit(networks.mlp(width=20, seed=0), (x, y), **options)
    page = {"whole": whole, "cut": lowrank.compress(whole, rank=5)}
    x, y = data.load("digits", "validation")
    dense, cut = (uncertainty.predict(model, x) for model in page.values())
    best = min(
        np.geomspace(0.05, 20, 400), key=lambda t: uncertainty.nll(uncertainty.scale(cut, t), y)
    )
    lost = uncertainty.nll(cut, y) - uncertainty.nll(dense, y)
    back = uncertainty.nll(cut, y) - uncertainty.nll(uncertainty.scale(cut, best), y)
    assert says("temperature", back / lost, **page).startswith("✓")
    assert "the share that stays" in says("temperature", 1 - back / lost, **page)
    assert "not by the whole NLL" in says("temperature", back / uncertainty.nll(cut, y), **page)
    inverse = uncertainty.nll(uncertainty.scale(cut, 1 / best), y)
    assert "you multiplied by T" in says(
        "temperature", (uncertainty.nll(cut, y) - inverse) / lost, **page
    )


def test_every_exercise_knows_three_mistakes():
    for exercise in (svd.break_even, svd.rank, svd.randomized):
        assert len(exercise().wrong) >= 3
