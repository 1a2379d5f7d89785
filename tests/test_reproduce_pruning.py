"""The pruning experiment on a few digits: its masks, its searches, its units, its arithmetic."""

from collections import OrderedDict

import pytest
import reproduced
import torch
from torch import nn

from uecompress import data, networks, pruning, storage, uncertainty
from uecompress.reproduce import (
    bayesian,
    bayesian_settings,
    pruning_collapse,
    pruning_questions,
    pruning_rows,
    pruning_scratch,
    pruning_tickets,
)
from uecompress.reproduce import pruning as experiment
from uecompress.reproduce import pruning_training as common
from uecompress.reproduce.__main__ import choice
from uecompress.reproduce.pruning_settings import SETTINGS
from uecompress.reproduce.search import beyond, searched
from uecompress.reproduce.store import Store

TINY = bayesian_settings.ordinary(1, 1e-3, batch_size=20)


def tiny(seed):
    """784-12-8-10, with the names of the LeNet-300-100."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            OrderedDict(
                flatten=nn.Flatten(),
                linear1=nn.Linear(784, 12),
                relu1=nn.ReLU(),
                linear2=nn.Linear(12, 8),
                relu2=nn.ReLU(),
                linear3=nn.Linear(8, 10),
            )
        )


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Forty digits for MNIST, small networks, one epoch, two values of each knob, one seed."""
    reproduced.digits_for_mnist(monkeypatch, tmp_path, 40)

    monkeypatch.setattr(networks, "lenet300", tiny)
    for kind in (bayesian_settings.DENSE, bayesian_settings.DECAY):
        for network in kind:
            monkeypatch.setitem(kind, network, TINY)
    for settings in SETTINGS["methods"].values():
        short = settings["training"] | {"epochs": 1, "batch_size": 20}
        grid = {knob: values[1:3] for knob, values in settings["search"]["grid"].items()}
        monkeypatch.setitem(settings, "training", short)
        monkeypatch.setitem(settings, "seeds", [0])
        monkeypatch.setitem(settings["search"], "epochs", 1)
        monkeypatch.setitem(settings["search"], "grid", grid)
    for key, value in {"batch": 20, "rounds": 5, "tuning": TINY}.items():
        monkeypatch.setitem(SETTINGS, key, value)
    rounds = {"rows": [0, 2], "rewound_rows": [1], "redrawn_rows": [1], "early_stop": 1}
    rounds |= {"seeds": [0, 1], "early_stop_steps": 1, "round_of": [[0.2, 2], [0.02, 3]]}
    for key, value in rounds.items():
        monkeypatch.setitem(SETTINGS["imp"], key, value)
    grid = {"lr": [1e-3, 2e-3], "weight_decay": [0.0]}
    search = {"rounds": 1, "epochs": 1, "grid": grid}
    monkeypatch.setitem(SETTINGS["imp"], "search", search)
    short = bayesian_settings.ordinary(1, 0.0, batch_size=20)
    monkeypatch.setitem(SETTINGS["imp"], "training", short)
    monkeypatch.setitem(SETTINGS["scratch"], "training", TINY)
    monkeypatch.setitem(SETTINGS["questions"], "mask_round", 2)
    monkeypatch.setitem(SETTINGS["questions"], "unpruned", {"share": 0.5, "images": 20})
    for key, value in {"seeds": [0], "widths": [784, 9, 9, 10], "rounds": [1, 3]}.items():
        monkeypatch.setitem(SETTINGS["collapse"], key, value)
    for key, value in {"seeds": [0], "densities": [0.2, 0.02]}.items():
        monkeypatch.setitem(SETTINGS["potential"], key, value)
    monkeypatch.setitem(SETTINGS["scratch"], "seeds", [0])


def total(model):
    """The share of all weights that are left."""
    weights = [layer.weight for _, layer in networks.linear_and_conv_layers(model)]
    return networks.nonzero_weights(model) / sum(weight.numel() for weight in weights)


