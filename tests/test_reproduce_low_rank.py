"""The experiments of chapter 9: their rows say what the predictions say, and their arithmetic."""

import numpy as np
import pytest
import torch
from scipy import stats

from uecompress import data, networks, storage, uncertainty
from uecompress.reproduce import convolutions, low_rank, tt_training
from uecompress.reproduce.card import BINS, card, potential, upper_bound
from uecompress.reproduce.store import Store


@pytest.fixture
def few(monkeypatch, tmp_path):
    """Forty digits for every split of MNIST and twenty letters, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load = data.load

    def some(name, split):
        name, count = {"mnist": ("digits", 40), "notmnist": ("glyphs", 20)}[name]
        x, y = load(name, split)
        return x[:count], y[:count]

    monkeypatch.setattr(data, "load", some)


def test_a_card_is_the_scorecard_of_the_stored_network(few, tmp_path):
    model = networks.Ensemble([networks.mlp(width=8, seed=s).eval() for s in range(2)])
    row = card(model, model)
    (x, y), (foreign, _) = data.load("mnist", "test"), data.load("notmnist", "test")
    inside, outside = (uncertainty.predict(model, images) for images in (x, foreign))
    assert row["nll"] == pytest.approx(uncertainty.nll(inside, y), abs=1e-6)
    assert row["bytes"] == storage.save(model, tmp_path / "network")
    doubts = [uncertainty.mutual_information(p) for p in (inside, outside)]
    assert row["auroc_mutual_information"] == pytest.approx(uncertainty.auroc(*doubts), abs=1e-6)
    counts = np.histogram(uncertainty.entropy(outside), BINS)[0].tolist()
    assert row["histogram_ood"] == counts
    assert sum(counts) == len(foreign)


def rows(nll_of_rank, seeds=(0, 1, 2)):
    """Rows of a dense network of NLL 1 and of ranks with byte ratios 10/rank."""
    made = [{"seed": s, "rank": None, "when": "dense", "byte_ratio": 1, "nll": 1.0} for s in seeds]
    for rank, values in nll_of_rank.items():
        made += [
            {"seed": s, "rank": rank, "when": "after", "byte_ratio": 10 / rank, "nll": v}
            for s, v in zip(seeds, values, strict=True)
        ]
    return made


def test_the_potential_is_the_last_rank_before_the_first_that_leaves_the_tolerance():
    runs = {5: [1.0, 1.01, 0.99], 2: [1.5, 1.6, 1.4], 1: [1.0, 1.0, 1.0]}
    (found,) = potential(rows(runs), {"nll": 0.1})
    assert (found["rank"], found["byte_ratio"]) == (5, 2.0)


def test_a_spread_that_may_hide_a_loss_leaves_the_tolerance():
    assert potential(rows({5: [1.05, 1.05, 1.05]}), {"nll": 0.1})[0]["rank"] == 5
    assert potential(rows({5: [0.8, 1.05, 1.3]}), {"nll": 0.1})[0]["rank"] is None


def test_a_negative_tolerance_is_for_what_should_be_large():
    higher, lower = rows({5: [1.2, 1.3, 1.4]}), rows({5: [0.8, 0.7, 0.6]})
    assert potential(higher, {"nll": -0.1})[0]["rank"] == 5
    assert potential(lower, {"nll": -0.1})[0]["rank"] is None
    assert potential(lower, {"nll": 0.1})[0]["rank"] == 5


def test_the_upper_bound_is_that_of_a_one_sided_t_test():
    x = [0.1, 0.4, 0.2, 0.3]
    bound = upper_bound(x)
    assert stats.ttest_1samp(x, bound, alternative="less").pvalue == pytest.approx(0.05)


def test_members_of_a_rank_are_the_truncated_dense_members(few, monkeypatch):
    dense = [networks.mlp(width=8, seed=s).eval() for s in range(5)]
    monkeypatch.setattr(low_rank.ensemble, "member", lambda store, seed, index: dense[index])
    store = Store("low_rank", {}, 1)
    assert low_rank.members(store, 0, None, False) == dense
    after = low_rank.members(store, 0, 2, False)
    assert torch.linalg.matrix_rank(after[1].linear1.u.weight @ after[1].linear1.vh.weight) == 2
    (row, dropout) = low_rank.rows_of(store, 0, 2, "after")
    assert (row["family"], dropout["family"]) == ("ensemble", "dropout")
    assert row["parameters"] == 5 * dropout["parameters"]


def test_only_the_large_convolutions_are_factorized():
    model = networks.cnn(seed=0)
    for method in convolutions.SETTINGS["methods"]:
        small = convolutions.factorized(model, method, 5)
        assert small.conv1.weight.equal(model.conv1.weight)
        assert small.linear1.weight.equal(model.linear1.weight)
        before, after = (convolutions.convolution_parameters(each) - 160 for each in (model, small))
        assert 5 <= before / after <= 9  # flat spectra of random kernels: coarse steps


def test_the_networks_of_the_formats_differ_in_the_hidden_layer_alone():
    dense = tt_training.network(None, 3)
    x = torch.rand(4, 1, 28, 28)
    for form in tt_training.SETTINGS["formats"].values():
        model = tt_training.network(form, 3)
        assert model(x).shape == (4, 10)
        assert model.output.weight.equal(dense.output.weight)
    assert tt_training.cut(dense).hidden.ranks == (1, 8, 8, 8, 1)
