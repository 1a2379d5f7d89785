"""The exercises of "How many bits"."""

import tempfile
from pathlib import Path

import torch

from uecompress import bayes, networks, storage
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def count():
    """The rate 23.5 of a pruned LeNet-300-100, with its biases and its list of pixels."""
    small = 311 * 86 * 13 + 86 * 14 * 11 + 14 * 10 * 10  # bits of the weights
    whole = small + 784 + 32 * 110
    return Number(
        32 * 266_610 / whole,
        {
            "the biases of the small network are missing": 32 * 266_610 / (small + 784),
            "the list of pixels is missing": 32 * 266_610 / (small + 32 * 110),
            "the original network has biases as well": 32 * 266_200 / whole,
        },
    )


def digits():
    """Mantissa bits from the logarithms of variances."""
    inputs = [-1.0, -3.5, -6.0, -9.0, -14.0], [2.0, -0.5, -40.0], [-4.2, -5.1, -7.7]
    return Function(
        lambda x: bayes.mantissa_bits((x / 2).exp()),
        [(torch.tensor(x, dtype=torch.float64),) for x in inputs],
        {
            "this takes the variance for the standard deviation": lambda x: bayes.mantissa_bits(
                x.exp()
            ),
            "one digit too many: the rule says 2σ, not σ, and 2⁻ᵗ stays above it": lambda x: (
                bayes.mantissa_bits((x / 2).exp() / 2)
            ),
            "there are no fewer than 0 digits, and no more than 23": lambda x: (
                (-(2 * (x / 2).exp()).log2()).ceil().sub(1)
            ),
        },
        show=lambda x: f"log_sigma2 = {x.numpy().round(2).tolist()}",
    )


def finer(model, pruned):
    """Bits per weight left by which a file grows, if its grid is twice as fine.

    Args:
        model: the variational network of the page.
        pruned: what pruning made of it.
    """
    length = {step: _length(model, pruned, step) for step in (2.0, 1.0, 0.5)}
    left = networks.nonzero_weights(pruned)
    more = length[0.5] - length[1.0]
    everything = sum(layer.weight.numel() for _, layer in networks.linear_and_conv_layers(pruned))
    return Number(
        8 * more / left,
        {
            "these are bytes; a byte has 8 bits": more / left,
            "this is per weight of the whole network; count those that are left": (
                8 * more / everything
            ),
            "this is from two deviations to one": 8 * (length[1.0] - length[2.0]) / left,
            "this is what the finer file takes, not by how much it grows": 8 * length[0.5] / left,
        },
    )


def _length(model, pruned, step):
    """Bytes of the file of the pruned network on a grid of ``step`` standard deviations."""
    with tempfile.TemporaryDirectory() as folder:
        small = networks.shrink(bayes.fixed_point(model, pruned, step))
        return storage.save(small, Path(folder) / "network")