def test_units_are_independent_and_complete(small, monkeypatch):
    card = dict.fromkeys(["error", "nll_scaled", "nll_shifted", "auroc", "byte_ratio"], 1.0)
    monkeypatch.setattr(bayesian, "quality", lambda *_: card)
    monkeypatch.setattr(experiment, "potential", lambda rows, _: rows)
    reproduced.check(experiment)


def test_how_the_settings_were_chosen_is_said():
    assert choice(experiment).endswith(".")


def test_rows_of_every_kind_are_what_their_networks_say(small):
    row, model = pruning_rows.row("snip", 0, 0.05), common.trained("snip", 0, 0.05)
    x, y = data.load("mnist", "test")
    log_probs = uncertainty.predict(model, x)
    assert row["nll"] == pytest.approx(uncertainty.nll(log_probs, y), abs=1e-5)
    assert row["error"] == pytest.approx(100 * (1 - uncertainty.accuracy(log_probs, y)), abs=0.01)
    assert sum(row["nonzero_weights"]) == networks.nonzero_weights(model)
    assert row["bytes"] == len(bayesian.as_bytes(model))
    assert {"auroc", "auroc_omniglot", "auroc_turned", "nll_shifted"} <= row.keys()


@pytest.mark.parametrize("method", ["magnitude", "snip", "grasp", "synflow", "erk", "random"])
def test_methods_leave_the_density_that_they_are_asked_for(small, method):
    model = common.trained(method, 0, 0.1)
    assert total(model) == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize("method", ["gradual", "rigl"])
def test_so_do_those_that_prune_while_they_train(small, method):
    assert total(common.trained(method, 0, 0.3)) == pytest.approx(0.3, abs=1e-3)


def test_units_are_gone_from_networks_pruned_by_units(small):
    half = [layer.out_features for _, layer in
            networks.linear_and_conv_layers(common.trained("neurons", 0, 0.5))]  # fmt: skip
    assert half == [6, 4, 10]
    shapes = [
        [layer.weight.shape[0] for _, layer in networks.linear_and_conv_layers(each)][:-1]
        for each in (common.trained("penalized", 0, 1.0), common.trained("slimming", 0, 0.3))
    ]
    assert sum(shapes[1]) == round(0.3 * sum(shapes[0]))


def test_slimming_by_layers_leaves_the_same_share_of_each(small):
    shapes = [
        [layer.weight.shape[0] for _, layer in networks.linear_and_conv_layers(each)]
        for each in (common.trained("penalized", 0, 1.0), common.trained("slimming_layers", 0, 0.3))
    ]
    convolutions = len(shapes[0]) - 2  # the last two are Linear
    for before, after in list(zip(*shapes, strict=True))[: convolutions - 1]:
        assert after == round(0.3 * before)


def test_the_control_of_slimming_is_trained_as_it_is_but_for_the_penalty(small):
    chosen, control = common.choice("penalized"), common.choice("unpenalized")
    assert control == chosen | {"penalty": 0.0}
    knobs = {"lr": 1e-3, "weight_decay": 0.0, "penalty": 0.1}
    models = [
        common.trained("penalized", 0, 1.0, knobs=knobs),
        common.trained("unpenalized", 0, 1.0, knobs=knobs | {"penalty": 0.0}),
    ]
    scales = [model.get_submodule("norm2").weight for model in models]
    assert scales[0].sum() < scales[1].sum()


def test_the_refit_trains_the_largest_weights_of_l1_and_no_others(small):
    first, refit = common.trained("l1", 0, 1.0), common.trained("l1_refit", 0, 0.05)
    layers = [networks.linear_and_conv_layers(model) for model in (first, refit)]
    before, after = (torch.cat([m.weight.flatten() for _, m in each]) for each in layers)
    kept = after != 0
    assert kept.sum() == round(0.05 * len(before))
    assert before[kept].abs().min() >= before[~kept].abs().max()
    assert not torch.equal(before[kept], after[kept])


def test_a_network_that_is_sparse_enough_stays_as_it_is(small):
    sparse = common.largest(tiny(0), 0.1)
    assert common.largest(sparse, 0.2) is sparse


