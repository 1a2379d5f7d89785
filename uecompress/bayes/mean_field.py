"""Bayes by backprop: an independent Gaussian posterior for every weight, a Gaussian prior for all.

Graves (2011) and Blundell et al. (2015), trained with the local reparametrization of Kingma et al.
(2015): a unit's input is drawn, not its weights.
"""

import math

import torch

from uecompress import checks
from uecompress.bayes.gaussian_layer import GaussianLayer
from uecompress.networks import Conv2dLayer, LinearLayer


class MeanFieldLayer(GaussianLayer):
    """Posteriors N(mu, sigma²) of weights and biases, a Gaussian prior, and the KL between them."""

    def start(self, *, prior_sigma=1.0, initial_log_sigma2=-6.0):
        """Create the posteriors and the prior N(0, prior_sigma²)."""
        prior_sigma = checks.positive("prior_sigma", prior_sigma)
        self.settings["prior_sigma"] = prior_sigma
        self.start_posterior(initial_log_sigma2, of_biases=True)
        self.register_buffer("prior_mu", torch.tensor(0.0))
        self.register_buffer("prior_log_sigma2", torch.tensor(2 * math.log(prior_sigma)))

    def posteriors(self):
        """The (mu, log_sigma2) of all that the layer draws: weights and, if any, biases."""
        pairs = [(self.weight_mu, self.weight_log_sigma2), (self.bias_mu, self.bias_log_sigma2)]
        return [pair for pair in pairs if pair[0] is not None]

    def kl(self):
        """KL(posterior ‖ prior) of the weights and biases in nats, exact.

        Σ ½ [(σ² + (μ − m)²) / s² − 1 − log σ² + log s²] for the layer's prior N(m, s²).
        """
        total = 0
        for mu, log_sigma2 in self.posteriors():
            spread = log_sigma2.exp().sum() + (mu - self.prior_mu).square().sum()
            logs = log_sigma2.sum() - mu.numel() * self.prior_log_sigma2
            total = total + 0.5 * (spread / self.prior_log_sigma2.exp() - mu.numel() - logs)
        return total

    @property
    def log_alpha(self):
        """The log of alpha = sigma² / mu², of every weight; infinite where mu = 0."""
        return self.weight_log_sigma2 - self.weight_mu.square().log()


class MeanFieldLinear(MeanFieldLayer, LinearLayer):
    """A Linear layer whose weights and biases are w ~ N(mu, sigma²), each with its own two numbers.

    The prior is N(prior_mu, exp(prior_log_sigma2)), one for the layer; it starts as
    N(0, prior_sigma²), and :func:`graves_prior` moves it. The layer draws in training and while
    ``sampling`` is True, a fresh set of weights for every example; otherwise it uses the means.

    Args:
        in_features: size of the input.
        out_features: size of the output.
        bias: whether there are biases.
        prior_sigma: standard deviation of the prior at the start, positive; 1 if not given.
        initial_log_sigma2: log variance of every posterior at the start; −6 if not given.

    Raises:
        TypeError: an argument that is no number.
        ValueError: a size that is not a whole number of at least 1; ``prior_sigma`` is not
            positive, ``initial_log_sigma2`` is not finite.
    """


class MeanFieldConv2d(MeanFieldLayer, Conv2dLayer):
    """A Conv2d layer with posteriors N(mu, sigma²), as in :class:`MeanFieldLinear`.

    In training every output position has draws of its own, though all share the weights: the
    positions' covariance is neglected, as in Kingma et al. and everyone since. While ``sampling``
    the layer draws its weights, once for each pass.

    The arguments are those of :class:`Conv2dLayer <uecompress.networks.Conv2dLayer>`, and those
    of :class:`MeanFieldLinear` behind the sizes.
    """
