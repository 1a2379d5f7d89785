"""Group horseshoe layers (Louizos et al. 2017, eq. 12 to 16: "BC-GHS").

The scale of group i is z_i = s z̃_i, where s ~ C⁺(0, τ₀) is the layer's and z̃_i ~ C⁺(0, 1) the
group's, both half-Cauchy. The square of a half-Cauchy variable is a Gamma variable times an
inverse Gamma variable (eq. 13),

    s² = s_a s_b,      s_a ~ G(½, τ₀²),  s_b ~ IG(½, 1);
    z̃_i² = α_i β_i,   α_i ~ G(½, 1),    β_i ~ IG(½, 1),

with the *scale* of the Gamma second, not its rate. All four have log-normal posteriors, hence so
has z_i: its logarithm is the half sum of four Gaussians, with a quarter of their variances.
"""

import math

import torch
from torch import nn

from uecompress import checks
from uecompress.bayes.groups import GroupConv2d, GroupLinear


class _HorseshoeScales:
    """Log-normal posteriors of s_a and s_b, one each, and of alpha and beta, one for each group."""

    def make_scales(self, groups, tau_0=1e-5):
        """Create the parameters.

        s_a starts at the scale of its prior, τ₀², and s_b, whose prior has the heavy tail, at
        1 / τ₀². So s is about 1; starting s_a there would cost 1 / τ₀² nats.
        """
        self.tau_0 = tau_0 = checks.positive("tau_0", tau_0)
        for name, size in {"s_a": (), "s_b": (), "alpha": (groups,), "beta": (groups,)}.items():
            setattr(self, f"{name}_mu", nn.Parameter(torch.zeros(size)))
            setattr(self, f"{name}_log_sigma2", nn.Parameter(torch.full(size, -9.0)))
        self.s_a_mu.data.fill_(2 * math.log(tau_0))
        self.s_b_mu.data.fill_(-2 * math.log(tau_0))
        self.beta_mu.data.sub_(self.log_scale()[1].detach())  # E[z] = exp(mean + variance/2) = 1

    def log_scale(self):
        """Mean and variance of log z_i, each (groups,)."""
        mean = 0.5 * (self.s_a_mu + self.s_b_mu + self.alpha_mu + self.beta_mu)
        of_s = self.s_a_log_sigma2.exp() + self.s_b_log_sigma2.exp()
        variance = 0.25 * (of_s + self.alpha_log_sigma2.exp() + self.beta_log_sigma2.exp())
        return mean, variance

    def draw_scales(self, rows):
        """Draws (rows, groups); s is drawn once for a row, and shared by its groups."""
        mean, _ = self.log_scale()
        of_s = 0.5 * (self.s_a_log_sigma2.exp() + self.s_b_log_sigma2.exp()).sqrt()
        of_z = 0.5 * (self.alpha_log_sigma2.exp() + self.beta_log_sigma2.exp()).sqrt()
        noise = torch.randn(rows, len(mean) + 1).to(mean)  # the last column is for s
        return (torch.addcmul(mean, of_z, noise[:, :-1]) + of_s * noise[:, -1:]).exp()

    def scale_mean(self):
        """E[z] = exp(mean + variance/2) of a log-normal variable; exp(mean) is only its median."""
        mean, variance = self.log_scale()
        return (mean + 0.5 * variance).exp()

    def scale_variance(self):
        """V[z] = (exp(variance) − 1) E[z]²."""
        mean, variance = self.log_scale()
        return variance.expm1() * (2 * mean + variance).exp()

    def negative_log_mode(self):
        """−log of the mode of q(z), exp(mean − variance), which the authors compare by eye.

        It has no natural zero: s and the weights themselves can trade any factor with z̃.
        """
        mean, variance = self.log_scale()
        return (variance - mean).detach()

    @torch.no_grad()
    def prune_score(self):
        """log α of a whole group, noise over signal: Σ V(w) over Σ E[w]² (eq. 10 and 11).

        Groups where it is high are removed. Unlike the mode of z it is the same for every way to
        write w = s z̃ w̃, so one threshold does for all layers.
        """
        return (
            self.sum_over_group(self.weight_variance()).log()
            - (self.sum_over_group(self.dense_weight.square()) + 1e-30).log()
        )

    def scale_kl(self):
        """KL(q ‖ p) of s_a, s_b, alpha and beta in nats, exact."""
        return (
            log_normal_gamma_kl(self.s_a_mu, self.s_a_log_sigma2, 0.5, self.tau_0**2)
            + log_normal_inverse_gamma_kl(self.s_b_mu, self.s_b_log_sigma2, 0.5, 1)
            + log_normal_gamma_kl(self.alpha_mu, self.alpha_log_sigma2, 0.5, 1).sum()
            + log_normal_inverse_gamma_kl(self.beta_mu, self.beta_log_sigma2, 0.5, 1).sum()
        )