def test_snip_of_lenet5_has_no_activation_after_its_convolutions(small):
    model = common.untrained("lenet5_linear", 0)
    names = [name for name, _ in model.named_children()]
    assert names == ["conv1", "pool1", "conv2", "pool2", "flatten", "linear1", "relu3", "linear2"]
    assert torch.equal(model.conv2.weight, networks.lenet5(seed=0).conv2.weight)


def test_a_search_takes_one_knob_after_the_other_and_the_lowest_nll_of_the_sparse(tmp_path):
    tried, scores = [], {(2, 0): 3.0, (1, 0): 2.0, (3, 0): 1.0, (1, 5): 1.5, (1, 9): 4.0}

    def network(knobs):
        tried.append((knobs["a"], knobs["b"]))
        return tried[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path))
        patch.setattr(
            "uecompress.reproduce.search.validation",
            lambda key: {"nll": scores[key], "density": 0.5 if key == (3, 0) else 0.1},
        )
        store = Store("test", {}, 1)
        grid = {"a": [1, 2, 3], "b": [5, 0, 9]}
        found = searched(store, "demo", grid, network, 0.1)
        assert searched(store, "demo", grid, None, 0.1) == found
    assert tried == [(1, 0), (2, 0), (3, 0), (1, 5), (1, 9)]
    assert found["choice"] == {"a": 1, "b": 5}
    assert len(found["grid"]) == 5


@pytest.mark.parametrize(
    ("knob", "tried", "best"),
    [
        ("lr", [1, 2, 4, 8, 16], 8.0),  # 16 is worse than 8
        ("fraction", [1, 2, 4], 4),  # a share ends at 1
    ],
)
def test_a_search_goes_on_where_an_end_is_the_best(tmp_path, monkeypatch, knob, tried, best):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        "uecompress.reproduce.search.validation",
        lambda value: {"nll": abs(value - 9.0), "density": 1.0},
    )
    found = searched(Store("test", {}, 1), "demo", {knob: [1, 2, 4]}, lambda knobs: knobs[knob])
    assert [row["knobs"][knob] for row in found["grid"]] == tried
    assert found["choice"] == {knob: best}


def test_a_search_takes_the_sparsest_where_none_is_sparse_enough(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        "uecompress.reproduce.search.validation",
        lambda value: {"nll": value, "density": 1 - value / 10},
    )
    grid = {"fraction": [1, 2, 4]}
    found = searched(Store("test", {}, 1), "demo", grid, lambda k: k["fraction"], 0.1)
    assert found["choice"] == {"fraction": 4}


def test_a_search_begins_with_a_penalty_since_that_makes_the_sparsity(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        "uecompress.reproduce.search.validation",
        lambda penalty: {"nll": abs(penalty - 20.0), "density": 1.0},
    )
    grid = {"fraction": [1, 2, 4], "penalty": [10, 20, 30]}
    found = searched(Store("test", {}, 1), "demo", grid, lambda knobs: knobs["penalty"])
    assert [row["knobs"]["penalty"] for row in found["grid"]] == [10, 20, 30, 20, 20]


@pytest.mark.parametrize(
    ("values", "best", "more"),
    [
        ([3e-4, 1.2e-3, 5e-3], 5e-3, [0.021]),
        ([1e-5, 3e-5, 1e-4], 1e-5, [3.3e-6]),
        ([0.0, 1e-5, 3e-5], 0.0, []),
        ([0.1, 0.2, 0.3], 0.2, []),
    ],
)
def test_what_lies_beyond_the_values_tried(values, best, more):
    assert beyond(values, best) == pytest.approx(more)


def test_tickets_have_their_first_weights_and_the_paper_s_densities(small):
    pairs = pruning_tickets.chain("reset", 0, 2)
    ticket, new = pruning_tickets.ticket(0, 2), tiny(0)
    shares = pruning.densities(ticket)
    assert shares["linear1"] == pytest.approx(0.64, abs=1e-4)
    assert shares["linear3"] == pytest.approx(0.81, abs=0.01)
    kept = ticket.linear1.weight != 0
    assert torch.equal(ticket.linear1.weight[kept], new.linear1.weight[kept])
    again = common.fit(pairs[0][1], pruning_tickets.how(), 0)  # the ticket of one round
    assert torch.equal(again.linear1.weight, pairs[1][0].linear1.weight)


