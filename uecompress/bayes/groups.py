"""Layers whose weights share random scales: w = z · w̃, one scale z for each group of weights.

The group of a Linear layer is all weights that leave one input neuron; that of a Conv2d is a filter
with its bias. A kind of layer is a distribution of z, in a file of its own:
:mod:`~uecompress.bayes.group_jeffreys` and :mod:`~uecompress.bayes.horseshoe` (Louizos, Ullrich
and Welling 2017, "Bayesian compression for deep learning").

Given z the weights have the posterior N(z_i μ_ij, z_i² σ_ij²) and the prior N(0, z_i²). The scale
cancels between the two: whatever z is, the weights' KL is that to a standard normal distribution
(eq. 8), and ``weight_mu`` and ``weight_log_sigma2`` are the numbers of w̃.
"""

from abc import abstractmethod

import torch

from uecompress.bayes.gaussian import draw
from uecompress.bayes.gaussian_layer import GaussianLayer
from uecompress.divergences import standard_normal_kl
from uecompress.networks import Conv2dLayer, LinearLayer


class GroupLayer(GaussianLayer):
    """What all these layers share: posteriors of w̃, weights and biases, given the scales."""

    def start(self, *, initial_log_sigma2=-9.0, **settings):
        """Create the posteriors, and scales around 1."""
        self.start_posterior(initial_log_sigma2, of_biases=True)
        self.make_scales(self.group_count, **settings)
        self.settings |= {name: float(value) for name, value in settings.items()}

    @abstractmethod
    def make_scales(self, groups):
        """Create the parameters of q(z) for so many groups, such that E[z] = 1."""

    @abstractmethod
    def draw_scales(self, rows):
        """Independent draws of z, (rows, groups)."""

    @abstractmethod
    def scale_mean(self):
        """E[z], (groups,)."""

    @abstractmethod
    def scale_variance(self):
        """V[z], (groups,)."""

    @abstractmethod
    def prune_score(self):
        """How little each group carries, (groups,)."""

    @abstractmethod
    def scale_kl(self):
        """KL(q(z) ‖ p(z)) in nats, of all groups."""

    def kl(self):
        """KL(q ‖ p) in nats of the weights and biases, which is exact, and of the scales."""
        total = self.scale_kl() + standard_normal_kl(self.weight_mu, self.weight_log_sigma2)
        if self.bias_mu is not None:
            total = total + standard_normal_kl(self.bias_mu, self.bias_log_sigma2)
        return total

    @property
    def dense_weight(self):
        """The marginal posterior means of the weights, E[z_i] μ_ij (eq. 10)."""
        return self.per_group(self.scale_mean()) * self.weight_mu

    def weight_variance(self):
        """Their marginal variances V(w_ij) = V(z_i) (σ_ij² + μ_ij²) + σ_ij² E[z_i]² (eq. 11)."""
        scales = self.per_group(self.scale_mean()), self.per_group(self.scale_variance())
        return _product_variance(*scales, self.weight_mu, self.weight_log_sigma2.exp())


class GroupLinear(GroupLayer, LinearLayer):
    """A Linear layer with a scale for each input neuron; biases have no scale."""

    @property
    def group_count(self):
        """The number of inputs."""
        return self.in_features

    def forward(self, x):
        """Outputs (N, out_features) for ``x`` (N, in_features)."""
        if not (self.training or self.sampling):
            return self.product(x, self.dense_weight, self.bias_mu)
        x = x * self.draw_scales(x[..., 0].numel()).view_as(x)  # every row has scales of its own
        variance = self.product(x * x, self.weight_log_sigma2.exp(), self.bias_sigma2)
        return draw(self.product(x, self.weight_mu, self.bias_mu), variance)

    @torch.no_grad()
    def to_plain(self, keep=None):
        """An ``nn.Linear`` with the posterior means (eq. 10).

        Args:
            keep: (in_features,) bool, False for the inputs whose weights become zero.
        """
        plain = self.plain_layer(self.dense_weight)
        if keep is not None:
            plain.weight[:, ~keep] = 0
        return plain

    def per_group(self, scales):
        """(in_features,), in line with the weight's columns."""
        return scales

    def sum_over_group(self, values):
        """(out_features, in_features) -> (in_features,)."""
        return values.sum(dim=0)


class GroupConv2d(GroupLayer, Conv2dLayer):
    """A Conv2d layer with a scale for each filter.

    The scale of a filter multiplies its bias too, so that a filter without scale is silent. In
    training every output position has draws of w̃ of its own (the covariance of the positions is
    neglected); while ``sampling`` the layer draws w̃, once for each pass.
    """

    @property
    def group_count(self):
        """The number of filters."""
        return self.out_channels

    def forward(self, x):
        """Outputs (N, out_channels, H', W') for ``x`` (N, in_channels, H, W)."""
        if not (self.training or self.sampling):
            return self.product(x, self.dense_weight, self.dense_bias)
        z = self.draw_scales(len(x))[:, :, None, None]  # (N, filters) -> (N, filters, 1, 1)
        return super().forward(x) * z

    @torch.no_grad()
    def to_plain(self, keep=None):
        """An ``nn.Conv2d`` with the posterior means (eq. 10).

        Args:
            keep: (out_channels,) bool, False for the filters that become zero, bias included.
        """
        plain = self.plain_layer(self.dense_weight)
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

    @property
    def dense_bias(self):
        """The marginal posterior means of the biases, E[z_i] μ_i; None without biases."""
        return None if self.bias_mu is None else self.scale_mean() * self.bias_mu

    def bias_variance(self):
        """The marginal posterior variances of the biases (eq. 11); None without biases."""
        if self.bias_mu is None:
            return None
        scales = self.scale_mean(), self.scale_variance()
        return _product_variance(*scales, self.bias_mu, self.bias_sigma2)


def _product_variance(z_mean, z_variance, mu, sigma2):
    """The variance of z · w̃ for independent factors."""
    return z_variance * (sigma2 + mu.square()) + sigma2 * z_mean.square()
