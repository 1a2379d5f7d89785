"""The exercises of "The quantizer"."""

import torch

from uecompress import quantization
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def codes():
    """0.5, −0.31 and 2 on four bits that end at 1.4; the codes of the halves of 5.5 steps."""
    right = [0.4, -0.4, 1.4, 3.0, 3.0]
    return Number(
        right,
        {
            "2.5 is a tie: the half goes to the even neighbour, 2": [0.6, *right[1:]],
            "beyond the end a code is clamped": [0.4, -0.4, 2.0, 3.0, 3.0],
            "these are the codes: multiply the first three by the scale": [2, -2, 7, 3, 3],
            "round to the nearest code, do not cut off": [0.4, -0.2, 1.4, 3.0, 3.0],
            "the scale is T / 7: there is no code −8": [0.56, -0.37333333, 1.30666667, 3.0, 3.0],
            "halves go up here: 2.5 becomes 3": [*right[:3], 2.0, 3.0],
            "those are half and half: half a step lies between the two before they are halved": [
                *right[:3],
                2.75,
                2.75,
            ],
        },
    )


def affine():
    """Numbers on the asymmetric grid between their ends."""
    generator = torch.Generator().manual_seed(0)
    some = torch.randn(7, generator=generator, dtype=torch.float64)
    inputs = [
        (torch.tensor([-1.0, 0.3, 2.1, 3.0]).double(), 2),
        (some, 3),
        (some.abs() + 1, 4),
        (-some.abs() - 1, 3),
    ]
    return Function(
        _affine,
        inputs,
        {
            "0 must be on the grid: widen the range where it is not": _not_widened,
            "the zero point must be an integer": _real_zero,
            "from one end to the other there are 2ᵇ − 1 steps": _too_many_steps,
            "subtract the zero point on the way back": _no_way_back,
        },
        show=lambda x, bits: f"x = {[round(v, 2) for v in x.tolist()]} and {bits} bits",
    )


def _affine(x, bits):
    scale, zero = quantization.scale_and_zero_point(x.min(), x.max(), bits)
    return _rounded(x, scale, zero, bits)


def _rounded(x, scale, zero, bits):
    codes = ((x / scale).round() + zero).clamp(0, 2**bits - 1)
    return (codes - zero) * scale


def _not_widened(x, bits):
    scale = (x.max() - x.min()) / (2**bits - 1)
    return _rounded(x, scale, (-x.min() / scale).round(), bits)


def _real_zero(x, bits):
    low, high = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = (high - low) / (2**bits - 1)
    zero = -low / scale
    return ((x / scale + zero).round().clamp(0, 2**bits - 1) - zero) * scale


def _too_many_steps(x, bits):
    low, high = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = (high - low) / 2**bits
    return _rounded(x, scale, (-low / scale).round(), bits)


def _no_way_back(x, bits):
    scale, zero = quantization.scale_and_zero_point(x.min(), x.max(), bits)
    return ((x / scale).round() + zero).clamp(0, 2**bits - 1) * scale


def bit(x):
    """The error of four bits over that of five, with the best ends.

    Args:
        x: numbers, a tensor.
    """
    best, largest = (
        _off(x, 4, rule) / _off(x, 5, rule)
        for rule in (quantization.mse_threshold, quantization.max_threshold)
    )
    return Number(
        best,
        {
            "of the error, not of its square": best**2,
            "each grid ends where its own squared error is smallest": largest,
            "by which factor it falls: the error of four bits over that of five": 1 / best,
        },
    )


def _off(x, bits, rule):
    """The root of the mean squared error."""
    steps = 2 ** (bits - 1) - 1
    scale = rule(x[None], steps).item() / steps
    rounded = quantization.fake_quantize(x, scale, low=-steps, high=steps)
    return (rounded - x).square().mean().sqrt().item()