def test_a_rewound_ticket_goes_back_to_an_epoch_of_training(small):
    begun, ticket = pruning_tickets.start("rewound", 0), pruning_tickets.chain("rewound", 0, 1)
    kept = ticket[0][1].linear1.weight != 0
    assert torch.equal(ticket[0][1].linear1.weight[kept], begun.linear1.weight[kept])
    assert not torch.equal(begun.linear1.weight, tiny(0).linear1.weight)


def test_a_member_has_the_mask_of_one_seed_and_the_weights_of_another(small):
    member, ticket = pruning_tickets.on(0, 1, 2), pruning_tickets.ticket(0, 2)
    assert not member.linear1.weight[ticket.linear1.weight == 0].any()
    own = pruning_tickets.on(0, 0, 2)
    new = common.fit(ticket, pruning_tickets.how(), 0)
    assert torch.equal(own.linear1.weight, new.linear1.weight)


def test_an_early_stop_is_at_the_lowest_loss(small):
    found = pruning_tickets.early_stop(0, "ticket")
    assert found["steps"] == [1, 2]
    assert found["nll"][found["steps"].index(found["best"])] == min(found["nll"])


def test_a_shuffled_mask_has_the_densities_of_the_layers_and_the_ink_no_dead_pixels(small):
    knobs = common.choice("snip")
    original = common.prepared("snip", 0, 0.02, knobs)
    masked = {
        kind: pruning_questions.masked(kind, "snip", 0, 0.02, knobs)
        for kind in ("shuffled", "ink", "noise")
    }
    shares = pruning.densities(original)
    assert pruning.densities(masked["shuffled"]) == pruning.densities(masked["ink"]) == shares
    assert not torch.equal(masked["shuffled"].linear1.weight, original.linear1.weight)
    dead = {k: (m.linear1.weight == 0).all(0) for k, m in masked.items()}
    cut = (original.linear1.weight == 0).all(0).sum()
    least = pruning_questions.ink().argsort(stable=True)[:cut]
    assert dead["ink"][least].all()
    blind = pruning_questions.ink() == 0
    assert not original.linear1.weight[:, blind].any()
    assert masked["noise"].linear1.weight[:, blind].any()  # the cure: noise shows all pixels


@pytest.mark.parametrize("way", [way for way in pruning_questions.UNPRUNED if way != "none"])
def test_half_of_the_first_layers_is_cut_and_the_last_is_whole(small, way):
    model = bayesian.trained("lenet300", "decay", 0)
    cut = pruning_questions.cut(model, way, 0, 0.5, 20)
    shares = pruning.densities(cut)
    assert shares["linear1"] == pytest.approx(0.5, abs=0.01)
    assert shares["linear3"] == 1
    if way == "ink":
        gone = (cut.linear1.weight == 0).all(0)
        assert pruning_questions.ink()[gone].max() <= pruning_questions.ink()[~gone].min()


def test_the_places_of_one_mask_are_stored_once(small):
    ticket = pruning_tickets.ticket(0, 3)
    models = [pruning.with_zeros_of(tiny(seed), ticket) for seed in range(5)]
    shared = pruning_questions.shared_bytes(models)
    assert shared < len(bayesian.as_bytes(networks.Ensemble(models)))
    other = pruning.random_erk(tiny(9), density=0.5, seed=1)
    assert pruning_questions.shared_bytes([*models, other]) is None


