"""The KL from a Gaussian to the log-uniform prior p(w) ∝ 1 / ``|w|``, exact and approximate.

For the posterior N(theta, alpha theta²) it depends on alpha alone: the prior looks the same at
every scale, and it is the only one that does. No such prior can be normalized, so each KL is known
up to a constant; here it vanishes as alpha grows.
"""

import math

import torch
from scipy.special import digamma
from scipy.stats import poisson

from uecompress import checks

K1, K2, K3 = 0.63576, 1.87320, 1.48695  # Molchanov et al. 2017, eq. 14
_C1, _C2, _C3 = 1.16145124, -1.50204118, 0.58629921  # Kingma et al. 2015, Appendix C


def log_uniform_kl(log_alpha):
    """KL(N(theta, alpha theta²) ‖ log-uniform) in nats, by the approximation of Molchanov et al.

    It is k₁ + ½ log(1 + 1/alpha) − k₁ sigmoid(k₂ + k₃ log alpha) (2017, eq. 14). Over log alpha in
    [−8, 8] it is off by at most 0.0095 nats.

    Args:
        log_alpha: a tensor, above −80 in float32.

    Returns:
        The KL of every entry.
    """
    return _LogUniformKL.apply(log_alpha, *_sigmoids(log_alpha.detach()))


class _LogUniformKL(torch.autograd.Function):
    """The formula of :func:`log_uniform_kl` with its derivative, which shares both sigmoids."""

    @staticmethod
    def forward(log_alpha, gate, share):
        """The KL of every entry."""
        return torch.log(share).mul_(-0.5).add_(gate, alpha=K1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep the inputs."""
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient):
        """−k₁ k₃ gate (1 − gate) − ½ (1 − share), times the gradient from above."""
        log_alpha, gate, share = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted
            gate, share = _sigmoids(log_alpha)
        slope = torch.addcmul(gate, gate, gate, value=-1).mul_(-K1 * K3)
        slope.add_(share, alpha=0.5).sub_(0.5)
        return slope * gradient if torch.is_grad_enabled() else slope.mul_(gradient), None, None


def _sigmoids(log_alpha):
    """1 − sigmoid(k₂ + k₃ log alpha), the gate, and alpha / (1 + alpha), the share of noise."""
    return torch.mul(log_alpha, -K3).sub_(K2).sigmoid_(), torch.sigmoid(log_alpha)


def exact_log_uniform_kl(log_alpha):
    """The same without approximation: ½ (E[ψ(J + ½)] − ψ(½)) with J ~ Poisson(1 / (2 alpha)).

    It is E[log ``|w|``] − log sigma, which the logarithmic moment of a noncentral chi-square gives,
    up to the constant. Meant for plots and tests: it takes a series for every entry.

    Args:
        log_alpha: a tensor, at least −12.

    Returns:
        The KL of every entry, float64.

    Raises:
        ValueError: an entry below −12 or not a number.
    """
    log_alpha = torch.as_tensor(log_alpha, dtype=torch.float64)
    if not (log_alpha >= -12).all():
        raise ValueError("log_alpha must be at least -12")
    rates = torch.exp(-log_alpha).flatten().numpy() / 2
    means = []
    for rate in rates:
        j = torch.arange(int(rate + 12 * math.sqrt(rate) + 30)).numpy()
        means.append((poisson.pmf(j, rate) * (digamma(j + 0.5) - digamma(0.5))).sum())
    return 0.5 * torch.tensor(means, dtype=torch.float64).reshape(log_alpha.shape)


def gaussian_dropout_kl(alpha):
    """The older approximation, a polynomial for alpha up to 1 (Kingma et al. 2015, Appendix C).

    −½ log alpha − c₁ alpha − c₂ alpha² − c₃ alpha³. It leaves the constant open.

    Args:
        alpha: a tensor in (0, 1].

    Returns:
        The KL of every entry, up to a constant.

    Raises:
        TypeError: not a tensor of floating-point numbers.
        ValueError: an entry outside (0, 1], where the polynomial means nothing.
    """
    checks.floating(alpha=alpha)
    if not ((alpha > 0) & (alpha <= 1)).all():
        raise ValueError("the polynomial holds for alpha in (0, 1] only")
    return -0.5 * alpha.log() - _C1 * alpha - _C2 * alpha**2 - _C3 * alpha**3
