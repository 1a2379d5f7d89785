"""At which compression a layer is empty: every score with one round and with a hundred."""

import functools
import itertools
import warnings

import torch
from torch import nn

from uecompress import data, networks, pruning
from uecompress.pruning import scores
from uecompress.randomness import seeded
from uecompress.reproduce import pruning_rows
from uecompress.reproduce import pruning_training as common
from uecompress.reproduce.pruning_settings import SETTINGS
from uecompress.reproduce.store import Store

NAMES = ("random", "magnitude", "snip", "skeletonization", "grasp", "synflow")


def deep(widths, seed):
    """A network without biases from He's normal initialization, ReLU between its layers."""
    with seeded(seed):
        layers = [nn.Flatten()]
        for sizes in itertools.pairwise(widths):
            layers += [nn.Linear(*sizes, bias=False), nn.ReLU()]
        for layer in layers[1::2]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return nn.Sequential(*layers[:-1])


def score(name, seed):
    """A score as a function of the network alone."""
    if name == "random":
        return functools.partial(scores.random, seed=seed)
    if name == "magnitude":
        return scores.magnitude
    seen = common.batch(seed, SETTINGS["batch"])
    if name == "synflow":
        return functools.partial(scores.synflow, input_shape=seen[0].shape[1:])
    return functools.partial(getattr(scores, name), batch=seen)


def alive(model, found, ratio, rounds):
    """Whether every layer has a weight left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # which name the empty layers
        pruned = pruning.prune_in_rounds(model, found, density=1 / ratio, rounds=rounds)
    return all(share > 0 for share in pruning.densities(pruned).values())


def row(name, rounds, seed):
    """The largest compression on the grid up to which no layer is empty.

    Returns:
        A dict with "largest", and with "half", whether the LeNet-300-100 is alive at half of N/L,
        and "half_without_biases", the same with biases that are zero: what others bring is flow
        too, which the layers after it get, and not those before.
    """
    settings = SETTINGS["collapse"]
    decided = [settings["widths"], settings["steps_per_decade"], SETTINGS["batch"]]

    def compute():
        model, found = deep(settings["widths"], seed), score(name, seed)
        limit, largest = pruning.maximal_critical_compression(model), 1.0
        for k in itertools.count(1):
            ratio = 10 ** (k / settings["steps_per_decade"])
            if ratio > limit or not alive(model, found, ratio, rounds):
                break
            largest = ratio
        lenet = networks.lenet300(seed=seed)
        half, silent = pruning.maximal_critical_compression(lenet) / 2, networks.plain(lenet)
        with torch.no_grad():
            for layer in networks.plain_layers(silent).values():
                layer.bias.zero_()
        return {
            "largest": round(largest, 2),
            "limit": round(limit, 2),
            "half": alive(lenet, found, half, rounds),
            "half_without_biases": alive(silent, found, half, rounds),
        }

    store = Store("pruning-collapse", decided, common.VERSION)
    value = store.value(f"{name}-{rounds}-{seed}", compute)
    return {"score": name, "rounds": rounds, "seed": seed} | value


@torch.no_grad()
def emptied(seed):
    """The row of a LeNet-300-100 whose middle layer is empty, with its best last biases.

    It can only say how frequent the classes are: calibrated, and without any knowledge.
    """

    def make():
        model = networks.lenet300(seed=seed)
        layers = list(networks.plain_layers(model).values())
        layers[1].weight.zero_()
        layers[1].bias.zero_()
        _, y = data.load("mnist", "train")
        layers[2].bias.copy_(torch.bincount(y, minlength=10).log())
        return model, networks.lenet300(seed=seed)

    return pruning_rows.measured("emptied", seed, 0.0, make, "priors") | {"network": "lenet300"}
