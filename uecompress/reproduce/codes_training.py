"""The networks of the ``codes`` experiment: hashed, narrow, thin, rounded in training."""

import itertools
from collections import OrderedDict

from torch import nn

from uecompress import hashing, lowrank, networks, quantization
from uecompress.ensembles import mc_dropout
from uecompress.randomness import seeded
from uecompress.reproduce import bayesian
from uecompress.reproduce.codes_parts import part
from uecompress.reproduce.codes_settings import SETTINGS
from uecompress.reproduce.search import searched
from uecompress.reproduce.store import Store

VERSION = 1
METHODS = SETTINGS["methods"]


def untrained(name, seed):
    """A new network; "wide" is 784-1000-10."""
    if name == "wide":
        return perceptron([784, 1000, 10], seed)
    return getattr(networks, name)(seed=seed)


def perceptron(widths, seed):
    """A plain network of these widths, with ReLU between its layers."""
    layers = [("flatten", nn.Flatten())]
    with seeded(seed):
        for k, sizes in enumerate(itertools.pairwise(widths), 1):
            layers += [(f"linear{k}", nn.Linear(*sizes)), (f"relu{k}", nn.ReLU())]
    return nn.Sequential(OrderedDict(layers[:-1]))


def narrow(model, seed, ratio):
    """A dense network with as many layers and no more numbers than the hashed one.

    Its hidden layers have one width: with a 64th of each width the second of the LeNet-300-100
    would have one unit.
    """
    allowed = networks.parameter_count(hashing.hashed(model, ratio=ratio, seed=seed))
    first, *others = networks.plain_layers(model).values()
    hidden = len(others)

    def of(width):
        return perceptron([first.in_features, *hidden * [width], others[-1].out_features], seed)

    width = 1
    while networks.parameter_count(of(width + 1)) <= allowed:
        width += 1
    return of(width)


def with_dropout(model, probability):
    """The network with dropout behind every ReLU."""
    parts = []
    for name, module in model.named_children():
        parts.append((name, module))
        if isinstance(module, nn.ReLU):
            parts.append((name.replace("relu", "dropout"), nn.Dropout(probability)))
    return nn.Sequential(OrderedDict(parts))


def members(model, seed, num_estimators, ratio):
    """Hashed networks with buckets of their own, as an ensemble."""
    seeds = range(num_estimators * seed, num_estimators * (seed + 1))
    return networks.Ensemble([hashing.hashed(model, ratio=ratio, seed=each) for each in seeds])


MAKE = {
    "plain": lambda model, seed: model,
    "narrow": narrow,
    "hashed": lambda model, seed, **how: hashing.hashed(model, seed=seed, **how),
    "structured": lambda model, seed, ratio: hashing.structured(model, ratio=ratio, seed=seed),
    "hashed_ensemble": lambda model, seed, **how: hashing.hashed_ensemble(model, seed=seed, **how),
    "hashed_members": members,
    "hashed_dropout": lambda model, seed, ratio, probability: with_dropout(
        hashing.hashed(model, ratio=ratio, seed=seed), probability
    ),
    "new_low_rank": lambda model, seed, rank: lowrank.new_low_rank(model, rank=rank, seed=seed),
    "svd": lambda model, seed, rank: lowrank.compress(model, "svd", rank=rank),
    "lsq": lambda model, seed, bits: quantization.lsq(model, bits),
    "bitnet": lambda model, seed, **how: quantization.bitnet(model, **how),
    "part": lambda model, seed, **how: part(model, **how),
}


def prepared(method, seed, knobs):
    """A method's network before its training."""
    settings = METHODS[method]
    if settings["start"] == "new":
        model = untrained(settings["network"], seed)
    else:
        model = bayesian.trained(settings["network"], settings["start"], seed)
    own = {key: value for key, value in knobs.items() if key not in ("lr", "weight_decay")}
    return MAKE[settings["make"]](model, seed=seed, **settings["arguments"], **own)


def fitted(method, model, seed, knobs, epochs):
    """A prepared network, trained."""
    how = METHODS[method]["training"] | {"epochs": epochs}
    how |= {key: knobs[key] for key in ("lr", "weight_decay")}
    zeros = networks.hold_zeros(model) if METHODS[method]["make"] == "part" else None
    return bayesian.fit(model, how, seed, zeros)


def described(method, knobs):
    """Everything that decides a method's network, but for its seed."""
    settings = METHODS[method]
    own = {key: value for key, value in settings.items() if key not in ("seeds", "search")}
    start = SETTINGS.get(settings["start"], {}).get(settings["network"])
    return [own, start, knobs]


def trained(method, seed):
    """The network of a method as it is trained, read from its store or trained."""
    chosen = choice(method)
    model = prepared(method, seed, chosen)
    store = Store("codes-networks", described(method, chosen), VERSION)
    epochs = METHODS[method]["training"]["epochs"]
    return store.network(
        f"{method}-{seed}", model, lambda: fitted(method, model, seed, chosen, epochs)
    )


def final(method, seed):
    """The network that a method ends with: of integer codes, or with dropout when it predicts."""
    model = trained(method, seed)
    if METHODS[method]["make"] in ("lsq", "bitnet"):
        return quantization.finish(model)
    return mc_dropout(model) if METHODS[method]["make"] == "hashed_dropout" else model


def choice(method):
    """What the search has chosen: the knobs of a method by name."""
    return search(METHODS[method]["search"].get("like", method))["choice"]


def search(method):
    """The search of a method, with its grid."""
    how, seed = METHODS[method]["search"], METHODS[method]["seeds"][0]
    store = Store("codes-search", [described(method, {}), how], VERSION)

    def tried(knobs):
        return fitted(method, prepared(method, seed, knobs), seed, knobs, how["epochs"])

    return searched(store, method, how["grid"], tried)
