"""Low rank after training, after fine-tuning, and during training: one MLP on MNIST.

Chapter 2 at full scale, three seeds. The dense networks are the first members of the ``ensemble``
experiment. A rank is given to every layer for which it pays, so the last layer keeps its form at
ranks of 10 and above.

How the settings were chosen: as in ``ensemble``, on the validation split, without a search that was
kept. The ranks are a range, all of which is reported.
"""

import torch

from uecompress import data, lowrank, networks, uncertainty
from uecompress.reproduce import ensemble, recipe

VERSION = 1
SETTINGS = ensemble.SETTINGS | {
    "members": 1,
    "rank": [2, 5, 10, 25, 50],
    "fine_tuning": {"epochs": 1, "lr": 3e-3, "hold": 0.0, "lr_end": 0.0},
}


def units(store):
    """The dense networks, then for each rank the two trainings that begin with them."""
    seeds, dense = SETTINGS["seeds"], ensemble.member_store()
    return [
        [(f"dense {seed}", ensemble.member, (dense, seed, 0)) for seed in seeds],
        [
            (f"rank {rank}, {seed}", networks_of_rank, (store, dense, seed, rank))
            for seed in seeds
            for rank in SETTINGS["rank"]
        ],
    ]


def run(store):
    """The spectra of the dense networks, and one row for each network made from them."""
    dense_store = ensemble.member_store()
    results = {"spectra": [], "rows": []}
    for seed in SETTINGS["seeds"]:
        dense = ensemble.member(dense_store, seed, 0)
        layers = [dense.linear1, dense.linear2, dense.linear3, dense.linear4]
        spectra = [torch.linalg.svdvals(layer.weight.detach()) for layer in layers]
        results["spectra"].append([[round(v, 4) for v in s.tolist()] for s in spectra])
        results["rows"].append(row(seed, None, "dense", dense))
        for rank in SETTINGS["rank"]:
            for when, model in networks_of_rank(store, dense_store, seed, rank).items():
                results["rows"].append(row(seed, rank, when, model))
    return results


def networks_of_rank(store, dense_store, seed, rank):
    """Three networks of one rank: truncated, then fine-tuned, and of low rank from the start."""
    truncated = lowrank.compress(ensemble.member(dense_store, seed, 0), rank=rank)
    start = lowrank.compress(recipe.network(SETTINGS["network"], 100 * seed), rank=rank)
    tuning = SETTINGS | SETTINGS["fine_tuning"]
    return {
        "after": truncated,
        "fine-tuned": trained(store, f"fine-tuned-{seed}-{rank}", truncated, tuning, seed),
        "during": trained(store, f"during-{seed}-{rank}", start, SETTINGS, seed),
    }


def trained(store, name, model, how, seed):
    """``model`` read from the store, or trained."""
    return store.network(name, model, lambda: recipe.fit(model, how, 100 * seed))


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
