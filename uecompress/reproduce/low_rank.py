"""SVD of every member of an ensemble of five MLPs on MNIST, over ranks, five seeds.

Chapter 9 at full scale: the experiment of the first slides. The dense members are those of the
``ensemble`` experiment, and two more seeds. A rank is given to every layer for which it pays.
"""

from uecompress import data, ensembles, lowrank, networks, training, uncertainty
from uecompress.reproduce import ensemble
from uecompress.reproduce.card import card, potential
from uecompress.reproduce.store import Store

TRAINING = ensemble.SETTINGS | {"fine_tuning": "1 epoch, lr 3e-3, linear to 0"}
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


def run(store):
    """One row for each seed, rank and predictor, the prune potential of the ensembles, and their
    accuracy on the validation split, by which a rank may be chosen."""
    units = Store("low_rank", TRAINING)
    rows, validation = [], []
    for seed in SETTINGS["seeds"]:
        dense = networks.Ensemble(members(units, seed, None, False))
        for rank in [None, *SETTINGS["rank"]]:
            for when in ["dense"] if rank is None else ["after", "fine-tuned"]:
                key = {"seed": seed, "rank": rank, "when": when}

                def compute(key=key, dense=dense):
                    return rows_of(units, dense, **key)

                name = "-".join(map(str, key.values()))
                rows += [key | row for row in store.value(name, compute)]

                def validate(key=key):
                    return validation_accuracy(units, **key)

                accuracy = store.value(f"validation-{name}", validate)
                validation.append(key | {"accuracy": accuracy})
    store.seconds += units.seconds
    ensembles_only = [row for row in rows if row["family"] == "ensemble"]
    return {
        "rows": rows,
        "potential": potential(ensembles_only, SETTINGS["tolerances"]),
        "validation": validation,
    }


def rows_of(units, dense, seed, rank, when):
    """The ensemble's row, and that of MC dropout on its first member."""
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


def members(store, seed, rank, fine_tuned):
    """The five networks of one seed at one rank; rank None is dense."""
    dense_store = Store("ensemble", ensemble.SETTINGS)
    dense = [ensemble.member(dense_store, seed, i) for i in range(SETTINGS["members"])]
    if rank is None:
        return dense
    truncated = [lowrank.compress(member, rank=rank) for member in dense]
    if not fine_tuned:
        return truncated
    return [fine_tune(store, network, seed, i, rank) for i, network in enumerate(truncated)]


def fine_tune(store, network, seed, index, rank):
    """One member after an epoch of training, read from the store or trained."""

    def train():
        return training.fit(
            network,
            data.load("mnist", "train"),
            epochs=1,
            batch_size=SETTINGS["batch_size"],
            lr=lambda progress: 3e-3 * (1 - progress),
            optimizer=ensemble.adam,
            seed=100 * seed + index,
        )

    return store.network(f"fine-tuned-{seed}-{index}-{rank}", network, train)
