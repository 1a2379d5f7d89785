"""xxHash of whole numbers, a whole array at once.

XXH64 (Collet, the "xxHash fast digest algorithm") of a key of eight bytes, a number from 0 to
2⁶⁴ − 1 in little-endian order, in arithmetic modulo 2⁶⁴: the same on every machine and for ever, so
a file need not hold what is drawn with it. The 32-bit variant of four bytes would not do here: its
seed only shifts the keys, XXH32(i + 1, s) = XXH32(i, s + 3266489917), so that the hash functions of
many layers and folds are pieces of one sequence of 2³² numbers, and some of them overlap.
"""

import numpy as np

from uecompress import checks

_PRIMES = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
_P1, _P2, _P3, _P4, _ = map(np.uint64, _PRIMES)


def xxh64(keys, seed):
    """XXH64 of each number, as of its eight bytes.

    Args:
        keys: an array of whole numbers from 0 to 2⁶³ − 1, or to 2⁶⁴ − 1 in uint64; any shape.
        seed: a whole number from 0 to 2⁶³ − 1.

    Returns:
        uint64, of the shape of ``keys``.

    Raises:
        TypeError: keys that are no integers, a seed that is no number.
        ValueError: negative keys, a seed that is out of range.
    """
    keys = np.asarray(keys)
    if not np.issubdtype(keys.dtype, np.integer):
        raise TypeError(f"keys must be whole numbers, not {keys.dtype}")
    if keys.size and keys.min() < 0:
        raise ValueError(f"keys must not be negative, but one is {keys.min()}")
    start = (checks.seed(seed) + _PRIMES[4] + 8) % 2**64  # 8: the length of the key
    z = np.atleast_1d(keys).astype(np.uint64)  # a copy; arrays wrap around without a warning
    z *= _P2
    z = _rotated(z, 31)
    z *= _P1
    z ^= np.uint64(start)
    z = _rotated(z, 27)
    z *= _P1
    z += _P4
    z ^= z >> np.uint64(33)
    z *= _P2
    z ^= z >> np.uint64(29)
    z *= _P3
    z ^= z >> np.uint64(32)
    return z.reshape(keys.shape)


def _rotated(z, count):
    """The 64 bits of each number, rotated to the left."""
    return (z << np.uint64(count)) | (z >> np.uint64(64 - count))
