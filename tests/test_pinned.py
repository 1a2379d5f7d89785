"""The pinned generator against its definition in Python's whole numbers, and its statistics."""

import hashlib
import itertools
import math

import mpmath
import numpy as np
import pytest
from scipy import stats

from uecompress import pinned

MASK = 2**64 - 1
GAMMA = 0x9E3779B97F4A7C15
# sha256 of what every version must give
TABLE = "65adb44855f8b71385141d120e46bcbbe7ab553ca422fa6c389f204db6da226b"
INTEGERS = "6f5f982081af73b1389fdca51a655c83cff6280d46d9fa3f70f1b124306f2174"
PERMUTATION = "8c850c7031c2cd9e1026d73fd23e56378cfe613a84bab805d343339a3b6a69d4"
NORMALS = "17c54b71e7b96ca5ea3d04798d90bbcf22684c8ec5e62a9d37759251f35765ac"


def outputs(seed):
    """SplitMix64 as Steele, Lea and Flood (2014) define it, with a state."""
    while True:
        seed = (seed + GAMMA) & MASK
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def sha256(array):
    little = array.astype(array.dtype.newbyteorder("<"))
    return hashlib.sha256(little.tobytes()).hexdigest()


def test_the_published_outputs_of_seed_0():
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert pinned.bits(0, 3).tolist() == published


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**32, 2**63 - 1])
def test_the_outputs_are_those_of_the_definition(seed):
    expected = list(itertools.islice(outputs(seed), 1000))
    assert pinned.bits(seed, 1000).tolist() == expected
    assert pinned.bits(seed, 10).tolist() == expected[:10]  # a longer array begins the same


@pytest.mark.parametrize("high", [1, 2, 3, 10, 2**16 + 1, 2**31, 2**32 - 1, 2**32])
def test_integers_are_the_upper_bits_of_the_exact_product(high):
    drawn = pinned.integers(7, (20, 50), high)
    assert drawn.dtype == np.int64
    expected = [x * high >> 64 for x in itertools.islice(outputs(7), 1000)]
    assert drawn.flatten().tolist() == expected  # the last index runs fastest


def test_integers_at_the_ends_of_the_range(monkeypatch):
    ends = np.array([0, 2**32 - 1, 2**32, 2**63, 2**64 - 2**32, 2**64 - 1], np.uint64)
    monkeypatch.setattr(pinned, "bits", lambda seed, count: ends)
    for high in (1, 2**32 - 1, 2**32):
        expected = [int(x) * high >> 64 for x in ends]
        assert pinned.integers(0, 6, high).tolist() == expected


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("high", [2, 7, 100])
def test_integers_are_uniform(seed, high):
    counts = np.bincount(pinned.integers(seed, 100_000, high), minlength=high)
    assert len(counts) == high
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("seed", [0, 5])
def test_a_permutation_is_the_order_of_the_outputs(seed):
    drawn = list(itertools.islice(outputs(seed), 500))
    assert pinned.permutation(seed, 500).tolist() == sorted(range(500), key=drawn.__getitem__)
    assert sorted(pinned.permutation(seed, 500).tolist()) == list(range(500))


def test_all_permutations_are_equally_likely():
    orders = list(itertools.permutations(range(4)))
    drawn = [orders.index(tuple(pinned.permutation(seed, 4).tolist())) for seed in range(12_000)]
    assert stats.chisquare(np.bincount(drawn, minlength=24)).pvalue > 1e-3


def test_neighbouring_seeds_have_nothing_in_common():
    rows = np.stack([pinned.integers(seed, 2000, 16) for seed in range(50)])
    for shift in (1, 2, 49):
        table = np.zeros((16, 16))
        np.add.at(table, (rows[:-shift], rows[shift:]), 1)  # the same place, another seed
        assert stats.chisquare(table.flatten()).pvalue > 1e-3
    normals = np.stack([pinned.normals(seed, 2000) for seed in range(50)])
    correlations = np.corrcoef(normals)[np.triu_indices(50, 1)]
    assert np.abs(correlations).max() < 5 / math.sqrt(2000)


