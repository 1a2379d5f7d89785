"""The comparison of chapter 7: its rows say what the predictions say, and its stored result."""

import numpy as np
import pytest
import torch

from uecompress import data, ensembles, networks, uncertainty
from uecompress.reproduce import dropout, ensemble
from uecompress.reproduce.store import Store


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Forty digits for every split, twenty letters, and four members that were never trained."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(dropout.SETTINGS, "members", 4)
    monkeypatch.setitem(dropout.SETTINGS, "samples", [1, 3])
    monkeypatch.setitem(dropout.SETTINGS, "samples_of_each_member", 2)
    monkeypatch.setitem(dropout.SETTINGS, "seeds", [5])
    load = data.load

    def few(name, split):
        name, count = {"mnist": ("digits", 40), "notmnist": ("glyphs", 20)}[name]
        x, y = load(name, split)
        return x[:count], y[:count]

    def member(store, seed, index):
        return networks.mlp(width=8, seed=100 * seed + index).eval()

    monkeypatch.setattr(data, "load", few)
    monkeypatch.setattr(ensemble, "member", member)
    monkeypatch.setitem(dropout.SETTINGS, "width", 9)
    monkeypatch.setitem(dropout.SETTINGS, "epochs", 1)
    return few


def test_rows_are_what_the_predictions_say(small):
    rows = dropout.run(Store("dropout", dropout.SETTINGS, 1))
    kinds = [(row["family"], row["members"], row["samples"]) for row in rows]
    expected = [("ensemble", m, None) for m in (1, 2, 3, 4)]
    expected += [("dropout", 1, 1), ("dropout", 1, 3), ("both", 4, 2), ("wide", 1, None)]
    assert kinds == expected

    x, y = small("mnist", "test")
    letters, _ = small("notmnist", "test")
    nets = [networks.mlp(width=8, seed=500 + i).eval() for i in range(4)]
    three = torch.cat([uncertainty.predict(net, x) for net in nets[:3]])
    assert rows[2]["nll"] == pytest.approx(uncertainty.nll(three, y), abs=1e-5)
    masks = uncertainty.predict(ensembles.mc_dropout(nets[0]), letters, samples=3, seed=5)
    assert rows[5]["entropy_out"] == pytest.approx(
        uncertainty.entropy(masks).mean().item(), abs=1e-4
    )
    turned = uncertainty.predict(nets[0], data.rotate(x[::5], 45))
    assert rows[0]["shift"]["rotate 45"]["nll"] == pytest.approx(
        uncertainty.nll(turned, y[::5]), abs=1e-5
    )
    assert set(rows[0]["shift"]) == {f"rotate {a}" for a in range(15, 91, 15)} | set(
        dropout.SETTINGS["corruptions"]
    )
    assert rows[0]["disagreement_in"] is None
    assert "histogram_in" in rows[3]
    assert "histogram_in" not in rows[2]


def test_a_second_run_reads_what_the_first_one_wrote(small, monkeypatch):
    first = dropout.run(Store("dropout", dropout.SETTINGS, 1))
    monkeypatch.setattr(dropout, "compare", None)
    assert dropout.run(Store("dropout", dropout.SETTINGS, 1)) == first


def test_disagreement_counts_pairs():
    answers = torch.tensor([[0, 1, 2], [0, 1, 0], [0, 2, 1]])  # three members, three examples
    log_probs = torch.eye(3)[answers].log()
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = np.mean([(answers[a] != answers[b]).double().mean() for a, b in pairs])
    assert dropout.disagreement(log_probs) == pytest.approx(100 * expected, abs=1e-3)
    assert dropout.disagreement(log_probs[:1]) is None


def test_the_wide_network_has_the_parameters_of_five_members():
    five = 5 * networks.parameter_count(networks.mlp())
    count = networks.parameter_count(networks.mlp(width=dropout.SETTINGS["width"]))
    above = networks.parameter_count(networks.mlp(width=dropout.SETTINGS["width"] + 1))
    assert count <= five < above


def test_the_stored_comparison_meets_its_targets():
    stored = data.results("dropout")
    assert stored["settings"] == dropout.SETTINGS
    rows = {(r["family"], r["members"], r["samples"], r["seed"]): r for r in stored["results"]}
    assert len(rows) == len(stored["results"]) == 13 * 5

    def values(family, members, samples, quantity):
        return np.array([rows[family, members, samples, seed][quantity] for seed in range(5)])

    assert values("ensemble", 5, None, "error").mean() <= 1.45
    assert values("ensemble", 5, None, "nll").mean() <= 0.055
    kinds = [("ensemble", 1, None), ("dropout", 1, 50), ("ensemble", 5, None)]
    one, masks, five = (values(*kind, "entropy_out") for kind in kinds)
    assert (one < masks).all()
    assert (masks < five).all()
    one, masks, five = (values(*kind, "auroc_entropy") for kind in kinds)
    assert (five - masks >= 0.01).all()
