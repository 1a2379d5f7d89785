"""A deep ensemble of five MLPs on MNIST, notMNIST as foreign letters, and rank 5 of all of it.

Chapter 1 at full scale (Lakshminarayanan et al. 2017; the first slides' network). Three seeds, each
of which trains five members of its own. Every setting was chosen on the validation split.
"""

import functools

import numpy as np
import torch

from uecompress import data, lowrank, networks, training, uncertainty

SETTINGS = {
    "data": "mnist",
    "foreign": "notmnist",
    "network": "mlp 784-200-200-200-10, batch norm before each Linear, dropout 0.1",
    "seeds": [0, 1, 2],
    "members": 5,
    "epochs": 25,
    "batch_size": 512,
    "lr": "3e-3, linear to 0",
    "weight_decay": 1e-4,
    "rank": 5,
}
adam = functools.partial(torch.optim.Adam, weight_decay=SETTINGS["weight_decay"])
BINS = np.linspace(0, np.log(10), 24)  # of the entropy histograms, in nats


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


def member(store, seed, index):
    """Member ``index`` of the ensemble of ``seed``: read from the store, or trained."""
    number = 100 * seed + index
    model = networks.mlp(seed=number)

    def train():
        return training.fit(
            model,
            data.load("mnist", "train"),
            epochs=SETTINGS["epochs"],
            batch_size=SETTINGS["batch_size"],
            lr=lambda progress: 3e-3 * (1 - progress),
            optimizer=adam,
            seed=number,
        )

    return store.network(f"member-{number}", model, train)


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
