"""Chapter 14, group sparsity."""

import torch

from uecompress import bayes, divergences
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def lenet5():
    """The factor by which the weights of LeNet-5 fall with the groups of Louizos et al. 2017."""
    whole = 20 * 25 + 50 * 20 * 25 + 800 * 500 + 500 * 10
    return Number(
        whole / (8 * 25 + 13 * 8 * 25 + 88 * 13 + 13 * 10),
        {
            "88 are single inputs of the Linear layer, not filters": whole
            / (8 * 25 + 13 * 8 * 25 + 88 * 16 * 13 + 13 * 10),
            "a filter of the second convolution has one channel for each of the first": whole
            / (8 * 25 + 13 * 25 + 88 * 13 + 13 * 10),
            "so the masks stay in their layers: carry each to the layer before": whole
            / (8 * 25 + 13 * 20 * 25 + 88 * 500 + 13 * 10),
            "that is the number of weights that stay; by which factor did it fall?": 4074,
        },
    )


def kl():
    """The divergence of a Linear layer with a log-uniform scale for each input."""
    scales = [[1.1, -0.2, 0.6], [-4.0, -1.0, -6.0]]
    weights = [
        [[0.3, -0.8, 0.02], [1.2, 0.1, -0.4]],
        [[-3.0, -0.5, -2.0], [-5.0, -1.0, -4.0]],
    ]
    (z_mu, z_log_sigma2), (mu, log_sigma2) = (
        torch.tensor(values, dtype=torch.float64) for values in (scales, weights)
    )
    inputs = [
        (z_mu, z_log_sigma2, mu, log_sigma2),
        (z_mu[:1], z_log_sigma2[:1], mu[:, :1], log_sigma2[:, :1]),
        (z_mu.flip(0), z_log_sigma2, -2 * mu, log_sigma2),
    ]
    return Function(
        lambda *layer: _scales(*layer).sum() + _weights(*layer),
        inputs,
        {
            "the weights pay too, for leaving N(0, 1) once their scale is given": (
                lambda *layer: _scales(*layer).sum()
            ),
            "the scales pay too, one divergence for each input": _weights,
            "a group has one scale, which pays once, not for each of its weights": (
                lambda *layer: len(layer[2]) * _scales(*layer).sum() + _weights(*layer)
            ),
            "the scale cancels: w̃ is compared with N(0, 1), not with N(0, μ_z²)": (
                lambda *layer: (
                    _scales(*layer).sum()
                    + divergences.diagonal_gaussian_kl(
                        layer[2], layer[3].exp(), 0, layer[0].square().expand_as(layer[2])
                    )
                )
            ),
            "log α is log σ_z² − log μ_z², not log σ_z² − log |μ_z|": (
                lambda *layer: _scales(layer[0].abs().sqrt(), layer[1]).sum() + _weights(*layer)
            ),
            "that is minus the divergence: the ELBO subtracts it, but `kl` is asked for": (
                lambda *layer: -_scales(*layer).sum() - _weights(*layer)
            ),
        },
        show=lambda *layer: (
            f"{layer[2].shape[1]} inputs, {layer[2].shape[0]} units, scales of "
            f"mean {layer[0].tolist()}"
        ),
    )


def _scales(z_mu, z_log_sigma2, *weights):
    """What each scale pays."""
    return bayes.log_uniform_kl(z_log_sigma2 - z_mu.square().log())


def _weights(z_mu, z_log_sigma2, mu, log_sigma2):
    """What all weights pay, given their scales."""
    return divergences.standard_normal_kl(mu, log_sigma2)


def norms(models):
    """Pixels that a pruned network reads, among those with the largest norms before and after.

    The three networks are the dense one, the variational one, and the pruned one.
    """
    dense, variational, pruned = models
    read = (pruned.linear1.weight != 0).any(0)
    count = int(read.sum())

    def shared(largest=True):
        weights = dense.linear1.weight, variational.linear1.dense_weight
        norms = [weight.detach().norm(dim=0) for weight in weights]
        return [int(read[norm.topk(count, largest=largest).indices].sum()) for norm in norms]

    right = shared()
    return Number(
        right,
        {
            "these are the pixels that are not shared": [count - each for each in right],
            "the dense network comes first, then the trained one": right[::-1],
            "numbers are asked for, not shares": [each / count for each in right],
            "you took the smallest norms": shared(largest=False),
        },
    )
