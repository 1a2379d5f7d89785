"""From VNQ posteriors to codes (Achterhold et al. 2018, eq. 15)."""

import math

import torch

from uecompress.bayes.vnq import VNQLayer, vnq_layers
from uecompress.checks import naming
from uecompress.networks import replace_layers


def quantize(model, threshold=3.0):
    """A network with ordinary layers in which each VNQ layer's weights are −a, 0 or a.

    Weights with log alpha of at least ``threshold`` become 0, all others the nearest code (eq. 15).
    Zeros come from both rules. Biases stay as they are.

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

    def replace(name, leaf):
        if not isinstance(leaf, VNQLayer):
            return None
        with naming(name):
            return leaf.plain_layer(_nearest_codes(leaf, threshold))

    return replace_layers(model, replace)


@torch.no_grad()
def _nearest_codes(layer, threshold):
    """The weights of a VNQ layer, rounded and pruned: −a, 0 or a."""
    signs = (layer.weight_mu / layer.a).round().clamp(-1, 1)  # beyond ±a/2, ±a is the nearest
    return torch.where((signs == 0) | (layer.log_alpha >= threshold), 0, signs * layer.a)
