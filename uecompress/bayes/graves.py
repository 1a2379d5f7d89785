"""Practical variational inference (Graves, 2011): a prior that follows, and pruning by posterior.

The layers are those of ``mean_field``. All of them share one Gaussian prior N(mu, sigma²), which is
not chosen but set to the best value there is after every step of training.
"""

import math

import torch

from uecompress import checks
from uecompress.bayes.mean_field import MeanFieldLayer
from uecompress.bayes.prune import prune


@torch.no_grad()
def graves_prior(model, progress=None):
    """Give all mean-field layers the one prior that minimizes the KL; an ``after_step``.

    With W weights and biases of posterior N(mu_i, sigma_i²) it is mu = Σ mu_i / W and
    sigma² = Σ [sigma_i² + (mu_i − mu)²] / W. The posteriors' own variances belong to it: the
    variance of the means alone is not the minimum.

    Args:
        model: a network with mean-field layers; their buffers are changed.
        progress: not used.

    Raises:
        ValueError: there is no mean-field layer.
    """
    layers = [m for m in model.modules() if isinstance(m, MeanFieldLayer)]
    if not layers:
        raise ValueError("the network has no mean-field layer")
    pairs = [pair for layer in layers for pair in layer.posteriors()]
    count = sum(mu.numel() for mu, _ in pairs)
    mean = sum(mu.sum() for mu, _ in pairs) / count
    spread = sum((mu - mean).square().sum() + log_sigma2.exp().sum() for mu, log_sigma2 in pairs)
    for layer in layers:
        layer.prior_mu.copy_(mean)
        layer.prior_log_sigma2.copy_((spread / count).log())


def graves_prune(model, threshold):
    """The ordinary network of posterior means, without the weights of large lambda.

    lambda = exp(−mu² / 2 sigma²) is the posterior density at 0 relative to its peak. Because
    lambda > lambda* says the same as ``|mu|`` / sigma < √(−2 log lambda*), and as
    log alpha > −log(−2 log lambda*), this is :func:`prune` on another scale.

    Args:
        model: a network with "mean_field" or "sparse_vd" layers; it is not changed.
        threshold: lambda*, in (0, 1); weights with a larger lambda become zero.

    Raises:
        ValueError: a threshold outside (0, 1), and as in :func:`prune`.
    """
    return prune(model, log_alpha_of(threshold))


def log_alpha_of(threshold):
    """The log alpha at which lambda = exp(−1 / (2 alpha)) reaches ``threshold``, in (0, 1).

    Raises:
        TypeError: it is no number.
        ValueError: it is outside (0, 1).
    """
    threshold = checks.within("threshold", threshold, 0, 1, open_low=True, open_high=True)
    return -math.log(-2 * math.log(threshold))
