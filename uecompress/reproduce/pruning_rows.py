"""The rows of the ``pruning`` experiment: what a network is worth, and what it took to train it."""

from uecompress import networks
from uecompress.reproduce import bayesian, foreign
from uecompress.reproduce import pruning_training as common
from uecompress.reproduce.pruning_settings import SETTINGS
from uecompress.reproduce.store import Store

METHODS = SETTINGS["methods"]


def row_of(model, dense):
    """The card of a network, with its foreign sets and the weights of its layers."""
    layers = [layer.weight for _, layer in networks.linear_and_conv_layers(model)]
    return (
        bayesian.quality(model, dense, None)
        | foreign.row(model, batch_size=100)
        | {
            "shapes": [list(weight.shape) for weight in layers],
            "nonzero_weights": [int(weight.count_nonzero()) for weight in layers],
        }
    )


def measured(method, seed, density, make, told):
    """The row of one network, kept in the store.

    Args:
        method, seed, density: its names.
        make: a function without arguments that gives the network and the one before compression.
        told: what decides it.
    """
    store = Store("pruning-cards", [told, SETTINGS["foreign"]], common.VERSION)
    row = store.value(f"{method}-{density}-{seed}", lambda: row_of(*make()))
    return {"method": method, "density": density, "seed": seed} | row


def row(method, seed, density):
    """The row of a method that needs no ticket, with the epochs of all trainings before it."""

    network = METHODS[method]["network"]

    def make():
        return common.trained(method, seed, density), common.untrained(network, seed)

    found = measured(method, seed, density, make, common.described(method))
    return found | {"network": network, "epochs": epochs(method)}


def epochs(method):
    """The epochs of a method's training and of those that it begins with."""
    settings = METHODS[method]
    start = settings["start"]
    if start in METHODS:
        before = epochs(start)
    else:
        before = 0 if start == "new" else SETTINGS[start][settings["network"]]["epochs"]
    return before + settings["training"]["epochs"]


def base_row(network, kind, seed):
    """The row of an ordinary network, "dense" or "decay"."""

    def make():
        return bayesian.trained(network, kind, seed), common.untrained(network, seed)

    how = SETTINGS[kind][network]
    found = measured(kind, seed, 1.0, make, [network, how])
    return found | {"network": network, "epochs": how["epochs"]}
