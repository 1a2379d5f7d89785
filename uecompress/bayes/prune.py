"""Zeros where a posterior says that a weight is noise, in an ordinary network."""

import torch

from uecompress.bayes.convert import naming, plain_layer
from uecompress.networks import linear_and_conv_layers, replace_layers


def prune(model, threshold=3.0):
    """The ordinary network of posterior means, with zeros for weights of large alpha.

    alpha = sigma² / mu² is the squared ratio of noise to signal. What decides is alpha, not
    sigma²: a weight of large variance and larger mean is needed. Biases stay. If a layer loses all
    its weights, its outputs are its biases, whatever the input.

    Args:
        model: a network with "mean_field" or "sparse_vd" layers; it is not changed. Other
            layers are copied.
        threshold: weights with log alpha ≥ ``threshold`` become zero; 3 is the value of Molchanov
            et al. (2017), and ``math.inf`` keeps them all.

    Returns:
        A network with ``nn.Linear`` and ``nn.Conv2d`` in place of the variational layers.

    Raises:
        ValueError: no such layer; a parameter of one that is not finite; a threshold that leaves no
            weight in the whole network.
    """
    kept = 0

    def replace(name, leaf):
        nonlocal kept
        if not prunable(leaf):
            return None
        with torch.no_grad(), naming(name):
            # The ratio itself: the log_alpha of a "sparse_vd" layer is clipped, for its KL.
            log_alpha = leaf.weight_log_sigma2 - leaf.weight_mu.square().log()
            keep = log_alpha < threshold
            kept += keep.sum().item()
            return plain_layer(leaf, torch.where(keep, leaf.weight_mu, 0))

    if not any(prunable(module) for module in model.modules()):
        raise ValueError("the network has no layer with a log_alpha for every weight")
    result = replace_layers(model, replace)
    if not kept:
        raise ValueError(f"log alpha is {threshold} or more for every weight: nothing would remain")
    return result


def prunable(module):
    """Whether a module knows log alpha of every one of its weights."""
    return hasattr(module, "weight_mu") and (
        getattr(getattr(module, "log_alpha", None), "shape", None) == module.weight_mu.shape
    )


def hold_zeros(model):
    """An ``after_step`` that keeps the zeros of a pruned network while it is fine-tuned.

    Args:
        model: the network whose zero weights in Linear and Conv2d layers shall stay zero in what
            :func:`training.fit <uecompress.training.fit>` makes of it.

    Returns:
        ``after_step(model, progress)``.

    Raises:
        ValueError: at the first step, a network whose layers are not those of ``model``: after
            :func:`~uecompress.bayes.shrink` the zeros are those of the smaller network.
    """
    zeros = {name: layer.weight == 0 for name, layer in linear_and_conv_layers(model)}

    def after_step(trained, progress):
        for name, layer in linear_and_conv_layers(trained):
            if name not in zeros or zeros[name].shape != layer.weight.shape:
                raise ValueError(f"{name!r} is not a layer of the network whose zeros are held")
            layer.weight.masked_fill_(zeros[name].to(layer.weight.device), 0)

    return after_step


def nonzero_weights(model):
    """The number of weights that are not zero in the Linear and Conv2d layers, without biases.

    Raises:
        ValueError: a variational layer, which has posteriors in place of weights.
    """
    for name, module in model.named_modules():
        if hasattr(module, "weight_mu"):
            raise ValueError(f"{name!r} is a variational layer: prune it, then count its weights")
    return sum(int(layer.weight.count_nonzero()) for _, layer in linear_and_conv_layers(model))
