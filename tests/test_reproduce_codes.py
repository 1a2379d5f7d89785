"""The codes experiment on a few digits: its networks, its units, its ways to round."""

import pytest
import reproduced
import torch

from uecompress import data, networks, quantization, storage, uncertainty
from uecompress.reproduce import bayesian, bayesian_settings, codes_parts, pruning_training
from uecompress.reproduce import codes as experiment
from uecompress.reproduce import codes_rounding as rounding
from uecompress.reproduce import codes_training as common
from uecompress.reproduce.__main__ import choice
from uecompress.reproduce.codes_settings import SETTINGS

TINY = bayesian_settings.ordinary(1, 1e-3, batch_size=20)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Forty digits for MNIST, small networks, one epoch, two values of each knob, one seed."""
    reproduced.digits_for_mnist(monkeypatch, tmp_path, 40)
    monkeypatch.setattr(
        networks, "lenet300", lambda *, seed: common.perceptron([784, 12, 8, 10], seed)
    )
    for kind in (bayesian_settings.DENSE, bayesian_settings.DECAY):
        for network in kind:
            monkeypatch.setitem(kind, network, TINY)
    for settings in SETTINGS["methods"].values():
        short = settings["training"] | {"epochs": 1, "batch_size": 20}
        monkeypatch.setitem(settings, "training", short)
        monkeypatch.setitem(settings, "seeds", [0])
        if "ratio" in settings["arguments"]:  # the layers have few weights
            monkeypatch.setitem(settings["arguments"], "ratio", 4)
        if "rank" in settings["arguments"]:
            monkeypatch.setitem(settings["arguments"], "rank", 2)
        if "grid" in settings["search"]:
            grid = {knob: values[1:3] for knob, values in settings["search"]["grid"].items()}
            monkeypatch.setitem(settings["search"], "epochs", 1)
            monkeypatch.setitem(settings["search"], "grid", grid)
    for each in (*SETTINGS["methods"].values(), *(how for _, how in SETTINGS["rounded"].values())):
        how = each.get("arguments", each)
        if "share" in how:
            monkeypatch.setitem(how, "share", 0.4)
    monkeypatch.setitem(SETTINGS, "batch", 20)
    monkeypatch.setitem(SETTINGS, "samples", 2)
    monkeypatch.setitem(SETTINGS, "variances", {"seeds": [0], "bits": [2], "grids": ["log"]})
    (graves,) = (r for r in bayesian.SETTINGS["runs"] if r["method"] == "graves")
    short = graves["training"] | {"epochs": 1, "batch_size": 20}
    monkeypatch.setitem(graves, "training", short)


def test_units_are_independent_and_complete(small, monkeypatch):
    monkeypatch.setattr(bayesian, "quality", lambda *_: {"error": 1.0})
    reproduced.check(experiment)


def test_how_the_settings_were_chosen_is_said():
    assert choice(experiment).endswith(".")


def test_a_row_is_what_its_network_says(small):
    row, model = experiment.row("hashed_8", 0), common.final("hashed_8", 0)
    x, y = data.load("mnist", "test")
    log_probs = uncertainty.predict(model, x)
    assert row["nll"] == pytest.approx(uncertainty.nll(log_probs, y), abs=1e-5)
    assert row["bytes"] == len(bayesian.as_bytes(model))
    assert {"auroc", "auroc_omniglot", "auroc_turned", "nll_shifted"} <= row.keys()


@pytest.mark.parametrize("ratio", [2, 8, 20])
def test_the_narrow_network_has_no_more_numbers_than_the_hashed_one_and_one_more_unit_has(ratio):
    model = networks.lenet300(seed=0)
    hashed = common.MAKE["hashed"](model, 0, ratio=ratio)
    found = common.narrow(model, 0, ratio)
    width = found.linear1.out_features
    wider = common.perceptron([784, width + 1, width + 1, 10], 0)
    allowed = networks.parameter_count(hashed)
    assert networks.parameter_count(found) <= allowed < networks.parameter_count(wider)


def test_members_of_one_vector_and_apart_have_as_many_buckets():
    model = networks.lenet300(seed=0)
    one = common.MAKE["hashed_ensemble"](model, 0, ratio=8, num_estimators=5)
    apart = common.members(model, 0, ratio=40, num_estimators=5)

    def buckets(ensemble):
        found = {id(p): p for n, p in ensemble.named_parameters() if n.endswith("buckets")}
        return sum(p.numel() for p in found.values())

    assert buckets(apart) == pytest.approx(buckets(one), rel=1e-3)


def test_a_method_that_takes_over_a_choice_is_trained_with_it(small):
    assert common.choice("hashed_32_10") == common.search("hashed_32_2")["choice"]
    for how in SETTINGS["methods"].values():  # of which none takes over in turn
        like = how["search"].get("like")
        assert like is None or "like" not in SETTINGS["methods"][like]["search"]


@pytest.mark.parametrize("method", ["lsq_2", "bitnet"])
def test_what_was_rounded_in_training_ends_as_codes(small, tmp_path, method):
    model, before = common.final(method, 0), common.trained(method, 0)
    x, _ = data.load("mnist", "test")
    assert torch.equal(uncertainty.predict(model, x), uncertainty.predict(before, x))
    storage.save(model, tmp_path / "network")
    assert (tmp_path / "network").stat().st_size == experiment.row(method, 0)["bytes"]


@pytest.mark.parametrize("way", SETTINGS["rounded"])
def test_every_way_to_round_changes_the_network_and_leaves_the_one_before(small, way):
    model = bayesian.trained("lenet300", "decay", 0)
    x, _ = data.load("mnist", "test")
    before = uncertainty.predict(model, x)
    found = rounding.rounded(model, 0, *SETTINGS["rounded"][way])
    assert not torch.equal(uncertainty.predict(found, x), before)
    assert torch.equal(uncertainty.predict(model, x), before)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("way", ["low_rank", "both"])
def test_a_part_takes_no_more_bytes_than_its_share_and_one_more_number_would(way, given):
    model = common.perceptron([784, 40, 10], 0)
    x = data.load("digits", "train")[0][:200] if given else None
    found = codes_parts.part(model, way, 0.3, x)
    allowed = 0.3 * 4 * 784 * 40
    weights = [p.detach() for p in found.linear1.parameters() if p.ndim == 2]
    assert 0.9 * allowed < codes_parts.stored(*weights) <= allowed
    assert torch.equal(found.linear2.weight, model.linear2.weight)


def test_few_entries_are_the_largest_and_as_many_as_fit():
    model = common.perceptron([784, 40, 10], 0)
    weight, found = model.linear1.weight, codes_parts.part(model, "sparse", 0.1).linear1.weight
    count, allowed = int((found != 0).sum()), 0.1 * 4 * weight.numel()
    assert torch.equal(found, weight * (weight.abs() >= found[found != 0].abs().min()))
    assert (
        codes_parts.stored(found)
        <= allowed
        < codes_parts.stored(codes_parts.entries(weight.detach(), count + 1))
    )


def test_both_comes_closer_than_either_where_a_matrix_is_both():
    model = common.perceptron([784, 40, 10], 0)
    layer, draw = model.linear1, torch.Generator().manual_seed(0)
    layer.weight.data = torch.outer(
        torch.randn(40, generator=draw), torch.randn(784, generator=draw)
    )
    layer.weight.data[range(40), range(0, 40 * 19, 19)] += 20
    errors = {}
    for way in ("low_rank", "sparse", "both"):
        found = codes_parts.part(model, way, 0.05).linear1
        errors[way] = (found(torch.eye(784)) - layer(torch.eye(784))).square().sum().item()
    assert errors["both"] < 1e-4 * min(errors["low_rank"], errors["sparse"])


def test_what_is_clipped_ends_where_its_grid_does():
    layer = networks.lenet300(seed=0)
    layer.linear1.weight.data[0, 0] = 9.0
    found = rounding.clipped(layer, 2, rounding.THRESHOLDS["mse"]).linear1.weight
    end = rounding.THRESHOLDS["mse"](layer.linear1.weight.detach().reshape(1, -1), 1).item()
    assert found.abs().max().item() == pytest.approx(end)
    assert ((found == layer.linear1.weight) | (found.abs() == end)).all()


def test_clipped_activations_of_letters_are_counted_and_rounding_errors_are_squares(small):
    rows = rounding.clipping(0)
    assert [(r["bits"], r["threshold"]) for r in rows][:2] == [(8, "max"), (8, "percentile")]
    by = {(r["bits"], r["threshold"]): r for r in rows}
    fine, coarse = (by[bits, "max"]["squared_error"]["linear2"] for bits in (8, 4))
    assert 0 < fine < coarse  # 255 steps against 15
    x, _ = pruning_training.batch(0, 20)
    model = bayesian.trained("lenet300", "decay", 0)
    rounds = quantization.round_activations(model, x, 4, threshold=quantization.kl_threshold)
    shares = [quantization.clipped_share(rounds, data.load(n, "test")[0]) for n in
              ("mnist", "notmnist")]  # fmt: skip
    auroc = uncertainty.auroc(*shares)
    assert by[4, "kl"]["auroc_notmnist"] == pytest.approx(auroc, abs=1e-6)


def test_dropout_is_measured_by_samples_and_members_by_their_disagreement(small):
    for method in ("dropout", "members_one_vector"):
        row = experiment.row(method, 0)
        assert {"auroc_mutual_information", "auroc_mutual_information_omniglot"} <= row.keys()
    assert "auroc_mutual_information_omniglot" not in experiment.row("float", 0)
