"""Bayes by backprop: an independent Gaussian posterior for every weight, a Gaussian prior for all.

Graves (2011) and Blundell et al. (2015), trained with the local reparametrization of Kingma et al.
(2015): a unit's input is drawn, not its weights.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from uecompress import checks
from uecompress.bayes.convert import copy_weights, geometry_of, initial_variances
from uecompress.bayes.gaussian import draw, draw_weights


class MeanFieldLinear(nn.Module):
    """A Linear layer whose weights and biases are w ~ N(mu, sigma²), each with its own two numbers.

    The prior is N(prior_mu, exp(prior_log_sigma2)), one for the layer; it starts as
    N(0, prior_sigma²), and :func:`graves_prior` moves it. The layer draws in training and while
    ``sampling`` is True, a fresh set of weights for every example; otherwise it uses the means.

    Args:
        in_features: size of the input.
        out_features: size of the output.
        bias: whether there are biases.
        prior_sigma: standard deviation of the prior at the start, positive.
        initial_log_sigma2: log variance of every posterior at the start.

    Raises:
        ValueError: ``prior_sigma`` is not positive, ``initial_log_sigma2`` is not finite.
    """

    def __init__(
        self, in_features, out_features, bias=True, *, prior_sigma=1.0, initial_log_sigma2=-6.0
    ):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        set_posterior(self, nn.Linear(in_features, out_features, bias), initial_log_sigma2)
        set_prior(self, prior_sigma)

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
        variances = self.weight_log_sigma2.exp(), exp(self.bias_log_sigma2)
        return draw(mean, F.linear(x.square(), *variances))

    def kl(self):
        """KL(posterior ‖ prior) of the weights and biases in nats, exact."""
        return mean_field_kl(self)

    @property
    def log_alpha(self):
        """The log of alpha = sigma² / mu², of every weight; infinite where mu = 0."""
        return self.weight_log_sigma2 - self.weight_mu.square().log()

    def config(self):
        """The constructor's arguments."""
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias_mu is not None,
            "prior_sigma": self.prior_sigma,
            "initial_log_sigma2": self.initial_log_sigma2,
        }


class MeanFieldConv2d(nn.Module):
    """A Conv2d layer with posteriors N(mu, sigma²), as in :class:`MeanFieldLinear`.

    In training every output position has draws of its own, though all share the weights: the
    positions' covariance is neglected, as in Kingma et al. and everyone since. While ``sampling``
    the layer draws its weights, once for each pass.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: a number, or (height, width).
        stride: as in ``nn.Conv2d``.
        padding: zero padding, as in ``nn.Conv2d``.
        dilation: as in ``nn.Conv2d``.
        groups: as in ``nn.Conv2d``.
        bias: whether there are biases.
        prior_sigma: standard deviation of the prior at the start, positive.
        initial_log_sigma2: log variance of every posterior at the start.

    Raises:
        ValueError: ``prior_sigma`` is not positive, ``initial_log_sigma2`` is not finite.
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
        prior_sigma=1.0,
        initial_log_sigma2=-6.0,
    ):
        super().__init__()
        conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.geometry = conv.kernel_size, geometry_of(conv)
        set_posterior(self, conv, initial_log_sigma2)
        set_prior(self, prior_sigma)

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
            bias = draw_weights(self.bias_mu, self.bias_log_sigma2)
            return F.conv2d(x, weight, bias, **self.geometry)
        mean = F.conv2d(x, self.weight_mu, self.bias_mu, **self.geometry)
        if not self.training:
            return mean
        variances = self.weight_log_sigma2.exp(), exp(self.bias_log_sigma2)
        return draw(mean, F.conv2d(x.square(), *variances, **self.geometry))

    kl = MeanFieldLinear.kl
    log_alpha = MeanFieldLinear.log_alpha

    def config(self):
        """The constructor's arguments."""
        return {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "kernel_size": self.kernel_size,
            **self.geometry,
            "bias": self.bias_mu is not None,
            "prior_sigma": self.prior_sigma,
            "initial_log_sigma2": self.initial_log_sigma2,
        }


def set_posterior(layer, plain, initial_log_sigma2):
    """Give ``layer`` the means of ``plain``, its weight and bias, and equal log variances."""
    layer.initial_log_sigma2 = float(initial_log_sigma2)  # a NumPy number cannot be stored
    for name, mu in {"weight": plain.weight, "bias": plain.bias}.items():
        layer.register_parameter(f"{name}_mu", mu)
        layer.register_parameter(f"{name}_log_sigma2", initial_variances(mu, initial_log_sigma2))
    layer.sampling = False


def set_prior(layer, prior_sigma):
    """Give ``layer`` the prior N(0, prior_sigma²)."""
    checks.positive("prior_sigma", prior_sigma)
    layer.prior_sigma = float(prior_sigma)
    layer.register_buffer("prior_mu", torch.tensor(0.0))
    layer.register_buffer("prior_log_sigma2", torch.tensor(2 * math.log(prior_sigma)))


def posteriors(layer):
    """The (mu, log_sigma2) of all that a mean-field layer draws: weights and, if any, biases."""
    pairs = [(layer.weight_mu, layer.weight_log_sigma2), (layer.bias_mu, layer.bias_log_sigma2)]
    return [pair for pair in pairs if pair[0] is not None]


def mean_field_kl(layer):
    """Σ ½ [(σ² + (μ − m)²) / s² − 1 − log σ² + log s²] for the layer's prior N(m, s²)."""
    total = 0
    for mu, log_sigma2 in posteriors(layer):
        spread = log_sigma2.exp().sum() + (mu - layer.prior_mu).square().sum()
        logs = log_sigma2.sum() - mu.numel() * layer.prior_log_sigma2
        total = total + 0.5 * (spread / layer.prior_log_sigma2.exp() - mu.numel() - logs)
    return total


def exp(log_sigma2):
    """The variance of biases, None where there are none."""
    return None if log_sigma2 is None else log_sigma2.exp()
