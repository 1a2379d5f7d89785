"""What the settings of an experiment say, done: its network, its learning rate, its training."""

import functools

import torch

from uecompress import data, networks, training


def network(settings, seed):
    """An untrained network: ``{"name": "mlp", "width": 200, ...}`` is ``networks.mlp(width=200)``.

    Args:
        settings: the name of a function of :mod:`uecompress.networks`, and its arguments.
        seed: of the initialization.
    """
    arguments = {key: value for key, value in settings.items() if key != "name"}
    return getattr(networks, settings["name"])(**arguments, seed=seed)


def rate(how):
    """The learning rate by training progress: ``lr`` at first, then linear to ``lr_end``.

    Args:
        how: a dict with ``lr``, ``lr_end`` and ``hold``, the share of the training before it falls.
    """
    start, end, hold = how["lr"], how["lr_end"], how["hold"]
    return lambda progress: end + (start - end) * min(1, (1 - progress) / (1 - hold))


def fit(model, how, seed, *, optimizer=torch.optim.Adam, **more):
    """``model`` trained on MNIST.

    Args:
        model: a network.
        how: a dict with ``epochs``, ``batch_size``, ``weight_decay`` and what :func:`rate` reads.
        seed: of the order of the examples, and of what is drawn while training.
        optimizer: called with the parameters, ``lr`` and ``weight_decay``.
        more: the ``loss`` and ``after_step`` of :func:`uecompress.training.fit`.
    """
    return training.fit(
        model,
        data.load("mnist", "train"),
        epochs=how["epochs"],
        batch_size=how["batch_size"],
        lr=rate(how),
        optimizer=functools.partial(optimizer, weight_decay=how["weight_decay"]),
        seed=seed,
        **more,
    )
