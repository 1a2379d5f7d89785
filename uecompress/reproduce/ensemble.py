"""A deep ensemble of five MLPs on MNIST, notMNIST as foreign letters, and rank 5 of all of it.

Chapter 1 at full scale (Lakshminarayanan et al. 2017; the first slides' network). Three seeds, each
of which trains five members of its own.

How the settings were chosen: on the validation split, but neither the search nor its values were
kept, so that this cannot be checked. notMNIST chose nothing.
"""

import numpy as np
import torch

from uecompress import data, lowrank, uncertainty
from uecompress.reproduce import recipe
from uecompress.reproduce.store import Store

VERSION = 1
SETTINGS = {
    "data": "mnist",
    "foreign": "notmnist",
    "network": {
        "name": "mlp",  # batch norm before each Linear
        "in_features": 784,
        "width": 200,
        "depth": 3,
        "num_classes": 10,
        "dropout": 0.1,
    },
    "seeds": [0, 1, 2],
    "members": 5,
    "epochs": 25,
    "batch_size": 512,
    "lr": 3e-3,
    "hold": 0.0,
    "lr_end": 0.0,
    "weight_decay": 1e-4,
    "rank": 5,
}
BINS = np.linspace(0, np.log(10), 24)  # of the entropy histograms, in nats


def units(store):
    """The trainings, all independent of one another."""
    seeds, members = SETTINGS["seeds"], range(SETTINGS["members"])
    return [[(f"member {seed}-{i}", member, (store, seed, i)) for seed in seeds for i in members]]


def run(store):
    """All networks of all seeds, and what they predict."""
    x, y = data.load("mnist", "test")
    foreign, _ = data.load("notmnist", "test")
    results = []
    for seed in SETTINGS["seeds"]:
        members = [member(store, seed, i) for i in range(SETTINGS["members"])]
        versions = {
            "dense": members,
            "rank 5": [lowrank.compress(m, rank=SETTINGS["rank"]) for m in members],
        }
        for version, nets in versions.items():
            inside, outside = (
                torch.cat([uncertainty.predict(net, images) for net in nets])
                for images in (x, foreign)
            )
            for m in range(1, len(nets) + 1):
                row = {"seed": seed, "version": version, "members": m}
                results.append(row | measure(inside[:m], y, outside[:m]))
            singles = [1 - uncertainty.accuracy(inside[i : i + 1], y) for i in range(len(nets))]
            results[-1]["single_errors"] = [round(100 * error, 2) for error in singles]
    return results


def member_store():
    """The store of the members, for the experiments that begin with them."""
    return Store("ensemble", SETTINGS, VERSION)


def member(store, seed, index):
    """Member ``index`` of the ensemble of ``seed``: read from the store, or trained."""
    number = 100 * seed + index
    model = recipe.network(SETTINGS["network"], number)
    return store.network(f"member-{number}", model, lambda: recipe.fit(model, SETTINGS, number))


def measure(inside, y, outside):
    """The quality of a prediction, and the histograms of its entropy on both data sets."""
    entropies = [uncertainty.entropy(log_probs) for log_probs in (inside, outside)]
    disagreement = [uncertainty.mutual_information(log_probs) for log_probs in (inside, outside)]
    return {
        "error": round(100 * (1 - uncertainty.accuracy(inside, y)), 2),
        "nll": round(uncertainty.nll(inside, y), 5),
        "brier": round(uncertainty.brier(inside, y), 5),
        "entropy_in": round(entropies[0].mean().item(), 4),
        "entropy_out": round(entropies[1].mean().item(), 4),
        "auroc_entropy": round(uncertainty.auroc(*entropies), 4),
        "auroc_mi": round(uncertainty.auroc(*disagreement), 4),
        "histogram_in": np.histogram(entropies[0], BINS)[0].tolist(),
        "histogram_out": np.histogram(entropies[1], BINS)[0].tolist(),
    }
