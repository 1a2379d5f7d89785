"""SVD of every member of an ensemble of five MLPs on MNIST, over ranks, five seeds.

Chapter 9 at full scale: the experiment of the first slides. The dense members are those of the
``ensemble`` experiment, and two more seeds. A rank is given to every layer for which it pays.

How the settings were chosen: the training as in ``ensemble``, the fine-tuning as in ``svd``, both
without a search that was kept. The ranks are a range, all of which is reported; a rank that the
book recommends is chosen by the accuracies on the validation split in ``validation``.
"""

from uecompress import data, ensembles, lowrank, networks, uncertainty
from uecompress.reproduce import ensemble, recipe
from uecompress.reproduce.card import card, potential
from uecompress.reproduce.store import Store

VERSION = 1
TRAINING = ensemble.SETTINGS | {
    "fine_tuning": {"epochs": 1, "lr": 3e-3, "hold": 0.0, "lr_end": 0.0},
}
del TRAINING["seeds"], TRAINING["rank"]
SETTINGS = TRAINING | {
    "seeds": [0, 1, 2, 3, 4],
    "rank": [2, 5, 10, 15, 25, 50, 100],
    "samples": 20,
    # How much worse an ensemble may become, decided before the first run.
    "tolerances": {
        "accuracy": -0.002,
        "nll": 0.005,
        "ece": 0.002,
        "auroc": -0.01,
        "auroc_mutual_information": -0.01,
        "nll_shifted": 0.02,
    },
}


def units(store):
    """The dense members, then those after fine-tuning, then the rows of every ensemble."""
    dense, tuned = ensemble.member_store(), tuned_store()
    seeds, indices = SETTINGS["seeds"], range(SETTINGS["members"])
    return [
        [(f"member {s}-{i}", ensemble.member, (dense, s, i)) for s in seeds for i in indices],
        [
            (f"rank {rank}, {s}-{i}", fine_tuned, (tuned, s, i, rank))
            for s in seeds
            for rank in SETTINGS["rank"]
            for i in indices
        ],
        [(f"rows {name_of(key)}", measured, (store, key)) for key in cases()],
    ]


def run(store):
    """One row for each seed, rank and predictor, the prune potential of the ensembles, and their
    accuracy on the validation split, by which a rank may be chosen."""
    rows, validation = [], []
    for key in cases():
        two, accuracy = measured(store, key)
        rows += [key | row for row in two]
        validation.append(key | {"accuracy": accuracy})
    ensembles_only = [row for row in rows if row["family"] == "ensemble"]
    return {
        "rows": rows,
        "potential": potential(ensembles_only, SETTINGS["tolerances"]),
        "validation": validation,
    }


def cases():
    """The ``seed``, ``rank`` and ``when`` of all ensembles, the dense one of each seed first."""
    ways = [(None, "dense")]
    ways += [(rank, when) for rank in SETTINGS["rank"] for when in ("after", "fine-tuned")]
    return [
        {"seed": seed, "rank": rank, "when": when}
        for seed in SETTINGS["seeds"]
        for rank, when in ways
    ]


def name_of(key):
    """The name of a case's units."""
    return "-".join(map(str, key.values()))


def measured(store, key):
    """The rows of a case, and the validation accuracy of its ensemble: read, or measured."""
    units, name = tuned_store(), name_of(key)
    rows = store.value(name, lambda: rows_of(units, **key))
    accuracy = store.value(f"validation-{name}", lambda: validation_accuracy(units, **key))
    return rows, accuracy


def rows_of(units, seed, rank, when):
    """The ensemble's row, and that of MC dropout on its first member."""
    dense = networks.Ensemble(members(units, seed, None, False))
    five = networks.Ensemble(members(units, seed, rank, when == "fine-tuned"))
    dropout = ensembles.mc_dropout(five.members[0])
    samples = SETTINGS["samples"]
    return [
        {"family": "ensemble"} | card(five, dense),
        {"family": "dropout"} | card(dropout, dense.members[0], samples=samples, shifted={}),
    ]


def validation_accuracy(units, seed, rank, when):
    """The accuracy of the ensemble on the validation split."""
    x, y = data.load("mnist", "validation")
    model = networks.Ensemble(members(units, seed, rank, when == "fine-tuned"))
    return round(uncertainty.accuracy(uncertainty.predict(model, x), y), 6)


def members(units, seed, rank, tuned):
    """The five networks of one seed at one rank; rank None is dense."""
    indices = range(SETTINGS["members"])
    if tuned:
        return [fine_tuned(units, seed, i, rank) for i in indices]
    return [truncated(seed, i, rank) for i in indices]


def truncated(seed, index, rank):
    """One member cut to a rank; rank None is dense."""
    dense = ensemble.member(ensemble.member_store(), seed, index)
    return dense if rank is None else lowrank.compress(dense, rank=rank)


def fine_tuned(units, seed, index, rank):
    """One member after an epoch of training, read from the store or trained."""
    model, how = truncated(seed, index, rank), TRAINING | TRAINING["fine_tuning"]
    name = f"fine-tuned-{seed}-{index}-{rank}"
    return units.network(name, model, lambda: recipe.fit(model, how, 100 * seed + index))


def tuned_store():
    """The store of the members after fine-tuning, which the other settings do not concern."""
    return Store("low_rank", TRAINING, VERSION)
