"""The row of a network holds what the metrics say, and the table and the figure show it."""

import copy
import json
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import trial_networks as trials
from torch import nn
from torch.nn.utils import parametrizations, prune

from uecompress import data, ensembles, lowrank, networks, plotting, storage, training
from uecompress import uncertainty as u

offered = trials.offered  # a fixture
MEASURED_LATER = {"bytes", "byte_ratio"} | {key for key in u.HEADS if key.startswith("latency")}


@pytest.fixture(scope="module")
def sets():
    """Test, validation and foreign data, and a network trained for a moment."""
    x, y = data.load("digits", "train")
    start = networks.mlp(width=32, depth=1)
    model = training.fit(
        start, (x, y), epochs=3, batch_size=64, lr=3e-3, seed=0, progress=False
    ).eval()
    test, validation = data.load("digits", "test"), data.load("digits", "validation")
    return model, test, validation, data.load("glyphs", "test")[0][:200]


class Fixed(nn.Module):
    """Answers an input with the logits that are written in it; has one parameter."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * self.weight


def close(row, other, tol):
    assert row.keys() == other.keys()
    for key, value in row.items():
        if isinstance(value, float):
            assert other[key] == pytest.approx(value, abs=tol, rel=tol), key
        else:
            assert other[key] == value, key


# --- values ------------------------------------------------------------------------------------


def test_a_row_is_what_the_metrics_say(sets):
    model, (x, y), (x_val, y_val), ood = sets
    row = u.scorecard(model, (x, y), ood, validation=(x_val, y_val), name="MLP")
    log_probs = u.predict(model, x)
    inside, outside = u.entropy(log_probs), u.entropy(u.predict(model, ood))
    t = u.temperature(u.predict(model, x_val), y_val)
    turned, rolled, noisy = data.rotate(x, 15), data.roll(x, 2), data.noise(x, 0.1, 0)
    assert row == dict.fromkeys(MEASURED_LATER) | {
        "name": "MLP",
        "parameters": networks.parameter_count(model),
        "nonzero": u.nonzero_count(model),
        "parameter_ratio": networks.parameter_count(model) / u.nonzero_count(model),
        "multiply_adds": 784 * 32 + 32 * 10,
        "peak_memory": u.peak_memory(model, x[:1]),
        "accuracy": u.accuracy(log_probs, y),
        "nll": u.nll(log_probs, y),
        "temperature": t,
        "nll_scaled": u.nll(u.scale(log_probs, t), y),
        "brier": u.brier(log_probs, y),
        "ece": u.ece(log_probs, y),
        "entropy": inside.mean().item(),
        "entropy_ood": outside.mean().item(),
        "auroc": u.auroc(inside, outside),
        "aupr": u.aupr(inside, outside),
        "fpr95": u.fpr95(inside, outside),
        "nll_shifted": np.mean([u.nll(u.predict(model, z), y) for z in (turned, rolled, noisy)]),
    }
    assert list(row) == [key for key in u.HEADS if key not in ("coverage", "set_size")]
    assert json.loads(json.dumps(row, allow_nan=False)) == row


def test_known_predictions():
    p = torch.tensor([[0.8, 0.2], [0.6, 0.4], [0.9, 0.1], [0.5, 0.5]]).double()
    y = torch.tensor([0, 1, 0, 1])
    foreign = torch.tensor([[0.55, 0.45], [0.7, 0.3]]).double()
    shifted = {"a": torch.full((4, 2), 0.5).log().double(), "b": p.log()}
    validation = torch.tensor([[0.75, 0.25]]).log().double().repeat(10, 1)
    y_validation = torch.tensor([0] * 9 + [1])  # right in 9 of 10: log odds log 9, stated log 3
    row = u.scorecard(
        Fixed().double(),
        (p.log(), y),
        foreign.log(),
        shifted=shifted,
        validation=(validation, y_validation),
    )
    nll = -np.log([0.8, 0.4, 0.9, 0.5]).mean()
    entropies = [-(q * math.log(q) + (1 - q) * math.log(1 - q)) for q in (0.8, 0.6, 0.9, 0.5)]
    expected = {
        "parameters": 1,
        "accuracy": 0.5,  # the tie goes to class 0
        "nll": nll,
        "temperature": math.log(3) / math.log(9),
        "brier": 2 * np.mean([0.2**2, 0.6**2, 0.1**2, 0.5**2]),
        "ece": (0.2 + 0.6 + 0.1 + 0.5) / 4,
        "entropy": np.mean(entropies),
        "auroc": (3 + 2) / 8,  # 0.55 is beaten by 0.5 alone; 0.7 by 0.6 and 0.5
        "aupr": 1 / 2 * 1 / 2 + 1 / 2 * 2 / 4,
        "fpr95": 2 / 4,
        "nll_shifted": (math.log(2) + nll) / 2,
        "multiply_adds": 0,
    }
    assert {key: row[key] for key in expected} == pytest.approx(expected, abs=1e-6)
    scaled = [q**2 / (q**2 + (1 - q) ** 2) for q in (0.8, 0.4, 0.9, 0.5)]  # T is 1/2
    assert row["nll_scaled"] == pytest.approx(-np.log(scaled).mean(), abs=1e-6)


def test_sizes_and_ratios(sets, tmp_path):
    model, test, _, ood = sets
    small, path = lowrank.compress(model, rank=4), tmp_path / "network"
    written = storage.save(small, path)
    row = u.scorecard(small, test, ood, path, uncompressed=model)
    dense, kept = networks.parameter_count(model), networks.parameter_count(small)
    assert (row["parameters"], row["bytes"]) == (dense, written)
    assert row["nonzero"] <= kept < dense
    assert row["parameter_ratio"] == dense / row["nonzero"]
    assert row["byte_ratio"] == 4 * dense / written
    assert row["multiply_adds"] == 4 * (784 + 32) + 4 * (32 + 10)
    assert u.scorecard(small, test, ood, str(path))["parameters"] == kept

    pruned = copy.deepcopy(model)
    pruned.linear1.weight.data[:, ::2] = 0
    row = u.scorecard(pruned, test, ood)
    whole = u.scorecard(model, test, ood)
    assert row["parameters"] == dense
    assert row["nonzero"] == whole["nonzero"] - 784 * 32 // 2
    assert row["multiply_adds"] == whole["multiply_adds"]  # zeros are multiplied


def test_a_network_without_parameters_has_no_ratios(offered, tmp_path):
    model, path = trials.quantized(bias=False), tmp_path / "network"
    written = storage.save(model, path)
    row = u.scorecard(model, trials.digits("test"), trials.foreign(), path)
    ratios = {"parameters": 0, "parameter_ratio": None, "bytes": written, "byte_ratio": None}
    assert {key: row[key] for key in ratios} == ratios
    assert row["nonzero"] == sum(int(m.codes.count_nonzero()) for m in (model[1], model[3])) > 900
    dense = networks.mlp(width=3)
    ratio = u.scorecard(model, trials.digits("test"), trials.foreign(), path, uncompressed=dense)[
        "byte_ratio"
    ]
    assert ratio == 4 * networks.parameter_count(dense) / written


def test_the_file_is_that_of_the_network(sets, tmp_path):
    model, test, _, ood = sets
    path = tmp_path / "network"

    def refused(network, words):
        with pytest.raises(ValueError, match=f"network' is the file of another network: {words}"):
            u.scorecard(network, test, ood, path, shifted={})

    storage.save(networks.lenet5(), path)
    refused(networks.lenet300(), "tensor 'conv1.bias' is in the file only")
    storage.save(networks.mlp(width=16, depth=1), path)
    refused(model, r"tensor 'linear1.bias' is float32 \(16,\) in the file and float32 \(32,\) in")
    storage.save(model, path)
    other = copy.deepcopy(model)
    other.linear1.weight.data[3, 5] *= 1 + 1e-6
    refused(other, "tensor 'linear1.weight' has other values")
    other.linear1.weight.data = model.linear1.weight.data * 1.0
    assert u.scorecard(other, test, ood, path, shifted={})["bytes"] == path.stat().st_size
    other.linear1.weight.data[0, 0] = 0.0
    storage.save(other, path)
    other.linear1.weight.data[0, 0] = -0.0  # takes other bytes
    refused(other, "tensor 'linear1.weight' has other values")
    path.write_bytes(b"UEC")
    with pytest.raises(storage.DamagedFile, match="is damaged"):
        u.scorecard(model, test, ood, path)


def test_files_that_are_those_of_the_network(sets, tmp_path):
    model, test, _, ood = sets
    path = tmp_path / "network"
    tied = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), layer := nn.Linear(10, 10), layer)
    masked = copy.deepcopy(model)
    prune.l1_unstructured(masked.linear1, "weight", amount=0.5)
    normed = copy.deepcopy(model)
    parametrizations.weight_norm(normed.linear1)
    for network in (tied, masked, normed, networks.cnn().to(memory_format=torch.channels_last)):
        written = storage.save(network, path)
        for each in (network, storage.load(path)):
            row = u.scorecard(each, test, ood, path, shifted={})
            assert row["bytes"] == written
    short = copy.deepcopy(model).bfloat16()
    storage.save(short, path)
    row = u.scorecard(short, (test[0].bfloat16(), test[1]), ood.bfloat16(), path, shifted={})
    assert row["bytes"] == path.stat().st_size


def test_named_foreign_sets(sets):
    model, test, validation, ood = sets
    turned = data.rotate(test[0][:150], 90)
    row = u.scorecard(model, test, {"glyphs": ood, "turned": turned}, validation=validation)
    one, two = (u.scorecard(model, test, each, validation=validation) for each in (ood, turned))
    shared = [k for k in one if k not in ("entropy_ood", "auroc", "aupr", "fpr95")]
    assert {key: row[key] for key in shared} == {key: one[key] for key in shared}
    for key in ("auroc", "aupr", "fpr95"):
        assert (row[f"{key}_glyphs"], row[f"{key}_turned"]) == (one[key], two[key])
        assert key not in row
    assert (row["entropy_glyphs"], row["entropy_turned"]) == (
        one["entropy_ood"],
        two["entropy_ood"],
    )
    doubts = ("entropy", "auroc", "aupr", "fpr95")
    named = [f"{key}_{name}" for name in ("glyphs", "turned") for key in doubts]
    assert list(row)[-10:] == ["entropy", *named, "nll_shifted"]
    table = u.scorecard_table([one | {"name": "A"}, row | {"name": "B"}])
    assert table["AUROC, turned"].tolist() == ["–", f"{row['auroc_turned']:.4f}"]
    assert table["AUROC"].tolist() == [f"{one['auroc']:.4f}", "–"]
    assert u.scorecard_table([row], ["fpr95_turned"]).columns.tolist() == ["FPR95, turned"]
    assert u.head("entropy_turned") == ("entropy, turned (nats)", "{:.3f}")
    for ood, message in (({}, r"name its foreign sets, not \[\]"), ({1: turned}, r"not \[1\]")):
        with pytest.raises(ValueError, match=message):
            u.scorecard(model, test, ood)
    with pytest.raises(ValueError, match=r"ood\['empty'\]: the data are empty"):
        u.scorecard(model, test, {"empty": turned[:0]})
    with pytest.raises(ValueError, match="unknown quantity 'auroc_'"):
        u.head("auroc_")


def test_conformal_columns(sets):
    model, (x, y), (x_val, y_val), ood = sets
    plain = u.scorecard(model, (x, y), ood, validation=(x_val, y_val))
    row = u.scorecard(model, (x, y), ood, validation=(x_val, y_val), conformal=0.05)
    threshold = u.conformal_quantile(u.predict(model, x_val), y_val, 0.05)
    sets = u.prediction_sets(u.predict(model, x), threshold)
    assert row == plain | {"coverage": u.coverage(sets, y), "set_size": u.mean_set_size(sets)}
    assert list(row) == list(u.HEADS)
    assert 0.8 < row["coverage"] < 0.95  # the validation digits are easier: less than promised
    assert 0.8 < row["set_size"] < 1.2
    with pytest.raises(ValueError, match="conformal sets are fitted to validation data"):
        u.scorecard(model, (x, y), ood, conformal=0.1)
    with pytest.raises(ValueError, match="alpha must be in"):
        u.scorecard(model, (x, y), ood, validation=(x_val, y_val), conformal=1)


# --- networks of later chapters -----------------------------------------------------------------

MULTIPLY_ADDS = {  # 49 pixels, 24 hidden units, 10 classes, 3 members
    "packed": 49 * 24 + 24 * 24 / 3 + 24 * 30 / 3,
    "hashed": 49 * 24 + 24 * 10,
    "quantized": 49 * 24 + 24 * 10,
    "frozen_codes": 49 * 24 + 24 * 10,
    "batch_ensemble": 3 * (49 * 24 + 24 * 10),
    "mimo": 25 * 8 * 9 * 3 + 200 * 30,
}


@pytest.mark.parametrize("name", list(trials.TRIALS))
def test_every_trial_network_has_a_row(offered, tmp_path, name):
    model, path = trials.train(name).eval(), tmp_path / "network"
    test, foreign = (
        trials.digits("test"),
        {"glyphs": trials.foreign(), "noise": trials.foreign() / 2},
    )
    written = storage.save(model, path)
    settings = {"validation": trials.digits("validation"), "conformal": 0.1}
    row = u.scorecard(model, test, foreign, path, **settings)
    assert row["bytes"] == written
    assert row == u.scorecard(storage.load(path), test, foreign, path, **settings)
    log_probs = u.predict(model, test[0])
    assert row["nll"] == u.nll(log_probs, test[1])
    assert row["accuracy"] > (0.15 if "q" in name or "codes" in name else 0.5)
    assert row["parameters"] == networks.parameter_count(model)
    kept = [*model.parameters(), *(m.codes for m in model.modules() if "codes" in m._buffers)]
    assert row["nonzero"] == sum(int(each.count_nonzero()) for each in kept)
    if name != "early_exit":
        assert row["multiply_adds"] == MULTIPLY_ADDS[name]
    torch.testing.assert_close(
        u.energy(model, test[0]), -model(test[0]).double().logsumexp(-1).view(-1, 300).mean(0)
    )
    if name in ("hashed", "quantized", "frozen_codes"):
        seen = model[:-1](test[0]).double()
        torch.testing.assert_close(u.features(model, test[0]), seen)
    else:
        with pytest.raises(ValueError, match="an ensemble, or a network whose examples take"):
            u.features(model, test[0])
    timed = u.latency(model, test[0], repeats=3)
    assert 0 < timed[0] <= timed[2]


def test_the_multiply_adds_of_an_early_exit_are_expected_over_the_data():
    x, y = trials.digits("test")
    model = trials.train("early_exit").eval()
    first = model.exits[0](model.stages[0](x)).softmax(-1).amax(-1)
    stay = (first < model.threshold).double()
    assert 0.05 < stay.mean() < 0.95
    by_hand = 49 * 24 + 24 * 10 + stay * (24 * 24 + 24 * 10)
    assert u.multiply_adds(model, x) == pytest.approx(by_hand.mean().item())
    order = stay.argsort()  # those that leave early come first: their cost is not the expected one
    rows = [
        u.scorecard(model, (x[i], y[i]), trials.foreign(), shifted={})
        for i in (order, order.flip(0))
    ]
    assert rows[0]["multiply_adds"] == rows[1]["multiply_adds"]
    assert rows[0]["multiply_adds"] == pytest.approx(by_hand.mean().item())


def test_batches_and_the_order_of_members_do_not_matter(sets):
    model, (x, y), (x_val, y_val), ood = sets
    members = [copy.deepcopy(model) for _ in range(3)]
    for m, member in enumerate(members):
        member.linear1.weight.data *= 1 + 0.2 * m
    rows = [
        u.scorecard(
            copy.deepcopy(networks.Ensemble([members[m] for m in order])).double(),
            (x.double(), y),
            ood.double(),
            validation=(x_val.double(), y_val),
            batch_size=batch,
        )
        for order, batch in (((0, 1, 2), 1000), ((2, 0, 1), 1000), ((0, 1, 2), 7))
    ]
    close(rows[0], rows[1], 1e-6)  # the temperature is searched to that precision
    close(rows[0], rows[2], 1e-6)
    assert rows[0]["multiply_adds"] == 3 * (784 * 32 + 320)


def test_samples_and_seed(sets):
    model, test, validation, ood = sets
    random = ensembles.mc_dropout(model)
    settings = {"validation": validation, "samples": 5}
    row = u.scorecard(random, test, ood, **settings)
    assert row == u.scorecard(random, test, ood, **settings)
    assert row["nll"] == u.nll(u.predict(random, test[0], samples=5), test[1])
    assert row["multiply_adds"] == 5 * (784 * 32 + 320)
    assert row["nll"] != u.scorecard(random, test, ood, **settings, seed=1)["nll"]
    assert row["nll"] != u.scorecard(random, test, ood)["nll"]


def test_nothing_changes(sets):
    model, test, validation, ood = sets
    random = ensembles.mc_dropout(model).train()
    before, x_before = copy.deepcopy(random.state_dict()), test[0].clone()
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    u.scorecard(random, test, ood, validation=validation, samples=2, latency=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert torch.equal(test[0], x_before)
    assert all(torch.equal(value, before[key]) for key, value in random.state_dict().items())
    assert all(module.training for module in random.modules())


def test_latency_is_measured_on_request(sets):
    model, test, _, ood = sets
    keys = [key for key in u.HEADS if key.startswith("latency")]
    quiet, timed = u.scorecard(model, test, ood), u.scorecard(model, test, ood, latency=True)
    assert all(quiet[key] is None for key in keys)
    assert 0 < timed["latency_1_low"] <= timed["latency_1"] <= timed["latency_1_high"]
    assert 0 < timed["latency_256_low"] <= timed["latency_256"] <= timed["latency_256_high"]
    assert {k: v for k, v in timed.items() if k not in keys}.items() <= quiet.items()


@pytest.mark.parametrize("seed", [0, 1])
def test_rows_on_digits(seed):
    start = networks.mlp(width=64, depth=2, seed=seed)
    test, foreign = data.load("digits", "test"), data.load("glyphs", "test")[0]
    model = training.fit(
        start, data.load("digits", "train"), epochs=8, batch_size=64, lr=1e-3, seed=seed,
        progress=False,
    )  # fmt: skip
    row = u.scorecard(model, test, foreign, validation=data.load("digits", "validation"))
    # bands around seeds 0 to 5: 0.913-0.931, 0.270-0.329, 0.52-0.63
    assert 0.89 < row["accuracy"] < 0.955
    assert 0.22 < row["nll"] < 0.4
    assert 0.4 < row["temperature"] < 0.75  # trained for a moment, it is not sure enough
    assert row["nll_shifted"] > 2 * row["nll"]


# --- bad input ---------------------------------------------------------------------------------


def test_bad_input(sets, tmp_path):
    model, (x, y), validation, ood = sets
    card = u.scorecard
    with pytest.raises(FileNotFoundError, match=r"no file of the network at '.*missing'"):
        card(model, (x, y), ood, tmp_path / "missing")
    with pytest.raises(ValueError, match="not the file of a network: it is empty or a folder"):
        card(model, (x, y), ood, tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="not the file of a network"):
        card(model, (x, y), ood, tmp_path / "empty")
    with pytest.raises(TypeError, match="Sequential"):
        card(model, (x, y), ood, model)
    with pytest.raises(ValueError, match="the data are empty"):
        card(model, (x[:0], y[:0]), ood)
    with pytest.raises(ValueError, match="ood: the data are empty"):
        card(model, (x, y), ood[:0])
    with pytest.raises(TypeError, match=r"ood\['a'\]: x must be a torch tensor, not tuple"):
        card(model, (x, y), {"a": (ood, y)})
    with pytest.raises(TypeError, match="labels must be real numbers"):
        card(model, (x, y.cfloat()), ood)
    with pytest.raises(TypeError, match="ood: x must be a torch tensor, not tuple"):
        card(model, (x, y), (ood, y))
    with pytest.raises(ValueError, match="ood: x contains NaN"):
        card(model, (x, y), ood * math.nan)
    with pytest.raises(TypeError, match="data must be a pair of inputs and labels, not Tensor"):
        card(model, x, ood)
    with pytest.raises(ValueError, match="data: 597 inputs but 5 labels"):
        card(model, (x, y[:5]), ood)
    with pytest.raises(ValueError, match="validation: 5 inputs but"):
        card(model, (x, y), ood, validation=(validation[0][:5], validation[1]))
    with pytest.raises(ValueError, match=r"labels must be whole numbers in 0\.\.9"):
        card(model, (x, y + 1), ood)
    with pytest.raises(ValueError, match=r"shifted\['half'\]: 100 inputs but 597 labels"):
        card(model, (x, y), ood, shifted={"half": x[:100]})
    with pytest.raises(ValueError, match="no random weights"):
        card(model, (x, y), ood, samples=3)


def test_inputs_that_are_no_images_have_no_default_shifts():
    x, y = torch.zeros(4, 2), torch.tensor([0, 1, 0, 1])
    with pytest.raises(ValueError, match="say which shifted= versions"):
        u.scorecard(Fixed(), (x, y), x)
    assert u.scorecard(Fixed(), (x, y), x, shifted={})["nll_shifted"] is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_shifts_of_what_is_not_finite(bad):
    x = torch.zeros(2, 1, 28, 28)
    x[1, 0, 3, 3] = bad
    with pytest.raises(ValueError, match="x contains NaN or infinity"):
        u.default_shifts(x)
    with pytest.raises(TypeError, match="seed must be a number"):
        u.default_shifts(x[:1], None)


# --- the table and the figure ------------------------------------------------------------------


def row(name, **values):
    return dict.fromkeys(u.HEADS) | {"name": name, "accuracy": 0.5} | values


def test_table():
    rows = [
        row("A", bytes=12345, accuracy=0.98765, nll=0.05, parameter_ratio=12.34),
        row("B", accuracy=0.5, multiply_adds=238800.0, latency_1=0.123),
    ]
    table = u.scorecard_table(rows)
    assert table.index.tolist() == ["A", "B"]
    assert table.to_dict("list") == {
        "parameters / non-zero": ["12.3×", "–"],
        "bytes": ["12,345", "–"],
        "multiply-adds": ["–", "238,800"],
        "1 image (ms)": ["–", "0.12"],
        "accuracy": ["98.77%", "50.00%"],
        "NLL (nats)": ["0.0500", "–"],
    }
    chosen = u.scorecard_table(rows, ["nll", "bytes"])
    assert chosen.columns.tolist() == ["NLL (nats)", "bytes"]
    assert u.scorecard_table(iter(rows), iter(["nll", "bytes"])).equals(chosen)
    with pytest.raises(ValueError, match="at least one row"):
        u.scorecard_table([])
    with pytest.raises(ValueError, match=r"unknown quantities \['error'\]; there are name, "):
        u.scorecard_table(rows, ["error"])


def test_figure():
    rows = [
        row("A", bytes=1000, accuracy=0.9, auroc=0.8),
        row("B", bytes=10_000, accuracy=0.95, auroc=0.9),
        row("A", bytes=2000, accuracy=0.92, auroc=0.85),
    ]
    figure = plotting.against_bytes(rows, ("error", "auroc"))
    left, right = figure.axes
    assert {axis.get_xscale() for axis in figure.axes} == {"log"}
    assert {axis.get_xlabel() for axis in figure.axes} == {"file (bytes)"}
    assert (left.get_ylabel(), right.get_ylabel()) == ("error (%)", "AUROC")
    a, b = left.lines
    assert a.get_xydata() == pytest.approx(np.array([[1000, 0.1], [2000, 0.08]]))
    assert right.lines[1].get_xydata() == pytest.approx(np.array([[10_000, 0.9]]))
    assert a.get_marker() != b.get_marker()
    assert a.get_color() != b.get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["A", "B"]
    plt.close(figure)
    named = [each | {"auroc_omniglot": 0.7} for each in rows]
    figure = plotting.against_bytes(named, ("auroc_omniglot",))
    assert figure.axes[0].get_ylabel() == "AUROC, omniglot"
    plt.close(figure)
    with pytest.raises(ValueError, match="nll was not measured for 'A', 'B', 'A'"):
        plotting.against_bytes(rows)
    with pytest.raises(ValueError, match="bytes was not measured for 'C'"):
        plotting.against_bytes([row("C")], ("error",))
    with pytest.raises(ValueError, match="at least one row"):
        plotting.against_bytes([])
