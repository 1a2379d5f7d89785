"""The kept networks of chapters 12 to 17 are what their rows say; the experiment's arithmetic."""

import math

import numpy as np
import pytest
import reproduced
import torch
from scipy import stats

from uecompress import bayes, data, networks, storage, uncertainty
from uecompress.reproduce import bayesian, bayesian_settings, foreign
from uecompress.reproduce.store import Store

ROWS = data.results("bayesian")["results"]["rows"]
KEPT = {
    f"{row['network']}-{row['method']}-{row['seed']}.uec": row
    for row in ROWS
    if row["way"] == "compressed"
}
FOLDER = data.folder() / "results" / "bayesian"


def test_every_compressed_network_is_kept_and_no_other():
    assert {path.name for path in FOLDER.iterdir()} == KEPT.keys()


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_file_has_the_size_and_the_weights_of_its_row(name):
    row, model = KEPT[name], storage.load(FOLDER / name)
    layers = networks.linear_and_conv_layers(networks.shrink(model))
    assert (FOLDER / name).stat().st_size == row["bytes"]
    assert sum(layer.weight.count_nonzero() for _, layer in layers) == sum(row["nonzero_weights"])
    assert row["byte_ratio"] == pytest.approx(4 * row["parameters"] / row["bytes"], rel=1e-5)
    assert [list(layer.weight.shape) for _, layer in layers] == row["shapes"]
    values = 3 if row["method"] == "vnq" else 33
    assert all(len(layer.weight.unique()) <= values for _, layer in layers)


@pytest.mark.mnist
@pytest.mark.parametrize("name", KEPT)
def test_a_kept_file_has_the_error_of_its_row(name):
    x, y = data.load("mnist", "test")
    letters, _ = data.load("notmnist", "test")
    model = storage.load(FOLDER / name)
    inside, outside = (uncertainty.predict(model, images) for images in (x, letters))
    error = 100 * (1 - uncertainty.accuracy(inside, y))
    assert error == pytest.approx(KEPT[name]["error"], abs=0.021)  # two images may be ties
    assert uncertainty.nll(inside, y) == pytest.approx(KEPT[name]["nll"], abs=1e-4)
    entropies = uncertainty.entropy(inside), uncertainty.entropy(outside)
    assert uncertainty.auroc(*entropies) == pytest.approx(KEPT[name]["auroc"], abs=1e-4)
    scores = {key: KEPT[name][key] for key in foreign.KEYS}
    assert foreign.row(model) == pytest.approx(scores, abs=5e-4)


@pytest.mark.mnist
def test_the_frame_alone_tells_letters_of_notmnist_but_no_others():
    stored = data.results("bayesian")["results"]["frame"]
    assert foreign.frame_row() == pytest.approx(stored, abs=1e-6)
    assert stored["auroc_notmnist"] > 0.9999
    assert stored["auroc_turned"] == 0.5
    assert stored["auroc_omniglot"] < 0.5


def lead(method, reference, key):
    """How much better LeNet-300-100 is, seed by seed: the mean, and half of its 95 % interval."""
    values = {
        (row["method"], row["seed"]): row[key]
        for row in ROWS
        if row["network"] == "lenet300" and row["way"] in ("dense", "compressed")
    }
    d = np.array([values[method, seed] - values[reference, seed] for seed in range(5)])
    return d.mean(), stats.t.ppf(0.975, 4) * d.std(ddof=1) / 5**0.5


