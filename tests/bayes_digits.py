"""A small network and small digits, on which variational layers train in seconds."""

from functools import cache

import torch
from torch import nn

from uecompress import bayes, data, networks, training, uncertainty


@cache
def digits(split):
    """Every second pixel, (N, 1, 14, 14) in [−1, 1], and the labels."""
    x, y = data.load("digits", split)
    return 2 * x[:, :, ::2, ::2] - 1, y


def mlp(seed):
    """196-64-32-10."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(196, 64),
            nn.ReLU(),
            nn.Linear(64, 32),
            nn.ReLU(),
            nn.Linear(32, 10),
        )


def variational(model, cls, **settings):
    """The network with Linear layers of this kind."""

    def replace(name, leaf):
        return cls.from_linear(leaf, **settings) if isinstance(leaf, nn.Linear) else None

    return networks.replace_layers(model, replace)


def train(model, *, seed, epochs, lr, after_step, warm_up=(0, 0.3)):
    """Trained by the ELBO."""
    loss = bayes.elbo_loss(len(digits("train")[1]), warm_up)
    settings = {"batch_size": 32, "progress": False, "loss": loss, "after_step": after_step}
    return training.fit(model, digits("train"), epochs=epochs, lr=lr, seed=seed, **settings)


def accuracy(model, **settings):
    """On the validation images."""
    x, y = digits("validation")
    return uncertainty.accuracy(uncertainty.predict(model, x, **settings), y)


def shapes(model):
    """Of the weights."""
    return [tuple(layer.weight.shape) for _, layer in networks.linear_and_conv_layers(model)]
