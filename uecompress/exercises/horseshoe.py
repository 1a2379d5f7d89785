"""The exercises of "The horseshoe"."""

import math

from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def rate():
    """The factor by which the median of s is too large, where τ₀² is read as a rate."""
    return Number(
        1e10,
        {
            "this is the factor of s_a; s is its root, times that of s_b": 1e20,
            "the scale of s_a goes from τ₀² to 1/τ₀², a factor of τ₀⁻⁴, not τ₀⁻²": 1e5,
            "this is too large, not too small: 1/τ₀² stands in place of τ₀²": 1e-10,
        },
    )


def shrunk():
    """The probability that κ is above 0.9, if z is half-Cauchy with scale 0.1."""
    return Number(
        2 / math.pi * math.atan(1 / 0.3),
        {
            "this is for τ = 1": 2 / math.pi * math.atan(1 / 3),
            "this is the probability of κ below 0.9": 1 - 2 / math.pi * math.atan(1 / 0.3),
            "κ > 0.9 means z² < 1/9, so z < 1/3": 2 / math.pi * math.atan(1 / 0.9),
        },
    )


def inverse_gamma_kl():
    """Divergence of a log-normal variable from an inverse Gamma prior."""
    inputs = [(0.3, 0.2, 0.5, 1.0), (-1.5, 1.5, 0.5, 2.0), (2.0, 0.05, 2.0, 0.3)]
    return Function(
        _inverse_gamma_kl,
        inputs,
        {
            "this is the divergence from the Gamma prior": lambda mu, s2, a, b: _inverse_gamma_kl(
                -mu, s2, a, 1 / b
            ),
            "the mean of 1/x is exp(−μ + σ²/2), not one over the mean of x": (
                lambda mu, s2, a, b: (
                    _inverse_gamma_kl(mu, s2, a, b) + b * math.exp(-mu) * _gap(s2, -0.5, 0.5)
                )
            ),
            "the scale b multiplies 1/x, and its logarithm has the sign −a": (
                lambda mu, s2, a, b: _inverse_gamma_kl(mu, s2, a, 1 / b)
            ),
            "the entropy of the log-normal variable is taken off, not added": (
                lambda mu, s2, a, b: (
                    _inverse_gamma_kl(mu, s2, a, b) + math.log(2 * math.pi * s2) + 1
                )
            ),
            "the density of log x is x p(x): μ has the factor a, not a + 1": (
                lambda mu, s2, a, b: _inverse_gamma_kl(mu, s2, a, b) + mu
            ),
        },
        show=lambda mu, s2, a, b: f"μ = {mu}, σ² = {s2}, a = {a}, b = {b}",
    )


def _inverse_gamma_kl(mu, sigma2, a, b):
    entropy = 0.5 * (math.log(2 * math.pi * sigma2) + 1)
    inverse = math.exp(-mu + sigma2 / 2)  # the mean of 1/x
    return -a * math.log(b) + math.lgamma(a) + a * mu + b * inverse - entropy


def _gap(sigma2, wrong, right):
    """The difference of the exponentials of σ² times a wrong and a right factor."""
    return math.exp(wrong * sigma2) - math.exp(right * sigma2)


def half():
    """The reading of which the horseshoe believes half."""
    return Number(
        1.839582,
        {
            "this is for the Laplace prior": 0.940543,
            "here the mean itself is 0.5; its share of y should be": 1.2337,
            "0.5 is the share that is believed; of which y?": 0.5,
        },
    )