@pytest.mark.parametrize("method", ["graves", "sparse_vd", "group_jeffreys"])
def test_the_lead_in_doubt_is_one_on_notmnist_alone(method):
    assert lead(method, "dense", "auroc")[0] > 0.2
    assert lead(method, "dense", "auroc_omniglot")[0] < 0.02
    for key in ("auroc_omniglot", "auroc_turned"):  # nothing is left beside tuned weight decay
        mean, half = lead(method, "decay", key)
        assert mean - half < 0


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Sixty digits for MNIST, a tiny network, one epoch, and a cache of its own."""
    reproduced.digits_for_mnist(monkeypatch, tmp_path, 60)

    def lenet300(seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return torch.nn.Sequential(
                torch.nn.Flatten(), torch.nn.Linear(784, 8), torch.nn.ReLU(), torch.nn.Linear(8, 10)
            )

    monkeypatch.setattr(networks, "lenet300", lenet300)
    training = bayesian_settings.ordinary(1, 1e-3, batch_size=20)
    monkeypatch.setitem(bayesian.DENSE, "lenet300", training)
    elbo = training | {"warm_up": [0, 0.5], "posterior": {}, "kl_weight": 1, "clip_sigma": None}
    common = {"network": "lenet300", "seeds": [0], "training": elbo, "threshold": 3.0}
    runs = [
        common | {"method": method, "clusters": 4, "more_bits": 1}
        for method in ("graves", "sparse_vd", "group_jeffreys", "group_horseshoe", "vnq")
    ]
    runs[3]["fine_tuning"] = training
    monkeypatch.setitem(bayesian.SETTINGS, "runs", runs)
    monkeypatch.setitem(bayesian.SETTINGS, "samples", 2)


def test_every_method_gives_its_rows_and_its_file(small):
    rows = bayesian.run(Store("test", {}, 1))["rows"]
    found = {}
    for row in rows:
        found.setdefault(row["method"], []).append(row["way"])
    ways = ["mean", "samples", "pruned", "fast", "compressed"]
    assert found["dense"] == ["dense"]
    assert found["sparse_vd"] == found["graves"] == [way for way in ways if way != "fast"]
    assert found["group_jeffreys"] == ways
    assert found["group_horseshoe"] == [*ways[:3], "tuned", *ways[3:]]
    assert found["vnq"] == ["mean", "samples", "compressed"]
    files = bayesian.artefacts()
    for row in rows:
        assert row["error"] == pytest.approx(100 * (1 - row["accuracy"]), abs=0.005)
        measured = row["way"] in ("dense", "compressed")
        assert all((row[key] is not None) == measured for key in foreign.KEYS)
        if row["way"] == "compressed":
            assert len(files[f"lenet300-{row['method']}-0.uec"]) == row["bytes"]


def test_the_scores_of_the_other_foreign_sets_are_those_of_the_network_that_is_kept(small):
    rows = bayesian.measured("lenet300", "sparse_vd", 0)
    (row,) = (each for each in rows if each["way"] == "compressed")
    model = bayesian.compressed("lenet300", "sparse_vd", 0)["compressed"]
    x, _ = data.load("mnist", "test")
    turned = torch.stack([data.rotate(image[None], 90)[0] for image in x])
    for name, images in {"omniglot": data.load("omniglot", "test")[0], "turned": turned}.items():
        inside, outside = (uncertainty.entropy(uncertainty.predict(model, z)) for z in (x, images))
        assert row[f"auroc_{name}"] == pytest.approx(uncertainty.auroc(inside, outside), abs=1e-6)
        assert row[f"fpr95_{name}"] == pytest.approx(uncertainty.fpr95(inside, outside), abs=1e-6)
        assert row[f"entropy_{name}"] == pytest.approx(outside.mean().item(), abs=1e-5)


def test_the_frame_is_the_outer_three_pixels_on_each_side():
    ones = torch.ones(2, 1, 28, 28)
    assert foreign.frame(ones).tolist() == [28**2 - 22**2] * 2
    ones[1, :, 3:-3, 3:-3] = 0.3
    assert foreign.frame(ones).tolist() == [28**2 - 22**2] * 2
    assert foreign.frame(torch.nn.functional.pad(ones[..., 3:-3, 3:-3], [3] * 4)).tolist() == [0, 0]


def test_units_are_independent_and_complete(small, monkeypatch):
    monkeypatch.setattr(bayesian, "card", lambda *_, **__: {"accuracy": 1.0})
    reproduced.check(bayesian)


def test_the_methods_start_from_the_dense_weights(small):
    dense = bayesian.trained("lenet300", "dense", 0)
    untrained = bayes.variational(dense, "sparse_vd")
    x, _ = data.load("mnist", "test")
    assert torch.equal(untrained(x), dense(x))


def test_more_bits_are_mantissa_bits(small):
    model = bayesian.trained("lenet300", "group_jeffreys", 0)
    pruned = bayes.prune_groups(model, math.inf)
    least = bayes.bit_precision(model, pruned).values()
    more = bayesian.precision(model, pruned, {"more_bits": 2})
    assert [m.mantissa - n.mantissa for m, n in zip(more, least, strict=True)] == [2, 2]


def test_the_tuned_network_has_the_zeros_of_the_pruned_and_each_layer_its_own_bits(
    small, monkeypatch
):
    model = bayesian.trained("lenet300", "group_horseshoe", 0)
    middle = bayes.group_scores(model)["1"].median().item()
    bayesian.SETTINGS["runs"][3]["threshold"] = {"1": middle}  # half of the pixels
    formats = [bayes.BitPrecision(1, 15), bayes.BitPrecision(1, 12)]
    monkeypatch.setattr(bayesian, "precision", lambda *_: formats)
    ways = bayesian.compressed("lenet300", "group_horseshoe", 0)
    pruned, tuned, fast = (
        dict(networks.linear_and_conv_layers(ways[way])) for way in ("pruned", "tuned", "fast")
    )
    assert list(tuned) == ["1.1", "3"]  # a choice of pixels is before the first layer
    assert tuned["1.1"].weight.shape == (8, 391)
    kept = (pruned["1"].weight != 0).any(dim=0)
    assert torch.equal(ways["tuned"].get_submodule("1.0").keep, kept)
    assert not torch.equal(tuned["1.1"].weight, pruned["1"].weight[:, kept])
    for name, bits in [("1.1", 15), ("3", 12)]:
        rounded = (2**bits * tuned[name].weight).round() / 2**bits
        assert torch.equal(fast[name].weight, rounded)
    rounded = networks.cluster_weights(ways["tuned"], 4)
    for name, layer in networks.linear_and_conv_layers(ways["compressed"]):
        assert torch.equal(layer.weight, rounded.get_submodule(name).weight)
