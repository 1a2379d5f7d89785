"""The row of a network holds what the metrics say, and the table and the figure show it."""

import copy
import json
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from uecompress import data, ensembles, lowrank, networks, plotting, training
from uecompress import uncertainty as u

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
    assert list(row) == list(u.HEADS)
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
    path.write_bytes(bytes(1234))
    row = u.scorecard(small, test, ood, path, uncompressed=model)
    dense, kept = networks.parameter_count(model), networks.parameter_count(small)
    assert (row["parameters"], row["bytes"]) == (dense, 1234)
    assert row["nonzero"] <= kept < dense
    assert row["parameter_ratio"] == dense / row["nonzero"]
    assert row["byte_ratio"] == 4 * dense / 1234
    assert row["multiply_adds"] == 4 * (784 + 32) + 4 * (32 + 10)
    assert u.scorecard(small, test, ood, str(path))["parameters"] == kept

    pruned = copy.deepcopy(model)
    pruned.linear1.weight.data[:, ::2] = 0
    row = u.scorecard(pruned, test, ood)
    whole = u.scorecard(model, test, ood)
    assert row["parameters"] == dense
    assert row["nonzero"] == whole["nonzero"] - 784 * 32 // 2
    assert row["multiply_adds"] == whole["multiply_adds"]  # zeros are multiplied


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
    with pytest.raises(ValueError, match="nll was not measured for 'A', 'B', 'A'"):
        plotting.against_bytes(rows)
    with pytest.raises(ValueError, match="bytes was not measured for 'C'"):
        plotting.against_bytes([row("C")], ("error",))
    with pytest.raises(ValueError, match="at least one row"):
        plotting.against_bytes([])