def test_scratch_training_gets_the_arithmetic_of_the_dense_network(small, monkeypatch):
    seen, fit = [], common.fit
    common.trained("neurons", 0, 0.5)
    monkeypatch.setattr(
        common, "fit", lambda m, how, seed, **k: seen.append(how["epochs"]) or fit(m, how, seed)
    )
    for way in ("e", "b"):
        pruning_scratch.row(way, 0)
    sizes = [784 * 12 + 12 * 8 + 8 * 10, 784 * 6 + 6 * 4 + 4 * 10]
    assert seen == [1, sizes[0] // sizes[1]]


def test_found_widths_are_compared_with_uniform_ones_of_as_many_parameters(small, monkeypatch):
    def loud(model, batch):  # 8 units of the first layer, and 2 of the second
        score = {name: 1e-6 * weight for name, weight in pruning.scores.magnitude(model).items()}
        score["linear1"][:8] = 2
        score["linear2"][:2] = 1
        return score

    monkeypatch.setattr(pruning_scratch.scores, "snip", loud)
    found, uniform = (pruning_scratch.row(way, 0) for way in ("found", "uniform"))
    assert found["shapes"] == [[8, 784], [2, 8], [10, 2]]  # half of 20 units
    # 5/8 of the units of each layer: with 8 and 5 it would have 6,385 parameters, not 6,328.
    assert uniform["shapes"] == [[7, 784], [5, 7], [10, 5]]


def test_one_round_of_synflow_empties_a_layer_before_many_do(small):
    ones, many = (pruning_collapse.row("synflow", rounds, 0) for rounds in (1, 3))
    assert ones["largest"] < many["largest"] <= many["limit"]


def test_biases_let_synflow_empty_the_first_layers(small):
    row = pruning_collapse.row("synflow", 100, 0)
    assert row["half_without_biases"]
    assert not row["half"]


def test_exemplars_are_images_that_can_be_drawn(small):
    x, y = data.load("mnist", "test")
    found = pruning_questions.exemplars()
    assert found["images"]
    assert found["labels"] == y[found["pruned"]].tolist()
    assert all(a != b for a, b in zip(found["dense_says"], found["pruned_says"], strict=True))
    for place, image in zip(found["pruned"], found["images"], strict=False):
        pixels = torch.frombuffer(bytearray.fromhex(image), dtype=torch.uint8).view(1, 28, 28)
        assert (pixels / 255 - x[place]).abs().max() < 0.5 / 255 + 1e-6


def test_a_network_without_a_middle_is_calibrated_and_knows_nothing(small):
    row = pruning_collapse.emptied(0)
    assert row["auroc"] == row["auroc_omniglot"] == 0.5
    assert row["ece"] < 0.15
    assert row["error"] > 60


def test_the_potential_measures_losses_in_percent_and_auroc_in_points(monkeypatch):
    base = {"error": 1.5, "nll_scaled": 0.05, "nll_shifted": 0.2, "byte_ratio": 1.0}
    base |= dict.fromkeys(["auroc", "auroc_omniglot", "auroc_turned"], 0.9)
    rows = []
    for seed in (0, 1, 2):
        rows.append(base | {"method": "decay", "network": "lenet300", "seed": seed, "density": 1.0})
        for density, loss in ((0.2, 0.0), (0.1, 0.003), (0.05, 0.002)):
            worse = {"nll_scaled": 0.05 + loss, "auroc": 0.9 - 2 * loss, "byte_ratio": 1 / density}
            one = {"method": "snip", "network": "lenet300", "seed": seed, "density": density}
            rows.append(base | worse | one)
    found = {row["metric"]: row["rank"] for row in experiment.byte_potential(rows)}
    assert found["nll_scaled"] == 0.2  # 6 % at the next
    assert found["auroc"] == 0.2  # 0.6 points
    assert found["error"] == found["auroc_turned"] == 0.05


def test_kept_networks_are_stored_as_they_are(small, monkeypatch, tmp_path):
    monkeypatch.setitem(SETTINGS, "kept_density", {"magnitude": 0.02, "snip": 0.02})
    files = experiment.artefacts()
    assert files.keys() == {"magnitude-0.uec", "snip-0.uec", "imp-0.uec"}
    (tmp_path / "file").write_bytes(files["snip-0.uec"])
    model = storage.load(tmp_path / "file")
    assert torch.equal(model.linear1.weight, common.trained("snip", 0, 0.02).linear1.weight)
