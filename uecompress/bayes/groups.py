"""Layers whose weights share random scales: w = z · w̃, one scale z for each group of weights.

The group of a Linear layer is all weights that leave one input neuron; that of a Conv2d is a filter
with its bias. A kind of layer is a distribution of z, in a file of its own:
:mod:`~uecompress.bayes.group_jeffreys` and :mod:`~uecompress.bayes.horseshoe` (Louizos, Ullrich
and Welling 2017, "Bayesian compression for deep learning").

Given z the weights have the posterior N(z_i μ_ij, z_i² σ_ij²) and the prior N(0, z_i²). The scale
cancels between the two: whatever z is, the weights' KL is that to a standard normal distribution
(eq. 8), and ``weight_mu`` and ``weight_log_sigma2`` are the numbers of w̃.
"""

import torch
from torch import nn
from torch.nn import functional as F

from uecompress.bayes.convert import copy_weights, geometry_of, initial_variances, plain_layer
from uecompress.bayes.gaussian import draw, draw_weights
from uecompress.divergences import standard_normal_kl


class GroupLayer(nn.Module):
    """What all these layers share.

    A kind adds ``make_scales(groups, **settings)``, which creates the parameters of q(z) such that
    E[z] = 1; ``draw_scales(rows)``, of shape (rows, groups); ``scale_mean()``, ``scale_variance()``
    and ``prune_score()``, of shape (groups,); and ``scale_kl()``.
    """

    def kl(self):
        """KL(q ‖ p) in nats of the weights and biases, which is exact, and of the scales."""
        total = self.scale_kl() + standard_normal_kl(self.weight_mu, self.weight_log_sigma2)
        if self.bias_mu is not None:
            total = total + standard_normal_kl(self.bias_mu, self.bias_log_sigma2)
        return total

    def weight_mean(self):
        """The marginal posterior means of the weights, E[z_i] μ_ij (eq. 10)."""
        return self.per_group(self.scale_mean()) * self.weight_mu

    def weight_variance(self):
        """Their marginal variances V(w_ij) = V(z_i) (σ_ij² + μ_ij²) + σ_ij² E[z_i]² (eq. 11)."""
        scales = self.per_group(self.scale_mean()), self.per_group(self.scale_variance())
        return product_variance(*scales, self.weight_mu, self.weight_log_sigma2.exp())

    def set_posterior(self, plain, groups, initial_log_sigma2, settings):
        """Take the means of ``plain``, equal log variances, and scales around 1."""
        self.initial_log_sigma2 = float(initial_log_sigma2)
        self.settings = {name: float(value) for name, value in settings.items()}
        for name, mu in {"weight": plain.weight, "bias": plain.bias}.items():
            self.register_parameter(f"{name}_mu", mu)
            log_sigma2 = initial_variances(mu, initial_log_sigma2)
            self.register_parameter(f"{name}_log_sigma2", log_sigma2)
        self.make_scales(groups, **settings)
        self.sampling = False


class GroupLinear(GroupLayer):
    """A Linear layer with a scale for each input neuron; biases have no scale."""

    def __init__(
        self, in_features, out_features, bias=True, *, initial_log_sigma2=-9.0, **settings
    ):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        linear = nn.Linear(in_features, out_features, bias)
        self.set_posterior(linear, in_features, initial_log_sigma2, settings)

    @classmethod
    def from_linear(cls, linear, **settings):
        """The layer with the weights of ``linear`` as posterior means."""
        sizes = linear.in_features, linear.out_features, linear.bias is not None
        return copy_weights(linear, lambda: cls(*sizes, **settings))

    def forward(self, x):
        """Outputs (N, out_features) for ``x`` (N, in_features)."""
        if not (self.training or self.sampling):
            return F.linear(x, self.weight_mean(), self.bias_mu)
        x = x * self.draw_scales(x[..., 0].numel()).view_as(x)  # every row has scales of its own
        bias_variance = None if self.bias_mu is None else self.bias_log_sigma2.exp()
        variance = F.linear(x * x, self.weight_log_sigma2.exp(), bias_variance)
        return draw(F.linear(x, self.weight_mu, self.bias_mu), variance)

    @torch.no_grad()
    def to_plain(self, keep=None):
        """An ``nn.Linear`` with the posterior means (eq. 10).

        Args:
            keep: (in_features,) bool, False for the inputs whose weights become zero.
        """
        plain = plain_layer(self, self.weight_mean())
        if keep is not None:
            plain.weight[:, ~keep] = 0
        return plain

    def per_group(self, scales):
        """(in_features,), in line with the weight's columns."""
        return scales

    def sum_over_group(self, values):
        """(out_features, in_features) -> (in_features,)."""
        return values.sum(dim=0)

    def config(self):
        """The constructor's arguments."""
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias_mu is not None,
            "initial_log_sigma2": self.initial_log_sigma2,
            **self.settings,
        }


