"""A network with one TT layer on MNIST: trained in that form, converted, and dense; three seeds.

Chapter 9 at full scale, after Novikov et al. (2015): images padded to 32 × 32, one hidden layer of
1,024 units.

How the settings were chosen: the learning rate of each format among two on the validation split, by
the network of the first seed; the choice is kept in ``rates``, the losses it was made by are not.
The rate of the fine-tuning after the conversion, 1e-3, was not searched.
"""

from collections import OrderedDict

import torch
from torch import nn

from uecompress import data, lowrank, networks, uncertainty
from uecompress.reproduce import recipe
from uecompress.reproduce.card import card
from uecompress.reproduce.store import Store

VERSION = 1
TRAINING = {
    "data": "mnist",
    "foreign": "notmnist",
    "network": {"padding": 2, "units": [1024, 1024, 10]},
    "epochs": 15,
    "batch_size": 100,
    "hold": 0.0,
    "lr_end": 0.0,
    "weight_decay": 0.0,
    "conversion": {"shape": [4, 8, 8, 4], "rank": 8, "epochs": 1, "lr": 1e-3},
}
SETTINGS = TRAINING | {
    "seeds": [0, 1, 2],
    "learning_rates": [1e-3, 3e-3],
    "formats": {
        "dense": None,
        "4·8·8·4, rank 2": [[4, 8, 8, 4], 2, True],
        "4·8·8·4, rank 4": [[4, 8, 8, 4], 4, True],
        "4·8·8·4, rank 8": [[4, 8, 8, 4], 8, True],
        "4·8·8·4, rank 8, bias too": [[4, 8, 8, 4], 8, "tt"],
        "32·32, rank 4": [[32, 32], 4, True],
    },
}


def units(store):
    """The search of the rates, the trainings at them, the conversions, and the scorecards."""
    formats, seeds = SETTINGS["formats"], SETTINGS["seeds"]
    return [
        [
            (f"{name}, {seeds[0]}, rate {lr}", trained, (name, seeds[0], lr))
            for name in formats
            for lr in SETTINGS["learning_rates"]
        ],
        [(f"rate of {name}", best_rate, (name,)) for name in formats],
        [(f"{name}, {seed}", chosen, (name, seed)) for name in formats for seed in seeds[1:]],
        [(f"converted, {seed}", converted, (seed,)) for seed in seeds],
        [(f"card of {name}, {s}", measured, (store, name, s)) for s in seeds for name in names()],
    ]


def run(store):
    """The rate chosen for each format, and the scorecard of every network."""
    rates = {name: best_rate(name) for name in SETTINGS["formats"]}
    rows = [
        {"seed": seed, "format": name} | measured(store, name, seed)
        for seed in SETTINGS["seeds"]
        for name in names()
    ]
    return {"rates": rates, "rows": rows}


def names():
    """The names of the networks of one seed: the formats, and the converted dense network."""
    rank = TRAINING["conversion"]["rank"]
    return [*SETTINGS["formats"], f"converted, rank {rank}", f"converted, rank {rank}, fine-tuned"]


def measured(store, name, seed):
    """The scorecard of one network, read from the store or measured."""

    def compute():
        model = chosen(name, seed) if name in SETTINGS["formats"] else converted(seed)[name]
        return card(model, chosen("dense", seed))

    return store.value(f"{name}-{seed}", compute)


def network(form, seed):
    """The untrained network of one format, ``None`` for the dense one."""
    padding, (inputs, width, classes) = TRAINING["network"].values()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hidden = nn.Linear(inputs, width)
        output = nn.Linear(width, classes)
    if form is not None:
        shape, rank, bias = form
        hidden = lowrank.TTLinear(shape, shape, rank, bias, seed=seed)
    return nn.Sequential(
        OrderedDict(
            pad=nn.ZeroPad2d(padding),
            flatten=nn.Flatten(),
            hidden=hidden,
            relu=nn.ReLU(),
            output=output,
        )
    )


def chosen(name, seed):
    """The network of one format and seed, at the rate of its format."""
    return trained(name, seed, best_rate(name))


def trained(name, seed, lr):
    """The network of one format and seed, read from its store or trained."""
    model, how = network(SETTINGS["formats"][name], seed), TRAINING | {"lr": lr}
    return training_store().network(
        f"{name}-{seed}-{lr}", model, lambda: recipe.fit(model, how, seed)
    )


def converted(seed):
    """The dense network with its hidden layer cut to a train, and that after fine-tuning."""
    how = TRAINING | TRAINING["conversion"]
    after = cut(chosen("dense", seed))
    tuned = training_store().network(
        f"converted-{seed}", after, lambda: recipe.fit(after, how, seed)
    )
    return dict(zip(names()[-2:], (after, tuned), strict=True))


def cut(dense):
    """A copy of ``dense`` whose hidden layer is a tensor train."""
    shape, rank = TRAINING["conversion"]["shape"], TRAINING["conversion"]["rank"]

    def change(name, layer):
        if name == "hidden":
            return lowrank.TTLinear.from_linear(layer, shape, shape, rank=rank)

    return networks.replace_layers(dense, change)


def best_rate(name):
    """The rate whose network of the first seed has the smallest NLL on the validation split."""

    def compute():
        x, y = data.load("mnist", "validation")
        costs = {}
        for lr in SETTINGS["learning_rates"]:
            model = trained(name, SETTINGS["seeds"][0], lr)
            costs[lr] = uncertainty.nll(uncertainty.predict(model, x), y)
        return min(costs, key=costs.get)

    return training_store().value(f"rate of {name}", compute)


def training_store():
    """The store of the trained networks, which the seeds and the other formats do not concern."""
    return Store("tt_training", TRAINING, VERSION)
