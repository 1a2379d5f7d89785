"""Group normal-Jeffreys layers (Louizos et al. 2017, eq. 5 to 11: "BC-GNJ").

The scale of a group has the log-uniform prior p(z) ∝ 1 / ``|z|`` and the posterior N(μ_z, σ_z²).
A group whose α = σ_z² / μ_z² is large is noise, and is removed.

The authors scale images to [−1, 1]. Black pixels are then −1 and not 0, so that the layer has to
find out by itself which pixels carry nothing.
"""

import torch
from torch import nn

from uecompress.bayes.groups import GroupConv2d, GroupLinear
from uecompress.bayes.log_uniform import log_uniform_kl


class _JeffreysScales:
    """q(z_i) = N(``z_mu``, exp ``z_log_sigma2``) and p(z_i) ∝ 1 / ``|z_i|`` for every group i."""

    def make_scales(self, groups):
        """Create the parameters, with mean 1 and variance e⁻⁹."""
        self.z_mu = nn.Parameter(torch.ones(groups))
        self.z_log_sigma2 = nn.Parameter(torch.full((groups,), -9.0))

    def draw_scales(self, rows):
        """Independent draws (rows, groups)."""
        noise = torch.randn(rows, len(self.z_mu)).to(self.z_mu)
        return torch.addcmul(self.z_mu, (0.5 * self.z_log_sigma2).exp(), noise)

    def scale_mean(self):
        """E[z]."""
        return self.z_mu

    def scale_variance(self):
        """V[z]."""
        return self.z_log_sigma2.exp()

    @property
    def log_alpha(self):
        """The log of α = σ_z² / μ_z², of every group."""
        return self.z_log_sigma2 - (self.z_mu.square() + 1e-8).log()

    def prune_score(self):
        """log α; the groups where it is high are removed."""
        return self.log_alpha.detach()

    def scale_kl(self):
        """KL(q(z) ‖ p(z)) in nats up to a constant, off by at most 0.0095 for each group."""
        return log_uniform_kl(self.log_alpha).sum()


class GroupJeffreysLinear(_JeffreysScales, GroupLinear):
    """A Linear layer whose input neurons prune themselves.

    It draws in training and while ``sampling`` is True, fresh scales and weights for every example;
    otherwise it uses the means.

    Args:
        in_features: size of the input; each entry has a scale.
        out_features: size of the output.
        bias: whether there are biases, which have a standard normal prior and no scale.
        initial_log_sigma2: log variance of every weight and bias at the start; −9 if not given.

    Raises:
        TypeError: an argument that is no number.
        ValueError: a size that is not a whole number of at least 1; ``initial_log_sigma2`` is not
            finite.
    """


class GroupJeffreysConv2d(_JeffreysScales, GroupConv2d):
    """A Conv2d layer whose filters prune themselves, as in :class:`GroupJeffreysLinear`.

    The arguments are those of :class:`Conv2dLayer <uecompress.networks.Conv2dLayer>`, and
    ``initial_log_sigma2`` as in :class:`GroupJeffreysLinear`. Each filter has a scale, which its
    bias shares.
    """
