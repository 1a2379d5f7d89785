"""From VNQ posteriors to codes (Achterhold et al. 2018, eq. 15)."""

import math

import torch

from uecompress import checks
from uecompress.bayes.vnq import VNQLayer, vnq_layers
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
        TypeError: a threshold that is no number.
        ValueError: no VNQ layer; a threshold that is NaN, or leaves no weight in the whole network;
            a parameter of a VNQ layer that is not finite.
    """
    checks.within("threshold", threshold, -math.inf, math.inf)
    vnq_layers(model)  # an error if there are none
    layers = plain_layers(model, VNQLayer)

    kept = 0

    def replace(name, leaf):
        nonlocal kept
        if name not in layers:
            return None
        weight = _nearest_codes(leaf, threshold)
        kept += weight.count_nonzero().item()
        with checks.naming(name):
            return leaf.plain_layer(weight)

    result = replace_layers(model, replace)
    if not kept:
        raise ValueError(f"every weight is nearest to 0, or has a log alpha of {threshold} or more")
    return result


@torch.no_grad()
def _nearest_codes(layer, threshold):
    """The weights of a VNQ layer, rounded and pruned: −a, 0 or a."""
    signs = (layer.weight_mu / layer.a).round().clamp(-1, 1)  # beyond ±a/2, ±a is the nearest
    return torch.where((signs == 0) | (layer.log_alpha >= threshold), 0, signs * layer.a)
