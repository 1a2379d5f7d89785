"""What later chapters will build, in its smallest form: networks that no room holds yet.

Every one of them has to pass through ``fit``, ``predict``, ``scorecard``, ``save`` and ``load`` as
it is. They take digits of 7×7 pixels, (N, 1, 7, 7), to ten classes.
"""

from functools import cache

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from uecompress import data, networks, training

FEATURES, HIDDEN, CLASSES, MEMBERS = 49, 24, 10, 3


@cache
def digits(split, count=300):
    """Every fourth pixel, (N, 1, 7, 7), and the labels."""
    x, y = data.load("digits", split)
    return x[:count, :, ::4, ::4].contiguous(), y[:count]


@cache
def foreign(count=100):
    """Letters in the same form."""
    return data.load("glyphs", "test")[0][:count, :, ::4, ::4].contiguous()


class GroupedLinear(nn.Module):
    """Packed ensembles: each of the G groups of units sees only its own group of inputs."""

    def __init__(self, in_features, out_features, groups):
        super().__init__()
        self.weight = nn.Parameter(
            torch.randn(groups, out_features // groups, in_features // groups) / 3
        )
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, x):
        groups = x.unflatten(-1, (len(self.weight), -1))  # (N, in) -> (N, G, in / G)
        return torch.einsum("ngi,goi->ngo", groups, self.weight).flatten(1) + self.bias

    def config(self):
        groups, rows, columns = self.weight.shape
        return {"in_features": groups * columns, "out_features": groups * rows, "groups": groups}


class SplitLogits(nn.Module):
    """Packed and MIMO networks: logits of all members beside each other, (N, M·C) to (M, N, C)."""

    def __init__(self, num_estimators):
        super().__init__()
        self.num_estimators = num_estimators

    def forward(self, x):
        return x.unflatten(-1, (self.num_estimators, -1)).movedim(1, 0)

    def config(self):
        return {"num_estimators": self.num_estimators}


class HashedLinear(nn.Module):
    """Each weight is one of a few shared ones; which one is an index that the constructor knows."""

    def __init__(self, in_features, out_features, buckets):
        super().__init__()
        index = torch.arange(out_features * in_features) * 2654435761 % 2**32 % buckets
        self.register_buffer("index", index.view(out_features, in_features), persistent=False)
        self.values = nn.Parameter(torch.randn(buckets) / in_features**0.5)
        self.bias = nn.Parameter(torch.zeros(out_features))

    @property
    def dense_weight(self):
        return self.values[self.index]

    def forward(self, x):
        return F.linear(x, self.dense_weight, self.bias)

    def config(self):
        out_features, in_features = self.index.shape
        sizes = {"in_features": in_features, "out_features": out_features}
        return sizes | {"buckets": len(self.values)}


class QuantizedLinear(nn.Module):
    """Signed integer codes, code 0 = weight 0, and a scale, as buffers; the bias can be trained."""

    def __init__(self, in_features, out_features, bias=True):
        super().__init__()
        codes = torch.randint(-8, 8, (out_features, in_features), dtype=torch.int8)
        self.register_buffer("codes", codes)
        self.register_buffer("scale", torch.tensor(0.25 / in_features**0.5))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    @property
    def dense_weight(self):
        return self.codes * self.scale

    def forward(self, x):
        return F.linear(x, self.dense_weight, self.bias)

    def config(self):
        out_features, in_features = self.codes.shape
        sizes = {"in_features": in_features, "out_features": out_features}
        return sizes | {"bias": self.bias is not None}


class FrozenCodesLinear(QuantizedLinear):
    """The codes as a frozen parameter of integers, the first of the network's parameters."""

    def __init__(self, in_features, out_features):
        super().__init__(in_features, out_features)
        codes, bias = self.codes, self.bias
        del self.codes, self.bias
        self.codes, self.bias = nn.Parameter(codes, requires_grad=False), bias  # in this order

    def config(self):
        return {"in_features": self.codes.shape[1], "out_features": self.codes.shape[0]}


class RankOneLinear(nn.Module):
    """BatchEnsemble: one weight for all members, and two vectors and a bias for each.

    The members lie in the batch, as in :class:`uecompress.networks.SharedEnsemble`.
    """

    def __init__(self, in_features, out_features, num_estimators):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / in_features**0.5)
        self.r = nn.Parameter(torch.randn(num_estimators, in_features).sign())
        self.s = nn.Parameter(torch.randn(num_estimators, out_features).sign())
        self.bias = nn.Parameter(torch.zeros(num_estimators, out_features))

    def member(self, m):
        """The ordinary layer that member ``m`` is."""
        layer = nn.Linear(self.weight.shape[1], self.weight.shape[0])
        layer.weight.data = self.s[m, :, None].detach() * self.weight.detach() * self.r[m].detach()
        layer.bias.data = self.bias[m].detach()
        return layer

    def forward(self, x):
        x = x.unflatten(0, (len(self.r), -1)) * self.r[:, None]  # (M·N, in) -> (M, N, in)
        return ((x @ self.weight.T) * self.s[:, None] + self.bias[:, None]).flatten(0, 1)

    def config(self):
        out_features, in_features = self.weight.shape
        sizes = {"in_features": in_features, "out_features": out_features}
        return sizes | {"num_estimators": len(self.r)}


