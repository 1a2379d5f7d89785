"""xxHash in NumPy against the package, and what a hash function has to be good for."""

import itertools
import math
import struct

import numpy as np
import pytest

from uecompress.hashing import xxh64
from uecompress.hashing.layers import indices

WEIGHTS = 266_200  # of LeNet-300-100
SEEDS = (0, 1, 7, 2**32, 2**62 + 1, 2**63 - 1)


def test_known_hashes():
    assert xxh64([0, 1, 266199], 0).tolist() == [
        3803688792395291579, 11468921228449061269, 817939059566272281,
    ]  # fmt: skip
    assert int(xxh64(5, 3)) == 7582686748617962012
    assert xxh64(5, 3).shape == ()


def test_hashes_are_those_of_the_package():
    xxhash = pytest.importorskip("xxhash")
    assert xxhash.xxh32(b"0_0idxW", seed=2).intdigest() == 2663506068  # published
    assert xxhash.xxh64(b"a", seed=1).intdigest() == 16051599287423682246
    keys = np.random.default_rng(0).integers(0, 2**64, (20, 10), dtype=np.uint64)
    keys[0, :4] = 0, 1, 2**63, 2**64 - 1
    for seed in SEEDS:
        expected = [
            xxhash.xxh64(struct.pack("<Q", int(key)), seed=seed).intdigest() for key in keys.flat
        ]
        assert xxh64(keys, seed).flatten().tolist() == expected


def test_a_seed_of_the_32_bit_variant_only_shifts_the_keys():
    xxhash = pytest.importorskip("xxhash")

    def xxh32(key, seed):
        return xxhash.xxh32(struct.pack("<I", key), seed=seed % 2**32).intdigest()

    for key, seed in itertools.product(range(20), (0, 5, 2**31)):
        assert xxh32(key + 1, seed) == xxh32(key, seed + 3266489917)
    shifted = xxh64(np.arange(1, 1001), 0), xxh64(np.arange(1000), 3266489917)
    assert not (shifted[0] == shifted[1]).any()


def test_keys_are_left_as_they_were_and_may_be_few():
    keys = np.arange(4, dtype=np.uint64)
    xxh64(keys, 1)
    assert keys.tolist() == [0, 1, 2, 3]
    assert xxh64(np.zeros((0, 3), int), 1).shape == (0, 3)
    assert xxh64(np.array([7], np.int8), 1) == xxh64(7, 1)


def test_bad_keys_and_seeds():
    with pytest.raises(TypeError, match="keys must be whole numbers, not float64"):
        xxh64([0.5], 0)
    with pytest.raises(ValueError, match="keys must not be negative, but one is -3"):
        xxh64([1, -3], 0)
    for seed in (-1, 2**63, 0.5):
        with pytest.raises(ValueError, match="seed must be a whole number from 0 to"):
            xxh64([1], seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_buckets_and_signs_are_uniform_and_independent(seed):
    buckets = 64  # a power of two: the rest has the lowest bits, the sign the highest
    found, negative = indices(WEIGHTS, [buckets], seed)
    counts = np.zeros((2, buckets))
    np.add.at(counts, (negative[0].astype(int), found[0]), 1)
    expected = WEIGHTS / (2 * buckets)
    chi2 = ((counts - expected) ** 2 / expected).sum()  # 127 degrees of freedom
    assert abs(chi2 - 127) < 4.5 * math.sqrt(2 * 127)
    # neighbours, in rows as in columns, have nothing to do with each other
    for lag in (1, 300, 784):
        same = (found[0, lag:] == found[0, :-lag]).mean()
        assert abs(same - 1 / buckets) < 4.5 * math.sqrt(1 / buckets / WEIGHTS)
