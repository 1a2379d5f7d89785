"""Deep ensembles, MC dropout, both together, and one wide network, on MNIST, turned and spoilt.

Chapter 7 at full scale, five seeds. The members are those of the ``ensemble`` experiment; MC
dropout samples the first member of each ensemble; the wide network has as many parameters as all
five members, and their training. Temperatures are fitted on the validation split.

How the settings were chosen: the training as in ``ensemble``; the width of the wide network by its
number of parameters. Nothing else was searched: all numbers of members and samples, all angles and
all corruptions are reported.
"""

import torch

from uecompress import data, ensembles, networks, uncertainty
from uecompress.reproduce import ensemble, recipe

VERSION = 1
SETTINGS = {name: value for name, value in ensemble.SETTINGS.items() if name != "rank"} | {
    "seeds": [0, 1, 2, 3, 4],
    "samples": [1, 2, 5, 10, 20, 50],
    "samples_of_each_member": 10,
    "width": 602,  # 1,209,792 parameters; five members have 1,210,890
    "angles": [15, 30, 45, 60, 75, 90],
    "corruptions": ["shot_noise", "impulse_noise", "motion_blur", "fog", "stripe", "translate"],
    "shifted_step": 5,  # every fifth test image is shifted, 2,000
}


def units(store):
    """The trainings, then the rows of each seed."""
    members, seeds = ensemble.member_store(), SETTINGS["seeds"]
    indices = range(SETTINGS["members"])
    return [
        [(f"member {s}-{i}", ensemble.member, (members, s, i)) for s in seeds for i in indices]
        + [(f"wide {seed}", wide, (store, seed)) for seed in seeds],
        [(f"rows {seed}", rows_of, (store, members, seed)) for seed in seeds],
    ]


def run(store):
    """One row for each seed and each way to predict."""
    members = ensemble.member_store()
    return [row for seed in SETTINGS["seeds"] for row in rows_of(store, members, seed)]


def rows_of(store, members, seed):
    """The rows of one seed: read from the store, or measured."""

    def measured():
        trained = [ensemble.member(members, seed, i) for i in range(SETTINGS["members"])]
        return compare(seed, trained, wide(store, seed))

    return store.value(f"rows-{seed}", measured)


def wide(store, seed):
    """One network with about as many parameters as five members: read, or trained like a member."""
    model = recipe.network(SETTINGS["network"] | {"width": SETTINGS["width"]}, 100 * seed)
    return store.network(f"wide-{seed}", model, lambda: recipe.fit(model, SETTINGS, 100 * seed))


def compare(seed, members, one):
    """The rows of one seed: the ensemble, dropout in its first member, both, and one network."""
    x, y = data.load("mnist", "test")
    tuning, tuning_y = data.load("mnist", "validation")
    foreign, _ = data.load("notmnist", "test")
    few = slice(None, None, SETTINGS["shifted_step"])
    images = {"in": x, "tuning": tuning, "out": foreign} | shifts(x[few])
    labels = {name: y[few] for name in images} | {"in": y, "tuning": tuning_y}

    five, many, count = networks.Ensemble(members), SETTINGS["samples"], SETTINGS["members"]
    each = SETTINGS["samples_of_each_member"]
    sampled = [
        ("ensemble", five, None, {m: (m, None) for m in range(1, count + 1)}),
        ("dropout", ensembles.mc_dropout(members[0]), many[-1], {s: (1, s) for s in many}),
        ("both", ensembles.mc_dropout(five), each, {count * each: (count, each)}),
        ("wide", one, None, {1: (1, None)}),
    ]
    rows = []
    for family, model, samples, counts in sampled:
        predicted = {
            name: uncertainty.predict(model, batch, samples=samples, seed=seed)
            for name, batch in images.items()
        }
        for first, (used, draws) in counts.items():  # the first rows of the prediction
            row = {"seed": seed, "family": family, "members": used, "samples": draws}
            row |= measure({name: p[:first] for name, p in predicted.items()}, labels)
            if first != max(counts) and first != 1:  # histograms of the ends only
                del row["histogram_in"], row["histogram_out"]
            rows.append(row)
    return rows


def shifts(x):
    """Images turned by every angle and with every corruption, by name."""
    turned = {f"rotate {angle}": data.rotate(x, angle) for angle in SETTINGS["angles"]}
    return turned | {name: data.corrupt(x, name) for name in SETTINGS["corruptions"]}


def measure(predicted, labels):
    """What a prediction is worth in distribution, out of it, and under every shift.

    Args:
        predicted: log-probabilities (M, N, C) by the name of the data: ``in``, ``tuning``, ``out``
            and the shifts.
        labels: (N,), by the same names; those of ``out`` are not used.
    """
    inside, outside, y = predicted["in"], predicted["out"], labels["in"]
    t = uncertainty.temperature(predicted["tuning"], labels["tuning"])
    surest = [uncertainty.max_probability_score(p) for p in (inside, outside)]
    return ensemble.measure(inside, y, outside) | {
        "temperature": round(t, 4),
        "nll_scaled": round(uncertainty.nll(uncertainty.scale(inside, t), y), 5),
        "ece": round(uncertainty.ece(inside, y), 5),
        "overconfidence": round((1 - surest[0]).mean().item() - uncertainty.accuracy(inside, y), 5),
        "mi_in": round(uncertainty.mutual_information(inside).mean().item(), 5),
        "mi_out": round(uncertainty.mutual_information(outside).mean().item(), 5),
        "disagreement_in": disagreement(inside),
        "disagreement_out": disagreement(outside),
        "auroc_max": round(uncertainty.auroc(*surest), 4),
        "shift": {
            name: {
                "error": round(100 * (1 - uncertainty.accuracy(p, labels[name])), 2),
                "nll": round(uncertainty.nll(p, labels[name]), 5),
                "nll_scaled": round(uncertainty.nll(uncertainty.scale(p, t), labels[name]), 5),
            }
            for name, p in predicted.items()
            if name not in ("in", "tuning", "out")
        },
    }


def disagreement(log_probs):
    """How often two members of a prediction give different answers, in %; None for one member."""
    members, _, classes = log_probs.shape
    if members == 1:
        return None
    votes = torch.nn.functional.one_hot(log_probs.argmax(-1), classes).sum(0)  # (N, C)
    agree = (votes * (votes - 1)).sum(-1).double() / (members * (members - 1))
    return round(100 * (1 - agree.mean().item()), 3)
