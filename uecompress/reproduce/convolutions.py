"""Tensor decompositions of the convolutions of three CNNs on MNIST, before and after tuning.

Chapter 9 at full scale: the first slides' ensemble of CNNs. The four large convolutions are
factorized to a share of their parameters; the first one (144 weights) and the head stay. The
learning rate of the fine-tuning was chosen on the validation split, for each method.
"""

import functools
from collections import OrderedDict

import torch
from torch import nn

from uecompress import data, ensembles, lowrank, networks, training, uncertainty
from uecompress.reproduce.card import card
from uecompress.reproduce.store import Store

DENSE = {
    "data": "mnist",
    "network": "cnn 1-16-32-64-128-256, batch norm before each convolution, head 64-10",
    "epochs": 8,
    "batch_size": 128,
    "lr": "2e-3, linear to 0",
    "weight_decay": 1e-4,
}
SETTINGS = DENSE | {
    "members": 3,
    "methods": ["tt", "cp", "tucker"],
    "ratios": [2.5, 5, 10],  # parameters of conv2 to conv5, before over after
    "fine_tuning": "1 epoch, linear to 0",
    "fine_tuning_rates": [1e-3, 1e-4],
    "samples": 10,
}
LARGE = ("conv2", "conv3", "conv4", "conv5")
adam = functools.partial(torch.optim.Adam, weight_decay=DENSE["weight_decay"])


def run(store):
    """The rate chosen for each method, and the rows of every ensemble and of MC dropout."""
    dense_store = Store("cnn", DENSE)
    seeds = range(SETTINGS["members"])
    dense = [member(dense_store, seed) for seed in seeds]
    whole = networks.Ensemble(dense)
    cases = [("dense", None, "dense", dense)]
    rates = {}
    for method in SETTINGS["methods"]:
        rates[method] = best_rate(store, dense[0], method)
        for ratio in SETTINGS["ratios"]:
            after = [factorized(network, method, ratio) for network in dense]
            tuned = [
                fine_tuned(store, after[seed], f"{method}-{ratio}-{seed}", rates[method], seed)
                for seed in seeds
            ]
            cases += [(method, ratio, "after", after), (method, ratio, "fine-tuned", tuned)]
    rows = []
    for method, ratio, when, nets in cases:
        key = {"method": method, "ratio": ratio, "when": when}
        name = "-".join(map(str, key.values()))
        rows.append(key | store.value(name, lambda nets=nets: ensemble_row(nets, whole)))
        if when == "dense" or (method, when) == ("tt", "fine-tuned"):
            row = store.value(f"dropout-{name}", lambda nets=nets: dropout_row(nets, whole))
            rows.append(key | row)
    store.seconds += dense_store.seconds
    return {"rates": rates, "rows": rows}


def ensemble_row(nets, dense):
    """The ensemble's scorecard, and the quality of its members one by one."""
    x, y = data.load("mnist", "test")
    model = networks.Ensemble(nets)
    members = uncertainty.predict(model, x)
    return {
        "family": "ensemble",
        "convolution_parameters": sum(convolution_parameters(network) for network in nets),
        "single_accuracy": [round(uncertainty.accuracy(m[None], y), 5) for m in members],
        "single_nll": [round(uncertainty.nll(m[None], y), 5) for m in members],
    } | card(model, dense, shifted={})


def dropout_row(nets, dense):
    """The scorecard of MC dropout on the first member."""
    model = ensembles.mc_dropout(nets[0])
    row = card(model, dense.members[0], samples=SETTINGS["samples"], shifted={})
    return {"family": "dropout"} | row


def convolution_parameters(network):
    """The parameters of the convolutions, in whatever form they are."""
    parts = [getattr(network, name) for name in ("conv1", *LARGE)]
    return sum(networks.parameter_count(part) for part in parts)


def factorized(network, method, ratio):
    """A copy of ``network`` whose large convolutions have ``ratio`` times fewer parameters."""
    large = nn.Sequential(OrderedDict((name, getattr(network, name)) for name in LARGE))
    small = lowrank.compress(large, method, ratio=ratio)
    return networks.replace_layers(network, lambda name, _: small._modules.get(name))


def best_rate(store, dense, method):
    """The rate with the smallest validation NLL, for the first network at the middle ratio."""
    x, y = data.load("mnist", "validation")
    ratio = SETTINGS["ratios"][1]
    after = factorized(dense, method, ratio)
    costs = {}
    for lr in SETTINGS["fine_tuning_rates"]:
        tuned = fine_tuned(store, after, f"{method}-{ratio}-0", lr, 0)
        costs[lr] = uncertainty.nll(uncertainty.predict(tuned, x), y)
    return min(costs, key=costs.get)


def fine_tuned(store, network, name, lr, seed):
    """``network`` after one epoch, read from the store or trained."""
    return store.network(
        f"{name}-{lr}", network, lambda: fit(network, 1, lambda p: lr * (1 - p), seed)
    )


def member(store, seed):
    """The dense network of ``seed``: read from the store, or trained."""
    model = networks.cnn(seed=seed)
    return store.network(
        f"dense-{seed}", model, lambda: fit(model, DENSE["epochs"], lambda p: 2e-3 * (1 - p), seed)
    )


def fit(model, epochs, lr, seed):
    """``model`` trained on MNIST."""
    images = data.load("mnist", "train")
    settings = {"batch_size": DENSE["batch_size"], "optimizer": adam, "seed": seed}
    return training.fit(model, images, epochs=epochs, lr=lr, **settings)
