"""SmoothQuant (Xiao et al., 2023): what is large moves from the activations into the weights.

Behind a norm, input j of a layer is divided by s_j and column j of its weight multiplied, which
changes nothing but the ranges: ``s_j = max|x_j|^α / max|w_j|^(1−α)`` (eq. 4). The norm takes the
division into its own γ and β, so that it costs nothing.
"""

from itertools import pairwise

import torch
from torch import nn

from uecompress import checks
from uecompress.networks import Attention, input_sums, obstacles, plain
from uecompress.networks.tree import is_plain

_NORMS = {nn.BatchNorm1d: nn.Linear, nn.BatchNorm2d: nn.Conv2d, nn.LayerNorm: nn.Linear}
_SMALLEST = 1e-5  # of s, as in the authors' code


@torch.no_grad()
def smooth(model, x, alpha=0.5):
    """A copy of a network that computes the same, with activations that are easier to round.

    Smoothed is what stands right behind a norm in an ``nn.Sequential``: a Linear behind a batch or
    layer norm, a Conv2d without groups behind a batch norm (whose zero padding stays zero), and the
    queries, keys and values of an :class:`~uecompress.networks.Attention`, of which the largest
    weight counts. An input that was zero in the whole batch keeps its scale.

    Args:
        model: a network; it is not changed.
        x: calibration inputs (N, ...), without labels.
        alpha: 0 leaves the weights of all inputs equally large, 1 the activations.

    Raises:
        TypeError, ValueError: inputs that are not the network's, an α that is no number in [0, 1],
            a network without such a pair.
    """
    alpha, model = checks.within("alpha", alpha, 0, 1), plain(model)
    pairs = list(_pairs(model))
    if not pairs:
        raise ValueError("no norm of the network stands right before a layer that could take it")
    largest = input_sums(model, x, lambda given: given.abs().amax(-1), combine=torch.maximum)
    modules = dict(model.named_modules())
    for norm, names in pairs:
        layers = [modules[name] for name in names]
        channels = layers[0].weight.shape[1]
        # (1, d) -> (in, h · w) -> (in,); a Linear has h · w = 1
        given = largest[names[0]][0].view(channels, -1).amax(1)
        weights = torch.stack(
            [layer.weight.double().abs().transpose(0, 1).flatten(1).amax(1) for layer in layers]
        ).amax(0)
        s = given**alpha / weights.clamp(min=_SMALLEST) ** (1 - alpha)
        s = torch.where(given > 0, s.clamp(min=_SMALLEST), 1.0)
        for parameter in (norm.weight, norm.bias):
            parameter.copy_(parameter.double() / s)
        for layer in layers:
            shape = (1, -1, *(1,) * (layer.weight.ndim - 2))
            layer.weight.copy_(layer.weight.double() * s.view(shape))
    return model


def _pairs(model):
    """Norms, each with the names of the layers that are given what it makes."""
    names = {module: name for name, module in model.named_modules()}
    reasons = obstacles(model)
    for parent in list(names):
        children = list(parent.children()) if type(parent) is nn.Sequential else []
        for norm, behind in pairwise(children):
            wanted = _NORMS.get(type(norm))
            layers = [behind]
            if isinstance(behind, Attention) and wanted is nn.Linear:
                layers = [behind.q, behind.k, behind.v]
            fits = (
                wanted
                and norm.weight is not None
                and getattr(norm, "bias", None) is not None
                and all(is_plain(layer, wanted) for layer in layers)
                and all(getattr(layer, "groups", 1) == 1 for layer in layers)
                and not any(names[module] in reasons for module in (norm, *layers))
            )
            if fits:
                yield norm, [names[layer] for layer in layers]