def test_a_million_seeds_start_far_apart_on_the_circle():
    step = pow(GAMMA, -1, 2**64)  # from one seed to the next, in outputs
    assert step == 0xF1DE83E19937733D
    forward = np.arange(1, 10**6, dtype=np.uint64) * np.uint64(step)
    backward = np.uint64(0) - forward
    assert np.minimum(forward, backward).min() > 2**42
    assert pinned.bits(1, 1) == next(outputs((0 + step * GAMMA) & MASK))


def test_the_table_of_quantiles_is_the_same_on_every_machine():
    table = pinned._quantiles()
    lower = 2**15
    with mpmath.workdps(30):
        for i in range(0, lower, 64):  # the exact ones, by the inverse error function
            exact = 2**12 * mpmath.sqrt(2) * mpmath.erfinv((2 * i + 1) / mpmath.mpf(2**16) - 1)
            assert int(mpmath.nint(exact)) == table[i]
        quantile = pinned.NormalDist().inv_cdf
        found = np.array([2**12 * quantile((i + 0.5) / 2**16) for i in range(lower)])
        for i in np.abs(found - np.floor(found) - 0.5).argsort()[:20]:  # nearest to a tie
            exact = 2**12 * mpmath.sqrt(2) * mpmath.erfinv((2 * int(i) + 1) / mpmath.mpf(2**16) - 1)
            assert abs(exact - mpmath.floor(exact) - mpmath.mpf("0.5")) > 1e-5
            assert abs(exact - found[i]) < 1e-10  # 100,000 times nearer than the tie
            assert int(mpmath.nint(exact)) == table[i]
    assert (table == -table[::-1]).all()
    assert (np.diff(table) >= 0).all()
    assert sha256(table) == TABLE


def test_normals_are_normal():
    drawn = pinned.normals(3, (1000, 200))
    assert drawn.dtype == np.float32
    assert (drawn * 2**12 == np.round(drawn * 2**12)).all()
    edges = stats.norm.ppf(np.linspace(0, 1, 65))
    counts, _ = np.histogram(drawn, edges)  # a step of 2⁻¹² moves next to nothing over an edge
    assert stats.chisquare(counts).pvalue > 1e-3
    exact = (pinned._quantiles() / 2**12).astype(float)
    assert exact.var() == pytest.approx(0.99998, abs=5e-6)
    assert (exact**4).mean() == pytest.approx(3, abs=1e-3)
    assert abs(exact).max() < 4.33
    assert drawn.flatten()[:1000].tolist() == [
        exact[x >> 48] for x in itertools.islice(outputs(3), 1000)
    ]


def test_draws_are_pinned():
    assert sha256(pinned.integers(1, (10, 10), 1000)) == INTEGERS
    assert sha256(pinned.permutation(1, 1000)) == PERMUTATION
    assert sha256(pinned.normals(1, (10, 10))) == NORMALS


def test_empty_shapes_and_one_number():
    assert pinned.integers(0, (3, 0), 5).shape == (3, 0)
    assert pinned.permutation(0, 0).tolist() == []
    assert pinned.normals(0, ()).shape == ()
    assert pinned.integers(0, np.int64(4), 5).shape == (4,)


@pytest.mark.parametrize("bad", [-1, 1.5, math.nan, math.inf, 2**63])
def test_seeds_that_are_none(bad):
    for call in (
        lambda: pinned.bits(bad, 3),
        lambda: pinned.integers(bad, 3, 3),
        lambda: pinned.permutation(bad, 3),
        lambda: pinned.normals(bad, 3),
    ):
        with pytest.raises(ValueError, match="seed must be a whole number"):
            call()


def test_other_bad_arguments():
    for bad in (0, -3, 1.5, 2**32 + 1, math.nan):
        with pytest.raises(ValueError, match="high must be a whole number from 1 to 4294967296"):
            pinned.integers(0, 3, bad)
    for bad in (-1, 1.5, (3, -1), [2, math.nan]):
        with pytest.raises(ValueError, match="shape must be a whole number of at least 0"):
            pinned.integers(0, bad, 3)
        with pytest.raises(ValueError, match="shape must be a whole number of at least 0"):
            pinned.normals(0, bad)
    for bad in (None, "3", True):
        with pytest.raises(TypeError, match="seed must be a number"):
            pinned.bits(bad, 3)
        with pytest.raises(TypeError, match="n must be a number"):
            pinned.permutation(0, bad)
    with pytest.raises(ValueError, match="n must be a whole number of at least 0, not -1"):
        pinned.permutation(0, -1)
