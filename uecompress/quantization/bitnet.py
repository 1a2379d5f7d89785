"""Ternary weights and eight-bit activations, trained so (BitNet b1.58, Ma et al., 2024).

``W̃ = mean|W| · clip(round(W / mean|W|), −1, 1)``, with gradients that pass straight through. What
a layer is given is rounded to int8 with a scale for each example, or token. The authors have a norm
in front of each layer, as ``networks.mlp`` and ``vit_tiny`` do.
"""

from collections import OrderedDict

import torch
from torch import nn

from uecompress import checks
from uecompress.networks import Conv2dLayer, LinearLayer, plain, plain_layers, replace_layers
from uecompress.quantization.activations import DynamicFakeQuantize
from uecompress.quantization.affine import to_codes
from uecompress.quantization.trained import TrainedLayer


class TernaryLayer(TrainedLayer):
    """What the Linear and the Conv2d layer share."""

    def start(self):
        """Draw torch's weights."""
        drawn = self.ordinary()
        self.weight = drawn.weight
        self.register_parameter("bias", drawn.bias)

    @property
    def dense_weight(self):
        """The ternary weight, with the gradient of the weight behind it."""
        codes, scale = self._codes()
        return codes * scale + (self.weight - self.weight.detach())

    def coded(self):
        """The layer of integer codes that computes the same."""
        codes, scale = self._codes()
        return self.integers(codes, scale[None], bits=2, kind="ternary", per="tensor")

    def _codes(self):
        weight = self.weight.detach()
        scale = weight.abs().mean().clamp(min=torch.finfo(weight.dtype).tiny)
        return to_codes(weight, scale, low=-1, high=1), scale


class TernaryLinear(TernaryLayer, LinearLayer):
    """A Linear layer whose weights are −a, 0 or a in every forward pass, with a = mean|W|.

    The arguments are those of :class:`LinearLayer <uecompress.networks.LinearLayer>`.
    """


class TernaryConv2d(TernaryLayer, Conv2dLayer):
    """A Conv2d layer of ternary weights, as :class:`TernaryLinear`.

    The arguments are those of :class:`Conv2dLayer <uecompress.networks.Conv2dLayer>`.
    """


def bitnet(model, *, only=None, activation_bits=8):
    """A copy of a network that is trained with ternary weights; :func:`finish` ends with codes.

    Each layer becomes an ``nn.Sequential`` of a :class:`DynamicFakeQuantize`, ``round``, and a
    ternary layer, ``layer``.

    Args:
        model: a network; it is not changed.
        only: dotted names of the layers that become ternary; all plain ones if not given.
        activation_bits: of what a layer is given, from 2 to 8.

    Raises:
        TypeError, ValueError: bits that are no number or out of range; names of no plain layer;
            weights that are not finite; no plain Linear or Conv2d layer.

    Warns:
        UserWarning: layers that are not plain, which stay.
    """
    checks.whole("activation_bits", activation_bits, 2, 8)
    model = plain(model)
    layers = plain_layers(model)
    only = list(layers if only is None else only)
    if unknown := [repr(name) for name in only if name not in layers]:
        raise ValueError(f"no plain layers: {', '.join(unknown)}")

    def replace(name, leaf):
        if name not in only:
            return None
        with checks.naming(name):
            if isinstance(leaf, nn.Linear):
                layer = TernaryLinear.from_linear(leaf)
            else:
                layer = TernaryConv2d.from_conv2d(leaf)
        return nn.Sequential(OrderedDict(round=DynamicFakeQuantize(activation_bits), layer=layer))

    return replace_layers(model, replace)
