"""Sparse variational dropout (Molchanov, Ashukha and Vetrov, 2017).

Each weight has the posterior N(theta, sigma²) and the log-uniform prior p(w) ∝ 1 / ``|w|``. The KL
depends on alpha = sigma² / theta² alone and falls to 0 as alpha grows: a weight that the data do
not need becomes noise, and is pruned. The noise is parametrized by sigma² ("additive"), not by
alpha, which keeps the variance of the gradients down.

The prior cannot be normalized, so neither can the posterior be a true one (Hron et al. 2018): take
the KL as a regularizer that prunes, not as the length of a code.
"""

from torch import nn
from torch.nn import functional as F

from uecompress.bayes.convert import copy_weights, geometry_of, initial_variances
from uecompress.bayes.gaussian import draw, draw_weights
from uecompress.bayes.log_uniform import log_uniform_kl


class SparseVDLinear(nn.Module):
    """A Linear layer with sparse variational dropout; biases are ordinary parameters.

    It draws in training and while ``sampling`` is True, fresh weights for every example; otherwise
    it uses the means ``weight_mu`` (the paper's theta), those included that pruning would remove.

    Args:
        in_features: size of the input.
        out_features: size of the output.
        bias: whether there are biases.
        initial_log_sigma2: log variance of every posterior at the start. At the released value,
            −10, training begins almost without noise.

    Raises:
        ValueError: ``initial_log_sigma2`` is not finite.
    """

    def __init__(self, in_features, out_features, bias=True, *, initial_log_sigma2=-10.0):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        set_posterior(self, nn.Linear(in_features, out_features, bias), initial_log_sigma2)

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
        return draw(mean, F.linear(x.square(), self.weight_log_sigma2.exp()))  # eq. 17

    @property
    def log_alpha(self):
        """The log of alpha = sigma² / theta², of every weight, clipped to [−8, 8]."""
        return (self.weight_log_sigma2 - (self.weight_mu.square() + 1e-8).log()).clamp(-8, 8)

    def kl(self):
        """KL(posterior ‖ log-uniform prior) of the weights in nats, up to a constant.

        The constant is chosen so that the KL vanishes as alpha grows. The approximation is off by
        less than 0.01 nats a weight (eq. 14, see :func:`log_uniform_kl`).
        """
        return log_uniform_kl(self.log_alpha).sum()

    def config(self):
        """The constructor's arguments."""
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias_mu is not None,
            "initial_log_sigma2": self.initial_log_sigma2,
        }


class SparseVDConv2d(nn.Module):
    """A Conv2d layer with sparse variational dropout, as in :class:`SparseVDLinear`.

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
        initial_log_sigma2=-10.0,
    ):
        super().__init__()
        conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.geometry = conv.kernel_size, geometry_of(conv)
        set_posterior(self, conv, initial_log_sigma2)

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

    log_alpha = SparseVDLinear.log_alpha
    kl = SparseVDLinear.kl

    def config(self):
        """The constructor's arguments."""
        return {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "kernel_size": self.kernel_size,
            **self.geometry,
            "bias": self.bias_mu is not None,
            "initial_log_sigma2": self.initial_log_sigma2,
        }


def set_posterior(layer, plain, initial_log_sigma2):
    """Give ``layer`` the weight of ``plain`` as means, equal log variances, and its bias."""
    layer.initial_log_sigma2 = float(initial_log_sigma2)
    layer.weight_mu, layer.bias_mu = plain.weight, plain.bias
    layer.weight_log_sigma2 = initial_variances(plain.weight, initial_log_sigma2)
    layer.sampling = False
