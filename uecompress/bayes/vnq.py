"""Variational network quantization (Achterhold, Koehler, Schmeink and Genewein, 2018).

The log-uniform prior of sparse variational dropout has one spike, at zero. The quantizing prior has
one at each value c_k of a codebook, p(w) ∝ Σ_k a_k / ``|w − c_k|`` with equal a_k (eq. 12), so that
training draws each weight to one of them. Here the codebook is ternary, [−a, 0, a], each layer
learns its own a, and afterwards every weight is one of three numbers.
"""

import torch
from torch import nn
from torch.nn import functional as F

from uecompress import checks
from uecompress.bayes.convert import copy_weights, geometry_of, initial_variances
from uecompress.bayes.gaussian import draw, draw_weights
from uecompress.bayes.quantizing_prior import REFERENCE, multi_spike_kl

FUNNEL = 0.223  # exp(−3/2): where log alpha = 3, θ is 0.223 σ away from the spike


class VNQLinear(nn.Module):
    """A Linear layer that learns ternary weights; biases are ordinary parameters.

    It draws in training and while ``sampling`` is True, fresh weights for every example; otherwise
    it uses the means ``weight_mu`` (the paper's θ), before they are rounded.

    Args:
        in_features: size of the input.
        out_features: size of the output.
        bias: whether there are biases.
        initial_log_sigma2: log variance of every posterior at the start.
        a: the codebook is [−a, 0, a] at the start; positive.

    Raises:
        ValueError: ``a`` is not positive.
    """

    def __init__(self, in_features, out_features, bias=True, *, initial_log_sigma2=-8.0, a=0.2):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        set_posterior(self, nn.Linear(in_features, out_features, bias), initial_log_sigma2, a)

    @classmethod
    def from_linear(cls, linear, **settings):
        """The layer with the weights of ``linear`` as posterior means."""
        sizes = linear.in_features, linear.out_features, linear.bias is not None
        return copy_weights(linear, lambda: cls(*sizes, **settings))

    def forward(self, x):
        """Outputs (N, out_features) for ``x`` (N, in_features)."""
        mean = F.linear(x, self.weight_mu, self.bias_mu)
        if not (self.training or self.sampling):
            return mean
        return draw(mean, F.linear(x.square(), self.weight_log_sigma2.exp()))

    @property
    def a(self):
        """The layer's largest code, a scalar tensor."""
        return 0.01 * self.hundred_a

    @property
    def log_alpha(self):
        """The log of alpha = σ² / θ², of every weight."""
        return self.weight_log_sigma2 - (self.weight_mu.square() + 1e-8).log()

    def kl(self):
        """KL(q ‖ quantizing prior) of the weights in nats, up to a constant; approximate.

        For the codebook [−a, 0, a] it is that of θ / s and σ / s for [−r, 0, r], s = a / r.
        See :func:`multi_spike_kl`.
        """
        s = self.a / REFERENCE
        return multi_spike_kl(self.weight_mu / s, self.weight_log_sigma2 - 2 * s.log()).sum()

    def config(self):
        """The constructor's arguments."""
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias_mu is not None,
            "initial_log_sigma2": self.initial_log_sigma2,
            "a": self.initial_a,
        }


class VNQConv2d(nn.Module):
    """A Conv2d layer that learns ternary weights, as in :class:`VNQLinear`.

    In training every output position has draws of its own (the covariance of the positions is
    neglected); while ``sampling`` the layer draws its weights, once for each pass.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: a number, or (height, width).
        stride: as in ``nn.Conv2d``.
        padding: zero padding, as in ``nn.Conv2d``.
        dilation: as in ``nn.Conv2d``.
        groups: as in ``nn.Conv2d``.
        bias: whether there are biases.
        initial_log_sigma2: log variance of every posterior at the start.
        a: the codebook is [−a, 0, a] at the start; positive.

    Raises:
        ValueError: ``a`` is not positive.
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        *,
        initial_log_sigma2=-8.0,
        a=0.2,
    ):
        super().__init__()
        conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.geometry = conv.kernel_size, geometry_of(conv)
        set_posterior(self, conv, initial_log_sigma2, a)

    @classmethod
    def from_conv2d(cls, conv, **settings):
        """The layer with the weights of ``conv`` as posterior means."""
        sizes = conv.in_channels, conv.out_channels, conv.kernel_size
        settings |= geometry_of(conv) | {"bias": conv.bias is not None}
        return copy_weights(conv, lambda: cls(*sizes, **settings))

    def forward(self, x):
        """Outputs (N, out_channels, H', W') for ``x`` (N, in_channels, H, W)."""
        if self.sampling:
            weight = draw_weights(self.weight_mu, self.weight_log_sigma2)
            return F.conv2d(x, weight, self.bias_mu, **self.geometry)
        mean = F.conv2d(x, self.weight_mu, self.bias_mu, **self.geometry)
        if not self.training:
            return mean
        return draw(mean, F.conv2d(x.square(), self.weight_log_sigma2.exp(), **self.geometry))

    a = VNQLinear.a
    log_alpha = VNQLinear.log_alpha
    kl = VNQLinear.kl

    def config(self):
        """The constructor's arguments."""
        return {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "kernel_size": self.kernel_size,
            **self.geometry,
            "bias": self.bias_mu is not None,
            "initial_log_sigma2": self.initial_log_sigma2,
            "a": self.initial_a,
        }


def clip_vnq(model, progress=None):
    """The ``after_step`` of VNQ: keeps its parameters where the approximation of the KL is good.

    log σ² stays in [−10, 1], a is at least 0.05 (at a = 0 all spikes would be one), and θ stays in
    the outer funnels, [−a − 0.223 σ, a + 0.223 σ]: no spike draws what is beyond.

    Args:
        model: a network with VNQ layers; they are changed.
        progress: not used.

    Raises:
        ValueError: no VNQ layer.
    """
    with torch.no_grad():
        for layer in vnq_layers(model):
            layer.weight_log_sigma2.clamp_(-10, 1)
            layer.hundred_a.clamp_(min=5)
            edge = (0.5 * layer.weight_log_sigma2).exp_().mul_(FUNNEL).add_(layer.a)
            layer.weight_mu.clamp_(-edge, edge)


def vnq_layers(model):
    """The VNQ layers of a network, or an error if there are none."""
    layers = [module for module in model.modules() if isinstance(module, VNQLinear | VNQConv2d)]
    if not layers:
        raise ValueError("the network has no VNQ layer")
    return layers


def set_posterior(layer, plain, initial_log_sigma2, a):
    """Give ``layer`` the weight of ``plain`` as means, equal log variances, its bias, and a.

    What is trained is 100 a: an optimizer such as Adam, whose steps have the size of the learning
    rate, then moves a by a hundredth of it, as the paper asks.
    """
    checks.positive("a", a)
    layer.initial_log_sigma2, layer.initial_a = float(initial_log_sigma2), float(a)
    layer.weight_mu, layer.bias_mu = plain.weight, plain.bias
    layer.weight_log_sigma2 = initial_variances(plain.weight, initial_log_sigma2)
    layer.hundred_a = nn.Parameter(torch.tensor(100.0 * a))
    layer.sampling = False