class MIMO(nn.Module):
    """M inputs at once, one for each member, beside each other in the channels of one network."""

    def __init__(self, network, num_estimators):
        super().__init__()
        self.network, self.num_estimators = network, num_estimators

    def forward(self, x):
        batches = networks.for_members(x, self.num_estimators)  # (M, N, ch, h, w)
        return self.network(batches.movedim(0, 1).flatten(1, 2))  # (N, M·ch, h, w) -> (M, N, C)

    def config(self):
        return {"network": self.network, "num_estimators": self.num_estimators}


class EarlyExit(nn.Module):
    """Each example leaves at the first exit that is sure; in training all exits answer, a tuple."""

    def __init__(self, stages, exits, threshold):
        super().__init__()
        self.stages, self.exits = nn.ModuleList(stages), nn.ModuleList(exits)
        self.threshold = threshold

    def forward(self, x):
        if self.training:
            return tuple(self.all_exits(x))
        logits = x.new_empty(len(x), CLASSES)
        left = torch.arange(len(x))  # the examples that are still inside
        for stage, leave in zip(self.stages, self.exits, strict=True):
            if not len(left):
                break
            x = stage(x)
            logits[left] = leave(x)
            unsure = logits[left].softmax(-1).amax(-1) < self.threshold
            x, left = x[unsure], left[unsure]
        return logits

    def all_exits(self, x):
        for stage, leave in zip(self.stages, self.exits, strict=True):
            x = stage(x)
            yield leave(x)

    def config(self):
        lists = {"stages": list(self.stages), "exits": list(self.exits)}
        return lists | {"threshold": self.threshold}


def packed():
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(FEATURES, HIDDEN),
        nn.ReLU(),
        GroupedLinear(HIDDEN, HIDDEN, MEMBERS),
        nn.ReLU(),
        GroupedLinear(HIDDEN, MEMBERS * CLASSES, MEMBERS),
        SplitLogits(MEMBERS),
    )


def hashed():
    return nn.Sequential(
        nn.Flatten(),
        HashedLinear(FEATURES, HIDDEN, 200),
        nn.ReLU(),
        HashedLinear(HIDDEN, CLASSES, 60),
    )


def quantized(bias=True):
    return nn.Sequential(
        nn.Flatten(),
        QuantizedLinear(FEATURES, HIDDEN, bias),
        nn.ReLU(),
        QuantizedLinear(HIDDEN, CLASSES, bias),
    )


def frozen_codes():
    return nn.Sequential(
        nn.Flatten(),
        FrozenCodesLinear(FEATURES, HIDDEN),
        nn.ReLU(),
        FrozenCodesLinear(HIDDEN, CLASSES),
    )


def batch_ensemble():
    shared = nn.Sequential(
        nn.Flatten(),
        RankOneLinear(FEATURES, HIDDEN, MEMBERS),
        nn.BatchNorm1d(HIDDEN),
        nn.ReLU(),
        RankOneLinear(HIDDEN, CLASSES, MEMBERS),
    )
    return networks.SharedEnsemble(shared, MEMBERS)


def mimo():
    network = nn.Sequential(
        nn.Conv2d(MEMBERS, 8, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(200, MEMBERS * CLASSES),
        SplitLogits(MEMBERS),
    )
    return MIMO(network, MEMBERS)


def early_exit(threshold=0.8):
    stages = [
        nn.Sequential(nn.Flatten(), nn.Linear(FEATURES, HIDDEN), nn.ReLU()),
        nn.Sequential(nn.Linear(HIDDEN, HIDDEN), nn.ReLU()),
    ]
    return EarlyExit(stages, [nn.Linear(HIDDEN, CLASSES) for _ in stages], threshold)


def mimo_loss(model, x, y, progress):
    """Each member gets the batch in an order of its own, so that the inputs are independent."""
    rows = torch.stack([torch.randperm(len(x)) for _ in range(model.num_estimators)])  # (M, B)
    return training.cross_entropy(model, x[rows], y[rows], progress)


def exits_loss(model, x, y, progress):
    """The mean cross-entropy of all exits."""
    return torch.stack([F.cross_entropy(logits, y) for logits in model(x)]).mean()


# Of each: the network and the loss that trains it.
TRIALS = {
    "packed": (packed, training.cross_entropy),
    "hashed": (hashed, training.cross_entropy),
    "quantized": (quantized, training.cross_entropy),
    "frozen_codes": (frozen_codes, training.cross_entropy),
    "batch_ensemble": (batch_ensemble, training.cross_entropy),
    "mimo": (mimo, mimo_loss),
    "early_exit": (early_exit, exits_loss),
}
LAYERS = (
    GroupedLinear,
    SplitLogits,
    HashedLinear,
    QuantizedLinear,
    FrozenCodesLinear,
    RankOneLinear,
    MIMO,
    EarlyExit,
)


def network(name, seed=0):
    """A trial network with the weights that ``seed`` draws."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return TRIALS[name][0]()


def train(name, **changes):
    """A trial network trained on 300 digits."""
    settings = {"epochs": 10, "batch_size": 32, "lr": 1e-2, "seed": 0, "progress": False}
    settings |= {"loss": TRIALS[name][1]}
    return training.fit(network(name), digits("train"), **settings | changes)


@pytest.fixture
def offered(monkeypatch):
    """The classes as if ``uecompress.networks`` offered them, so that a file may name them."""
    for layer in LAYERS:
        monkeypatch.setattr(layer, "__module__", "uecompress.networks")
        monkeypatch.setattr(networks, layer.__name__, layer, raising=False)
