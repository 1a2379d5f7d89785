"""From VNQ posteriors to codes (Achterhold et al. 2018, eq. 15)."""

import math

import torch

from uecompress.bayes.convert import plain_layer
from uecompress.bayes.vnq import VNQConv2d, VNQLinear, vnq_layers
from uecompress.checks import naming
from uecompress.networks import plain_layers, replace_layers


def quantize(model, threshold=3.0):
    """A network with ordinary layers in which each VNQ layer's weights are −a, 0 or a.

    Weights with log alpha of at least ``threshold`` become 0, all others the nearest code (eq. 15).
    Zeros come from both rules. Biases stay as they are, and so do layers that are hooked or shared,
    with a warning.

    Args:
        model: a network with VNQ layers; it is not changed.
        threshold: of log alpha, usually 2 or 3; infinity to prune by nearness alone.

    Raises:
        ValueError: no VNQ layer, a threshold that is not a number, or a parameter of a VNQ layer
            that is not finite.
    """
    if math.isnan(threshold):
        raise ValueError("threshold must be a number, not NaN")
    vnq_layers(model)  # an error if there are none
    layers = plain_layers(model, VNQLinear, VNQConv2d)

    def replace(name, leaf):
        if name not in layers:
            return None
        with naming(name):
            return plain_layer(leaf, _nearest_codes(leaf, threshold))

    return replace_layers(model, replace)


@torch.no_grad()
def _nearest_codes(layer, threshold):
    """The weights of a VNQ layer, rounded and pruned: −a, 0 or a."""
    signs = (layer.weight_mu / layer.a).round().clamp(-1, 1)  # beyond ±a/2, ±a is the nearest
    return torch.where((signs == 0) | (layer.log_alpha >= threshold), 0, signs * layer.a)
