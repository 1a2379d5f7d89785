"""A network with one TT layer on MNIST: trained in that form, converted, and dense; three seeds.

Chapter 9 at full scale, after Novikov et al. (2015): images padded to 32 × 32, one hidden layer of
1,024 units. The learning rate was chosen on the validation split.
"""

from collections import OrderedDict

import torch
from torch import nn

from uecompress import data, lowrank, networks, training, uncertainty
from uecompress.reproduce.card import card
from uecompress.reproduce.store import Store

TRAINING = {
    "data": "mnist",
    "foreign": "notmnist",
    "network": "1024-1024-10, ReLU",
    "epochs": 15,
    "batch_size": 100,
    "lr": "linear to 0",
    "fine_tuning": "1 epoch",
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


def run(store):
    """The rate chosen for each format, and the scorecard of every network."""
    units = Store("tt_training", TRAINING)
    rates, rows = {}, []
    for name, form in SETTINGS["formats"].items():
        costs = {lr: validation_nll(units, name, form, lr) for lr in SETTINGS["learning_rates"]}
        rates[name] = min(costs, key=costs.get)
    for seed in SETTINGS["seeds"]:
        models = {name: trained(units, name, form, seed, rates[name])
                    for name, form in SETTINGS["formats"].items()}  # fmt: skip
        dense = models["dense"]
        models |= converted(units, dense, seed)
        for name, model in models.items():
            row = store.value(f"{name}-{seed}", lambda m=model, d=dense: card(m, d))
            rows.append({"seed": seed, "format": name} | row)
    store.seconds += units.seconds
    return {"rates": rates, "rows": rows}


def network(form, seed):
    """The untrained network of one format, ``None`` for the dense one."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hidden = nn.Linear(1024, 1024)
        output = nn.Linear(1024, 10)
    if form is not None:
        shape, rank, bias = form
        hidden = lowrank.TTLinear(shape, shape, rank, bias, seed=seed)
    return nn.Sequential(
        OrderedDict(
            pad=nn.ZeroPad2d(2), flatten=nn.Flatten(), hidden=hidden, relu=nn.ReLU(), output=output
        )
    )


def trained(units, name, form, seed, lr):
    """The network of one format and seed, read from the store or trained."""
    model = network(form, seed)
    return units.network(
        f"{name}-{seed}-{lr}", model, lambda: fit(model, TRAINING["epochs"], lr, seed)
    )


def converted(units, dense, seed):
    """The dense network with its hidden layer cut to a train of rank 8, and after fine-tuning."""
    shape = [4, 8, 8, 4]

    def cut(name, layer):
        if name == "hidden":
            return lowrank.TTLinear.from_linear(layer, shape, shape, rank=8)

    after = networks.replace_layers(dense, cut)
    tuned = units.network(f"converted-{seed}", after, lambda: fit(after, 1, 1e-3, seed))
    return {"converted, rank 8": after, "converted, rank 8, fine-tuned": tuned}


def validation_nll(units, name, form, lr):
    """What a rate is worth: the NLL of the first seed's network on the validation split."""
    x, y = data.load("mnist", "validation")
    model = trained(units, name, form, SETTINGS["seeds"][0], lr)
    return uncertainty.nll(uncertainty.predict(model, x), y)


def fit(model, epochs, lr, seed):
    """``model`` trained on MNIST with a rate that falls to 0."""
    return training.fit(
        model,
        data.load("mnist", "train"),
        epochs=epochs,
        batch_size=TRAINING["batch_size"],
        lr=lambda progress: lr * (1 - progress),
        seed=seed,
    )
