"""Small networks and batches that the tests of pruning share."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from uecompress import data, networks


def chain(*sizes, act=nn.ReLU, bias=False, seed=0):
    """Linear layers "0", "2", … with activations between, in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out, bias=bias), act()]
    return nn.Sequential(*layers[:-1]).double()


def batch(features=20, classes=5, n=30, seed=1):
    """Inputs (n, features) in float64, and labels."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.rand(n, features, generator=draw, dtype=torch.float64)
    return x, torch.randint(classes, (n,), generator=draw)


def loss_on(x, y):
    """Cross-entropy as a functional of networks."""
    return lambda network: F.cross_entropy(network(x), y)


def with_statistics(model, seed=0):
    """The network in float64, with batch norms that shift and scale every channel differently."""
    model, draw = model.double().eval(), torch.Generator().manual_seed(seed)
    for module in model.modules():
        if getattr(module, "running_mean", None) is not None:
            for tensor in (module.running_mean, module.weight.data, module.bias.data):
                tensor.copy_(torch.randn(tensor.shape, generator=draw))
            module.running_var.copy_(0.5 + torch.rand(tensor.shape, generator=draw))
    return model


def digits(n=300):
    """Digits of 28×28 and their labels."""
    x, y = data.load("digits", "train")
    return x[:n], y[:n]


def total(model):
    """Weights in plain layers."""
    return sum(layer.weight.numel() for layer in networks.plain_layers(model).values())
