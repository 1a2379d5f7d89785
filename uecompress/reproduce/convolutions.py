"""Tensor decompositions of the convolutions of three CNNs on MNIST, before and after tuning.

Chapter 9 at full scale: the first slides' ensemble of CNNs. The four large convolutions are
factorized to a share of their parameters; the first one (144 weights) and the head stay.

How the settings were chosen: the rate of the fine-tuning among two on the validation split, by the
first network of each method at the middle ratio; the choice is kept in ``rates``, the losses it was
made by are not. Of the training of the dense networks no search was kept.
"""

from collections import OrderedDict

from torch import nn

from uecompress import data, ensembles, lowrank, networks, uncertainty
from uecompress.reproduce import recipe
from uecompress.reproduce.card import card
from uecompress.reproduce.store import Store

VERSION = 1
DENSE = {
    "data": "mnist",
    "network": {"name": "cnn", "in_channels": 1, "num_classes": 10, "dropout": 0.1},
    "epochs": 8,
    "batch_size": 128,
    "lr": 2e-3,
    "hold": 0.0,
    "lr_end": 0.0,
    "weight_decay": 1e-4,
}
SETTINGS = DENSE | {
    "members": 3,
    "methods": ["tt", "cp", "tucker"],
    "ratios": [2.5, 5, 10],  # parameters of conv2 to conv5, before over after
    "fine_tuning": {"epochs": 1, "hold": 0.0, "lr_end": 0.0},
    "fine_tuning_rates": [1e-3, 1e-4],
    "samples": 10,
}
LARGE = ("conv2", "conv3", "conv4", "conv5")


def units(store):
    """The dense networks, the search of the rates, the other trainings, and the rows."""
    seeds = range(SETTINGS["members"])
    methods, ratios = SETTINGS["methods"], SETTINGS["ratios"]
    return [
        [(f"dense {seed}", member, (seed,)) for seed in seeds],
        [(f"rate of {method}", best_rate, (store, method)) for method in methods],
        [
            (f"{method} {ratio}, {seed}", fine_tuned, (store, method, ratio, seed))
            for method in methods
            for ratio in ratios
            for seed in seeds
        ],
        [("rows {} {} {}".format(*case), measured, (store, *case)) for case in cases()],
    ]


def run(store):
    """The rate chosen for each method, and the rows of every ensemble and of MC dropout."""
    rates = {method: best_rate(store, method) for method in SETTINGS["methods"]}
    rows = [row for case in cases() for row in measured(store, *case)]
    return {"rates": rates, "rows": rows}


def cases():
    """(method, ratio, when) of all ensembles, the dense one first."""
    yield "dense", None, "dense"
    for method in SETTINGS["methods"]:
        for ratio in SETTINGS["ratios"]:
            yield from ((method, ratio, when) for when in ("after", "fine-tuned"))


def measured(store, method, ratio, when):
    """The rows of one ensemble, and of MC dropout on its first member: read, or measured."""
    key = {"method": method, "ratio": ratio, "when": when}
    name = "-".join(map(str, key.values()))
    kinds = {name: ensemble_row}
    if when == "dense" or (method, when) == ("tt", "fine-tuned"):
        kinds[f"dropout-{name}"] = dropout_row

    def compute(row):
        dense = networks.Ensemble(nets_of(store, "dense", None, "dense"))
        return row(nets_of(store, method, ratio, when), dense)

    return [key | store.value(unit, lambda r=row: compute(r)) for unit, row in kinds.items()]


def nets_of(store, method, ratio, when):
    """The networks of one ensemble."""
    seeds = range(SETTINGS["members"])
    if when == "dense":
        return [member(seed) for seed in seeds]
    if when == "after":
        return [factorized(member(seed), method, ratio) for seed in seeds]
    return [fine_tuned(store, method, ratio, seed) for seed in seeds]


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


def best_rate(store, method):
    """The rate with the smallest validation NLL, for the first network at the middle ratio."""

    def compute():
        x, y = data.load("mnist", "validation")
        costs = {}
        for lr in SETTINGS["fine_tuning_rates"]:
            model = tuned(store, method, SETTINGS["ratios"][1], 0, lr)
            costs[lr] = uncertainty.nll(uncertainty.predict(model, x), y)
        return min(costs, key=costs.get)

    return store.value(f"rate of {method}", compute)


def fine_tuned(store, method, ratio, seed):
    """One factorized network after an epoch at the rate of its method."""
    return tuned(store, method, ratio, seed, best_rate(store, method))


def tuned(store, method, ratio, seed, lr):
    """One factorized network after an epoch, read from the store or trained."""
    model = factorized(member(seed), method, ratio)
    how = DENSE | SETTINGS["fine_tuning"] | {"lr": lr}
    name = f"{method}-{ratio}-{seed}-{lr}"
    return store.network(name, model, lambda: recipe.fit(model, how, seed))


def member(seed):
    """The dense network of ``seed``: read from its store, or trained."""
    model = recipe.network(DENSE["network"], seed)
    units = Store("cnn", DENSE, VERSION)
    return units.network(f"dense-{seed}", model, lambda: recipe.fit(model, DENSE, seed))
