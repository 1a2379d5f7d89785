"""The one pinned generator: random numbers that are the same on every machine and for ever.

What a file does not hold because a constructor rebuilds it (hash indices, masks, random features)
must not depend on a library's random numbers, which change between versions. These are whole-number
arithmetic modulo 2⁶⁴, hence exact everywhere.

The generator is SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
generators"): number k of seed s is mix(s + (k + 1) γ) with γ = 0x9E3779B97F4A7C15. It counts
instead of remembering, so every number can be had by itself and a whole array at once. mix maps the
2⁶⁴ numbers of 64 bits one to one, so none of a seed's 2⁶⁴ outputs, its period, occurs twice. All
seeds walk on one circle: s + 1 starts 0xF1DE83E19937733D steps ahead of s, and the first million
seeds start more than 2⁴² steps apart. It is no generator for secrets: one output tells all others.
"""

from functools import cache
from math import prod
from statistics import NormalDist

import numpy as np

from uecompress import checks

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIERS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_LOW = np.uint64(2**32 - 1)  # the lower half of 64 bits
_HALF = np.uint64(32)


def bits(seed, count):
    """The first ``count`` outputs of a seed.

    Args:
        seed: a whole number from 0 to 2⁶³ − 1.
        count: how many, at least 0.

    Returns:
        uint64, (count,).

    Raises:
        TypeError: an argument that is no number.
        ValueError: one that is not whole or out of range.
    """
    start = np.uint64(checks.seed(seed))
    z = np.arange(1, checks.whole("count", count, 0) + 1, dtype=np.uint64)
    z *= _GAMMA
    z += start
    z ^= z >> np.uint64(30)
    z *= _MULTIPLIERS[0]
    z ^= z >> np.uint64(27)
    z *= _MULTIPLIERS[1]
    z ^= z >> np.uint64(31)
    return z


def integers(seed, shape, high):
    """Whole numbers that are uniform in 0, …, high − 1.

    It is ⌊x · high / 2⁶⁴⌋ for the output x. The probabilities of two numbers differ by at most
    2⁻⁶⁴, so that of each is 1 / high up to a relative error of high / 2⁶⁴, at most 2⁻³².

    Args:
        seed: a whole number from 0 to 2⁶³ − 1.
        shape: of the result, a number or a tuple; the last index runs fastest.
        high: from 1 to 2³².

    Returns:
        int64, of this shape.

    Raises:
        TypeError: an argument that is no number.
        ValueError: one that is not whole or out of range.
    """
    shape, factor = _shape(shape), np.uint64(checks.whole("high", high, 1, 2**32))
    x = bits(seed, prod(shape))
    # The upper 64 of 96 bits, by halves: no sum here reaches 2⁶⁴.
    carry = ((x & _LOW) * factor) >> _HALF
    upper = ((x >> _HALF) * factor + carry) >> _HALF
    return upper.astype(np.int64).reshape(shape)


def permutation(seed, n):
    """The numbers 0, …, n − 1 in random order, int64: the order of a seed's first n outputs.

    No two outputs are equal, so the order is never a matter of the sorting method.

    Args:
        seed: a whole number from 0 to 2⁶³ − 1.
        n: how many, at least 0.

    Raises:
        TypeError: an argument that is no number.
        ValueError: one that is not whole or out of range.
    """
    return bits(seed, checks.whole("n", n, 0)).argsort().astype(np.int64)


def normals(seed, shape):
    """Numbers from a normal distribution of mean 0 and variance 1, out of 2¹⁶ possible ones.

    They are the quantiles at (i + ½) / 2¹⁶, rounded to multiples of 2⁻¹², where i is the upper 16
    bits of an output. So they are within ±4.33, symmetric, and have the variance 0.99998.

    Args:
        seed: a whole number from 0 to 2⁶³ − 1.
        shape: of the result, a number or a tuple; the last index runs fastest.

    Returns:
        float32, of this shape; each number is exact.

    Raises:
        TypeError: an argument that is no number.
        ValueError: one that is not whole or out of range.
    """
    shape = _shape(shape)
    drawn = _quantiles()[bits(seed, prod(shape)) >> np.uint64(48)]
    return (drawn.astype(np.float32) / np.float32(2**12)).reshape(shape)


@cache
def _quantiles():
    """The quantiles of the normal distribution at (i + ½) / 2¹⁶ in units of 2⁻¹², int32."""
    quantile = NormalDist().inv_cdf
    # No quantile is near the middle of two whole numbers, so the last digits of ``quantile``,
    # in which machines may differ, do not matter.
    lower = np.array([round(2**12 * quantile((i + 0.5) / 2**16)) for i in range(2**15)], np.int32)
    return np.concatenate([lower, -lower[::-1]])


def _shape(shape):
    """A shape as a tuple of ints."""
    sizes = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    return tuple(checks.whole("shape", size, 0) for size in sizes)
