"""The networks of the ``pruning`` experiment: begun, pruned, trained, and searched for."""

import functools
from collections import OrderedDict

import torch
from torch import nn

from uecompress import data, networks, pruning, training
from uecompress.pruning import scores
from uecompress.reproduce import bayesian, recipe
from uecompress.reproduce.pruning_settings import SETTINGS
from uecompress.reproduce.search import searched
from uecompress.reproduce.store import Store

VERSION = 1
METHODS = SETTINGS["methods"]


def untrained(name, seed):
    """A new network; "lenet5_linear" has no ReLU after its convolutions (Lee et al., 2019)."""
    if name != "lenet5_linear":
        return getattr(networks, name)(seed=seed)
    parts = networks.lenet5(seed=seed).named_children()
    return nn.Sequential(OrderedDict((n, m) for n, m in parts if n not in ("relu1", "relu2")))


def fit(model, how, seed, *, after_step=None, loss=training.cross_entropy):
    """``model`` trained on MNIST as ``how`` says, its zeros held if nothing else is to happen."""
    if after_step is None:
        after_step = networks.hold_zeros(model)

    def short(*arguments):
        with torch.autocast("cpu", torch.bfloat16, enabled=how["bfloat16"]):
            return loss(*arguments)

    model = model.to(memory_format=torch.channels_last)
    return recipe.fit(model, how, seed, optimizer=bayesian.adam, loss=short, after_step=after_step)


def batch(seed, count, noise=False):
    """Images of the training split and their labels; half of them noise if that is asked for."""
    x, y = data.load("mnist", "train")
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(x), generator=draw)[:count]
    x, y = x[rows], y[rows]
    if noise:
        half = len(x) // 2
        x[:half] = torch.rand(x[:half].shape, generator=draw)
    return x, y


def begun(method, seed):
    """The network with which a method begins."""
    settings = METHODS[method]
    if settings["start"] == "new":
        return untrained(settings["network"], seed)
    if settings["start"] in ("dense", "decay"):
        return bayesian.trained(settings["network"], settings["start"], seed)
    start = settings["start"]
    return trained(start, seed, METHODS[start]["densities"][0])


def prepared(method, seed, density, knobs, ticket=None):
    """A method's network before its training: with the zeros that it has from the start, if any.

    Args:
        method: its name in the settings.
        seed: of the network, the batch and what is random.
        density: the share of weights, or of units, that stays.
        knobs: what was chosen.
        ticket: a function that gives the network whose zeros the method "ticket" takes.
    """
    start, name = begun(method, seed), method.removeprefix("lenet5_")
    if name == "ticket":
        return pruning.with_zeros_of(start, ticket())
    if name == "neurons":
        squares = {n: w.square() for n, w in scores.magnitude(start).items()}
        kept = pruning.unit_scores(start, squares)
        return networks.shrink(pruning.prune_units(start, kept, density=density, scope="layer"))
    if name.startswith("slimming"):
        return slim(start, density, "layer" if name == "slimming_layers" else "global")
    if name == "l1_refit":
        return largest(start, density)
    if name in ("erk", "rigl"):
        return pruning.random_erk(start, density=density, seed=seed)
    if name == "synflow":
        shape = data.load("mnist", "train")[0].shape[1:]
        score = functools.partial(scores.synflow, input_shape=shape)
        return pruning.prune_in_rounds(start, score, density=density, rounds=SETTINGS["rounds"])
    score = {
        "magnitude": scores.lamp if knobs.get("lamp") else scores.magnitude,
        "random": lambda m: scores.random(m, seed=seed),
        "snip": lambda m: scores.snip(m, batch(seed, SETTINGS["batch"])),
        "grasp": lambda m: scores.grasp(
            m, batch(seed, SETTINGS["batch"]), temperature=knobs["temperature"]
        ),
    }.get(name)
    return start if score is None else pruning.prune(start, score(start), density=density)


def slim(model, density, scope="global"):
    """The network without the channels of the smallest scales, of all layers or of each."""
    kept = pruning.gamma_scores(model)
    return networks.shrink(pruning.prune_units(model, kept, density=density, scope=scope))


def largest(model, density):
    """The network without its smallest weights, if more than a share of ``density`` are left."""
    total = sum(layer.weight.numel() for _, layer in networks.linear_and_conv_layers(model))
    if networks.nonzero_weights(model) <= density * total:
        return model
    return pruning.prune(model, scores.magnitude(model), density=density)


def finished(method, model, seed, density, knobs, epochs):
    """A prepared network, trained as its method does."""
    how = METHODS[method]["training"] | {"epochs": epochs}
    how |= {key: knobs[key] for key in ("lr", "weight_decay")}
    if method == "l1":
        return fit(model, how, seed, after_step=pruning.l1(model, knobs["penalty"]))
    if method == "gradual":
        after_step = pruning.gradual(model, density=density, end=knobs["end"])
        return fit(model, how, seed, after_step=after_step)
    if method == "rigl":
        return fit(model, how, seed, after_step=pruning.rigl(model, fraction=knobs["fraction"]))
    if method in ("penalized", "unpenalized"):
        return fit(model, how, seed, loss=pruning.slimming_loss(model, knobs["penalty"]))
    return fit(model, how, seed)


def described(method, knobs=None):
    """Everything that decides a method's network, but for its density and seed."""
    settings = METHODS[method]
    start = settings["start"]
    if start in METHODS:
        start = described(start)
    elif start != "new":
        start = [start, SETTINGS[start][settings["network"]]]
    own = [method, settings["network"], settings["training"], SETTINGS["batch"], SETTINGS["rounds"]]
    return [*own, choice(method) if knobs is None else knobs, start]


def trained(method, seed, density, *, ticket=None, told=None, knobs=None):
    """The network of a method, read from its store or trained.

    Args:
        method, seed, density, ticket: as in :func:`prepared`.
        told: settings that decide the ticket.
        knobs: those that were chosen, if not given.
    """
    chosen = choice(method) if knobs is None else knobs
    model = prepared(method, seed, density, chosen, ticket)
    store = Store("pruning-networks", [*described(method, chosen), told], VERSION)
    epochs = METHODS[method]["training"]["epochs"]
    return store.network(
        f"{method}-{density}-{seed}",
        model,
        lambda: finished(method, model, seed, density, chosen, epochs),
    )


def choice(method):
    """What the search has chosen: the knobs of a method by name."""
    if method == "unpenalized":  # the control
        return choice("penalized") | {"penalty": 0.0}
    return search(method)["choice"]


def search(method, ticket=None, told=None):
    """The search of a method, with its grid; the other arguments as in :func:`trained`."""
    settings = METHODS[method]
    how, first = settings["search"], settings["seeds"][0]
    store = Store("pruning-search", [described(method, {}), how, told], VERSION)

    def tried(knobs):
        model = prepared(method, first, how["density"], knobs, ticket)
        model = finished(method, model, first, how["density"], knobs, how["epochs"])
        if "penalty" in how["grid"]:  # what is left of it counts, tuned a little
            cut = slim if method == "penalized" else largest
            tuning = SETTINGS["tuning"] | {"bfloat16": settings["training"]["bfloat16"]}
            model = fit(cut(model, how["density"]), tuning, first)
        return model

    return searched(store, method, how["grid"], tried, how["density"])