class HorseshoeLinear(_HorseshoeScales, GroupLinear):
    """A Linear layer whose input neurons prune themselves.

    It draws in training and while ``sampling`` is True, fresh scales and weights for every example;
    otherwise it uses the means.

    Args:
        in_features: size of the input; each entry has a scale.
        out_features: size of the output.
        bias: whether there are biases, which have a standard normal prior and no scale.
        initial_log_sigma2: log variance of every weight and bias at the start; −9 if not given.
        tau_0: scale of the prior of the layer's common scale, positive; 10⁻⁵ if not given.

    Raises:
        TypeError: an argument that is no number.
        ValueError: a size that is not a whole number of at least 1; ``tau_0`` is not positive,
            ``initial_log_sigma2`` is not finite.
    """


class HorseshoeConv2d(_HorseshoeScales, GroupConv2d):
    """A Conv2d layer whose filters prune themselves, as in :class:`HorseshoeLinear`.

    The arguments are those of :class:`Conv2dLayer <uecompress.networks.Conv2dLayer>`, and
    ``initial_log_sigma2`` and ``tau_0`` as in :class:`HorseshoeLinear`. Each filter has a scale,
    which its bias shares.
    """


def log_normal_gamma_kl(mu, log_sigma2, shape, scale):
    """KL(LN(μ, σ²) ‖ Gamma(shape a, scale b)) in nats, of every entry.

    a log b + log Γ(a) − a μ + exp(μ + σ²/2) / b − ½ (log 2πσ² + 1).

    Raises:
        ValueError: shapes that differ, a ``shape`` or ``scale`` that is not positive.
    """
    checks.same_shape(mu=mu, log_sigma2=log_sigma2)
    shape, scale = checks.positive("shape", shape), checks.positive("scale", scale)
    energy = (mu + 0.5 * log_sigma2.exp() - math.log(scale)).exp()
    constant = shape * math.log(scale) + math.lgamma(shape)
    return constant - shape * mu + energy - _log_normal_entropy(log_sigma2)


def log_normal_inverse_gamma_kl(mu, log_sigma2, shape, scale):
    """KL(LN(μ, σ²) ‖ inverse Gamma(shape a, scale b)) in nats, of every entry.

    −a log b + log Γ(a) + a μ + b exp(−μ + σ²/2) − ½ (log 2πσ² + 1).

    Raises:
        ValueError: shapes that differ, a ``shape`` or ``scale`` that is not positive.
    """
    checks.same_shape(mu=mu, log_sigma2=log_sigma2)
    shape, scale = checks.positive("shape", shape), checks.positive("scale", scale)
    energy = scale * (0.5 * log_sigma2.exp() - mu).exp()
    constant = math.lgamma(shape) - shape * math.log(scale)
    return constant + shape * mu + energy - _log_normal_entropy(log_sigma2)


def _log_normal_entropy(log_sigma2):
    """½ (log 2πσ² + 1): the entropy of the Gaussian log of the variable."""
    return 0.5 * (math.log(2 * math.pi) + log_sigma2 + 1)