class GroupConv2d(GroupLayer):
    """A Conv2d layer with a scale for each filter.

    The scale of a filter multiplies its bias too, so that a filter without scale is silent. In
    training every output position has draws of w̃ of its own (the covariance of the positions is
    neglected); while ``sampling`` the layer draws w̃, once for each pass.
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
        initial_log_sigma2=-9.0,
        **settings,
    ):
        super().__init__()
        conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.geometry = conv.kernel_size, geometry_of(conv)
        self.set_posterior(conv, out_channels, initial_log_sigma2, settings)

    @classmethod
    def from_conv2d(cls, conv, **settings):
        """The layer with the weights of ``conv`` as posterior means."""
        sizes = conv.in_channels, conv.out_channels, conv.kernel_size
        settings |= geometry_of(conv) | {"bias": conv.bias is not None}
        return copy_weights(conv, lambda: cls(*sizes, **settings))

    def forward(self, x):
        """Outputs (N, out_channels, H', W') for ``x`` (N, in_channels, H, W)."""
        if not (self.training or self.sampling):
            return F.conv2d(x, self.weight_mean(), self.bias_mean(), **self.geometry)
        z = self.draw_scales(len(x))[:, :, None, None]  # (N, filters) -> (N, filters, 1, 1)
        if self.sampling:
            weight = draw_weights(self.weight_mu, self.weight_log_sigma2)
            bias = draw_weights(self.bias_mu, self.bias_log_sigma2)
            return F.conv2d(x, weight, bias, **self.geometry) * z
        mean = F.conv2d(x, self.weight_mu, self.bias_mu, **self.geometry)
        bias_variance = None if self.bias_mu is None else self.bias_log_sigma2.exp()
        sigma2 = self.weight_log_sigma2.exp()
        variance = F.conv2d(x * x, sigma2, bias_variance, **self.geometry)
        return draw(mean, variance) * z

    @torch.no_grad()
    def to_plain(self, keep=None):
        """An ``nn.Conv2d`` with the posterior means (eq. 10).

        Args:
            keep: (out_channels,) bool, False for the filters that become zero, bias included.
        """
        plain = plain_layer(self, self.weight_mean())
        if plain.bias is not None:
            plain.bias.copy_(self.bias_mean())
        if keep is not None:
            for parameter in plain.parameters():
                parameter[~keep] = 0
        return plain

    def per_group(self, scales):
        """(filters,) -> (filters, 1, 1, 1), in line with the weight's first axis."""
        return scales[:, None, None, None]

    def sum_over_group(self, values):
        """(filters, channels, height, width) -> (filters,)."""
        return values.sum(dim=(1, 2, 3))

    def bias_mean(self):
        """The marginal posterior means of the biases, E[z_i] μ_i; None without biases."""
        return None if self.bias_mu is None else self.scale_mean() * self.bias_mu

    def bias_variance(self):
        """The marginal posterior variances of the biases (eq. 11); None without biases."""
        if self.bias_mu is None:
            return None
        scales = self.scale_mean(), self.scale_variance()
        return product_variance(*scales, self.bias_mu, self.bias_log_sigma2.exp())

    def config(self):
        """The constructor's arguments."""
        return {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "kernel_size": self.kernel_size,
            **self.geometry,
            "bias": self.bias_mu is not None,
            "initial_log_sigma2": self.initial_log_sigma2,
            **self.settings,
        }


def product_variance(z_mean, z_variance, mu, sigma2):
    """The variance of z · w̃ for independent factors."""
    return z_variance * (sigma2 + mu.square()) + sigma2 * z_mean.square()
