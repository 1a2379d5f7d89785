"""Low rank after training, after fine-tuning, and during training: one MLP on MNIST.

Chapter 2 at full scale, three seeds. The dense networks are the first members of the ``ensemble``
experiment. A rank is given to every layer for which it pays, so the last layer keeps its form at
ranks of 10 and above. Every setting was chosen on the validation split.
"""

import torch

from uecompress import data, lowrank, networks, training, uncertainty
from uecompress.reproduce import ensemble
from uecompress.reproduce.store import Store

SETTINGS = ensemble.SETTINGS | {
    "members": 1,
    "rank": [2, 5, 10, 25, 50],
    "fine_tuning": "1 epoch, lr 3e-3, linear to 0",
}


def run(store):
    """The spectra of the dense networks, and one row for each network made from them."""
    dense_store = Store("ensemble", ensemble.SETTINGS)
    results = {"spectra": [], "rows": []}
    for seed in SETTINGS["seeds"]:
        dense = ensemble.member(dense_store, seed, 0)
        layers = [dense.linear1, dense.linear2, dense.linear3, dense.linear4]
        spectra = [torch.linalg.svdvals(layer.weight.detach()) for layer in layers]
        results["spectra"].append([[round(v, 4) for v in s.tolist()] for s in spectra])
        results["rows"].append(row(seed, None, "dense", dense))
        for rank in SETTINGS["rank"]:
            for when, model in networks_of_rank(store, dense, seed, rank).items():
                results["rows"].append(row(seed, rank, when, model))
    return results


def networks_of_rank(store, dense, seed, rank):
    """Three networks of one rank: truncated, then fine-tuned, and of low rank from the start."""
    truncated = lowrank.compress(dense, rank=rank)
    start = lowrank.compress(networks.mlp(seed=100 * seed), rank=rank)
    settings = {"batch_size": SETTINGS["batch_size"], "seed": 100 * seed}
    return {
        "after": truncated,
        "fine-tuned": trained(
            store, f"fine-tuned-{seed}-{rank}", truncated, epochs=1, lr=3e-3, **settings
        ),
        "during": trained(
            store, f"during-{seed}-{rank}", start, epochs=SETTINGS["epochs"], lr=3e-3, **settings
        ),
    }


def trained(store, name, model, *, lr, **settings):
    """``model`` trained on MNIST with a learning rate that falls to 0, or read from the store."""

    def train():
        images = data.load("mnist", "train")
        return training.fit(
            model, images, lr=lambda p: lr * (1 - p), optimizer=ensemble.adam, **settings
        )

    return store.network(name, model, train)


def row(seed, rank, when, model):
    """The parameters of one network and the quality of its predictions."""
    x, y = data.load("mnist", "test")
    foreign, _ = data.load("notmnist", "test")
    inside, outside = (uncertainty.predict(model, images) for images in (x, foreign))
    quality = ensemble.measure(inside, y, outside)
    names = ["error", "nll", "entropy_in", "entropy_out", "auroc_entropy"]
    return {
        "seed": seed,
        "rank": rank,
        "when": when,
        "parameters": networks.parameter_count(model),
    } | {name: quality[name] for name in names}
