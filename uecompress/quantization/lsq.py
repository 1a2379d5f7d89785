"""Learned step size quantization (Esser et al., 2020): the step is trained with the weights.

``ŵ = s · round(clamp(w / s, −Q_N, Q_P))``. The derivative by s is round(w/s) − w/s inside the range
and −Q_N or Q_P beyond it (eq. 3): both a coarser and a wider grid are felt. One step serves many
weights, so its gradient is scaled by 1/√(N Q_P), and the start is 2 mean|w| / √Q_P.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import nn

from uecompress import checks
from uecompress.networks import Conv2dLayer, LinearLayer, plain, plain_layers, replace_layers
from uecompress.quantization.activations import FakeQuantize, given_to
from uecompress.quantization.affine import code_range
from uecompress.quantization.trained import TrainedLayer, round_through


def learned_rounding(x, step, low, high, count):
    """x rounded to multiples of a step that learns, from ``low`` to ``high`` steps (eq. 1 to 3).

    Args:
        x: a tensor.
        step: s, a tensor of one number.
        low: −Q_N.
        high: Q_P.
        count: N, the numbers that share the step.
    """
    scaled = step / math.sqrt(count * high)
    step = step.detach() + (scaled - scaled.detach())  # its own value, a smaller gradient
    return round_through((x * (1 / step)).clamp(low, high)) * step


class LSQLayer(TrainedLayer):
    """What the Linear and the Conv2d layer share: ``weight`` and ``step``, both trained."""

    def start(self, bits=8):
        """Draw torch's weights; the step is that of weights so drawn."""
        self.bits = checks.whole("bits", bits, 2, 8)
        self.settings = {"bits": self.bits}
        drawn = self.ordinary()
        self.weight = drawn.weight
        self.register_parameter("bias", drawn.bias)
        _, high = code_range(self.bits, "full")
        size = drawn.weight[0].numel()  # mean |w| is 1 / (2 √size)
        self.step = nn.Parameter(torch.full((), 1 / math.sqrt(size * high)))

    def take(self, weight, bias):
        """Keep a weight and a bias, and start with the step that suits the weight."""
        super().take(weight, bias)
        _, high = code_range(self.bits, "full")
        step = 2 * weight.abs().mean() / math.sqrt(high)
        self.step.copy_(step if step > 0 else torch.ones_like(step))

    @property
    def dense_weight(self):
        """The rounded weight."""
        ends = code_range(self.bits, "full")
        return learned_rounding(self.weight, self.step, *ends, self.weight.numel())

    def coded(self):
        """The layer of integer codes that computes the same."""
        low, high = code_range(self.bits, "full")
        codes = (self.weight * (1 / self.step)).clamp(low, high).round()
        return self.integers(codes, self.step[None], bits=self.bits, kind="full", per="tensor")


class LSQLinear(LSQLayer, LinearLayer):
    """A Linear layer whose weights are rounded with a learned step in every forward pass.

    Args:
        in_features: size of the input.
        out_features: size of the output.
        bias: whether there are biases, which are not rounded.
        bits: from 2 to 8.

    Raises:
        TypeError: an argument that is no number.
        ValueError: one that is not whole or out of range.
    """


class LSQConv2d(LSQLayer, Conv2dLayer):
    """A Conv2d layer whose weights are rounded with a learned step, as :class:`LSQLinear`.

    The arguments are those of :class:`Conv2dLayer <uecompress.networks.Conv2dLayer>`, and ``bits``.
    """


class LearnedFakeQuantize(FakeQuantize):
    """Rounds activations to a grid whose step is a parameter, ``scale``, and learns.

    Args:
        bits: as in :class:`FakeQuantize`.
        signed: as there.
    """

    def __init__(self, bits=8, signed=True):
        super().__init__(bits, signed)
        del self.scale
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        """(N, ...) -> (N, ...)."""
        return learned_rounding(x, self.scale, *self.ends, max(1, x.numel() // len(x)))

    def coded(self):
        """The same with the step as a buffer, which is no weight."""
        fixed = FakeQuantize(self.bits, self.signed).to(self.scale)
        fixed.scale.copy_(self.scale)
        return fixed


def lsq(model, bits, x=None):
    """A copy of a network that is trained with rounded weights; :func:`finish` ends with codes.

    Start from a trained network: the steps are made for its weights.

    Args:
        model: a network; it is not changed.
        bits: from 2 to 8; or a dict, dotted name of a layer -> bits, and layers that it does not
            name stay. The paper has 8 in the first and the last layer.
        x: calibration inputs (N, ...). With them what these layers are given is rounded too, to as
            many bits and with a learned step: a layer then is an ``nn.Sequential`` of ``round`` and
            ``layer``.

    Raises:
        TypeError: numbers that are none.
        ValueError: bits out of range; names of no plain layer; weights that are not finite, inputs
            of a layer that are all zero; no plain Linear or Conv2d layer.

    Warns:
        UserWarning: layers that are not plain, which stay.
    """
    model = plain(model)
    layers = plain_layers(model)
    bits = bits if isinstance(bits, Mapping) else dict.fromkeys(layers, bits)
    if unknown := [repr(name) for name in bits if name not in layers]:
        raise ValueError(f"no plain layers: {', '.join(unknown)}")
    rounding = {} if x is None else {n: _learned(given_to(model, n, x), b) for n, b in bits.items()}

    def replace(name, leaf):
        if name not in bits:
            return None
        with checks.naming(name):
            if isinstance(leaf, nn.Linear):
                layer = LSQLinear.from_linear(leaf, bits=bits[name])
            else:
                layer = LSQConv2d.from_conv2d(leaf, bits=bits[name])
        if name not in rounding:
            return layer
        return nn.Sequential(OrderedDict(round=rounding[name], layer=layer))

    return replace_layers(model, replace)


@torch.no_grad()
def _learned(given, bits):
    """The rounding of activations like these, at its start."""
    rounds = LearnedFakeQuantize(bits, signed=bool((given < 0).any())).to(given)
    rounds.scale.copy_(2 * given.abs().mean() / math.sqrt(rounds.steps))
    return rounds
