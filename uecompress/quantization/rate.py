"""Rate-distortion training: a network that is trained for the length of its own file.

Each tensor has a step s that is trained with it, and the network predicts with what its file will
hold, ``ŵ = s · round(w / s)``; gradients pass straight through the rounding. What a code costs in
an entropy coder grows with its size, and most with the first step away from zero. The loss is the
error plus λ times the mean of ``log(1 + |w / s| / ε)``: w is drawn to 0 or to where it is needed,
and s grows until few codes do. With λ the network slides along its curve of bytes against error
(the rate-distortion trade-off of Wiedemann et al., 2020, during training instead of after it).
"""

import math

import torch
from torch import nn

from uecompress import checks, training
from uecompress.networks import Conv2dLayer, LinearLayer, plain, plain_layers, replace_layers
from uecompress.quantization.trained import TrainedLayer, round_through

FIRST = 0.01  # ε: of what a code of 1 costs, half is the way from 0 to a tenth of a step
LARGEST = 127  # the largest code


class RateLayer(TrainedLayer):
    """What the Linear and the Conv2d layer share: weights, biases, and the logs of their steps."""

    def start(self):
        """Draw torch's weights and biases; the steps are the mean sizes of weights so drawn."""
        self.settings, drawn = {}, self.ordinary()
        self.weight = drawn.weight
        self.register_parameter("bias", drawn.bias)
        log_step = torch.full((), -math.log(2 * math.sqrt(drawn.weight[0].numel())))
        self.log_step = nn.Parameter(log_step)
        self.register_parameter(
            "bias_log_step", None if drawn.bias is None else nn.Parameter(log_step.clone())
        )

    def take(self, weight, bias):
        """Keep a weight and a bias, with their mean sizes as steps."""
        super().take(weight, bias)
        for values, log_step in ((weight, self.log_step), (bias, self.bias_log_step)):
            if values is not None and values.any():
                log_step.copy_(values.abs().mean().log())

    @property
    def dense_weight(self):
        """The rounded weight."""
        return _rounded(self.weight, self.log_step)

    @property
    def dense_bias(self):
        """The rounded biases, or None."""
        return None if self.bias is None else _rounded(self.bias, self.bias_log_step)

    def in_steps(self):
        """All weights and biases, each in steps of its tensor: a vector."""
        found = (self.weight / self.log_step.exp()).flatten()
        if self.bias is None:
            return found
        return torch.cat([found, self.bias / self.bias_log_step.exp()])

    def coded(self):
        """The layer of integer codes that computes the same; its biases take few values."""
        step = self.log_step.exp()
        codes = (self.weight / step).clamp(-LARGEST, LARGEST).round()
        layer = self.integers(codes, step[None], bits=8, per="tensor")
        if self.bias is not None:
            layer.bias.data.copy_(self.dense_bias)
        return layer


class RateLinear(RateLayer, LinearLayer):
    """A Linear layer whose weights and biases are rounded to steps that learn, in every pass.

    The arguments are those of :class:`LinearLayer <uecompress.networks.LinearLayer>`.
    """


class RateConv2d(RateLayer, Conv2dLayer):
    """A Conv2d layer whose weights and biases are rounded, as in :class:`RateLinear`.

    The arguments are those of :class:`Conv2dLayer <uecompress.networks.Conv2dLayer>`.
    """


def rate_distortion(model):
    """A copy of a network that is trained for the length of its file; :func:`finish` ends it.

    Train it with :func:`rate_loss`. Start from a network that has been trained for some epochs:
    the first steps are the mean sizes of its weights, and of its biases.

    Args:
        model: a network; it is not changed.

    Raises:
        ValueError: weights that are not finite; no plain Linear or Conv2d layer.

    Warns:
        UserWarning: layers that are not plain, which stay.
    """
    model = plain(model)
    layers = plain_layers(model)

    def replace(name, leaf):
        if name not in layers:
            return None
        with checks.naming(name):
            if isinstance(leaf, nn.Linear):
                return RateLinear.from_linear(leaf)
            return RateConv2d.from_conv2d(leaf)

    return replace_layers(model, replace)


def code_length(model):
    """What the codes cost, up to a factor: the mean of ``log(1 + |w / s| / ε)``, a scalar in nats.

    It is 0 for a network of zeros, and ``log(1 + 1/ε)`` = 4.6 if all codes were 1. The mean is over
    the weights and biases of all layers that :func:`rate_distortion` made.

    Args:
        model: a network that it returned.

    Raises:
        ValueError: a network without such layers.
    """
    layers = [module for module in model.modules() if isinstance(module, RateLayer)]
    if not layers:
        raise ValueError("the network has no layer that rate_distortion made")
    in_steps = torch.cat([layer.in_steps() for layer in layers])
    return torch.log1p(in_steps.abs() / FIRST).mean()


def rate_loss(penalty, ramp=0.1):
    """The loss of :func:`training.fit <uecompress.training.fit>`: cross-entropy and code length.

    Args:
        penalty: λ, nats of error for a nat of mean code length, at least 0.
        ramp: the share of the training in which it rises from 0 to λ, in [0, 1].

    Returns:
        ``loss(model, x, y, progress)``, a scalar.

    Raises:
        TypeError, ValueError: a number that is none, or out of range.
    """
    penalty = checks.within("penalty", penalty, 0, math.inf, open_high=True)
    ramp = checks.within("ramp", ramp, 0, 1)

    def loss(model, x, y, progress):
        share = min(1.0, progress / ramp) if ramp > 0 else 1.0
        return training.cross_entropy(model, x, y, progress) + share * penalty * code_length(model)

    return loss


def _rounded(values, log_step):
    """Whole multiples of a step; the step feels what rounding changes."""
    step = log_step.exp()
    return round_through((values / step).clamp(-LARGEST, LARGEST)) * step
