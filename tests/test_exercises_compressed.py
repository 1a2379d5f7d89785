"""The exercises of "Compressed ensembles": the right answers, and what is said about wrong ones."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from uecompress import data, ensembles, lowrank, networks, uncertainty
from uecompress.exercises import check, compressed


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-compressed-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_tucker(says):
    layer = nn.Sequential(nn.Conv2d(128, 128, 3))
    assert says("tucker", lowrank.plan(layer, "tucker", rank=1)[0].break_even) == "✓ correct"
    assert "unfolded kernel" in says("tucker", 115)
    assert "3 · 3 · r · r" in says("tucker", 276)
    assert "1 × 1 convolutions" in says("tucker", 127)


def loop(ranks, losses, tolerance, upper=None):
    """As a reader would write it, with scipy's standard error."""
    order, best = np.argsort(ranks)[::-1], max(ranks)
    for i in order:
        loss = losses[:, i]
        t = stats.t.ppf(0.95, len(loss) - 1)
        bound = upper(loss) if upper else loss.mean() + t * stats.sem(loss)
        if bound > tolerance:
            return best
        best = ranks[i]
    return best


def test_potential(says):
    def with_bound(upper):
        return lambda *arguments: loop(*arguments, upper)

    def alone(ranks, losses, tolerance):
        fits = [loop([r], losses[:, [i]], tolerance) for i, r in enumerate(ranks)]
        bounds = [x.mean() + stats.t.ppf(0.95, len(x) - 1) * stats.sem(x) for x in losses.T]
        return min(r for r, bound in zip(fits, bounds, strict=True) if bound <= tolerance)

    assert says("potential", loop) == "✓ correct"
    assert "mean loss" in says("potential", with_bound(np.mean))
    two_sided = with_bound(lambda x: stats.t.interval(0.95, len(x) - 1, x.mean(), stats.sem(x))[1])
    assert "two-sided" in says("potential", two_sided)
    assert "ends the search" in says("potential", alone)
    assert "Student's t" in says("potential", with_bound(lambda x: x.mean() + 1.645 * stats.sem(x)))
    spread = with_bound(lambda x: x.mean() + stats.t.ppf(0.95, len(x) - 1) * x.std(ddof=1))
    assert "divide" in says("potential", spread)
    assert "absolute" in says("potential", lambda r, x, limit: loop(r, abs(x), limit))
    assert "returns nothing yet" in says("potential", lambda *arguments: ...)


def test_potential_is_that_of_the_stored_run():
    stored = data.results("low_rank")
    rows = [row for row in stored["results"]["rows"] if row["family"] == "ensemble"]
    ranks, seeds = stored["settings"]["rank"], stored["settings"]["seeds"]
    of = {(row["when"], row.get("rank"), row["seed"]): row for row in rows}
    for found in stored["results"]["potential"]:
        metric, tolerance = found["metric"], found["tolerance"]
        worse = [
            [of[found["when"], r, s][metric] - of["dense", None, s][metric] for r in ranks]
            for s in seeds
        ]
        losses = np.sign(tolerance) * np.array(worse)
        assert compressed._potential(ranks, losses, abs(tolerance)) == found["rank"]


def test_energy():
    starts = [networks.lenet300(seed=seed) for seed in range(5)]
    how = {"epochs": 5, "batch_size": 100, "lr": 2e-3, "progress": False}
    five = ensembles.fit_ensemble(starts, data.load("digits", "train"), seeds=range(5), **how)
    expected = compressed.energy(five)
    assert expected.judge(expected.right) == (True, "correct")
    same_rank, dense, member, exchanged = expected.wrong.values()
    assert expected.right[0] < same_rank[0] <= dense[0] + 0.02  # the narrowest layer decides
    assert "rank 10 in every layer" in expected.judge(same_rank)[1]
    assert "began with" in expected.judge(dense)[1]
    assert "first member" in expected.judge(member)[1]
    assert "first the accuracy" in expected.judge(exchanged)[1]
    x, _ = data.load("digits", "test")
    cut = lowrank.compress(
        five,
        ratio=networks.parameter_count(five)
        / networks.parameter_count(lowrank.compress(five, rank=10)),
    )
    p, q = (uncertainty.predict(model, x).double().exp() for model in (five, cut))
    own = torch.special.entr(q).sum(-1).mean() - torch.special.entr(p).sum(-1).mean()
    total = (
        torch.special.entr(q.mean(0)).sum(-1).mean() - torch.special.entr(p.mean(0)).sum(-1).mean()
    )
    assert expected.right[1] == pytest.approx((own / total).item(), abs=1e-5)
