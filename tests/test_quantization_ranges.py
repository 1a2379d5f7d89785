"""Thresholds: the divergence of histograms against brute force, and what ranges are good for."""

import itertools

import numpy as np
import pytest
import torch
from foreign import images
from scipy import stats

from uecompress import quantization


def brute_force(counts, levels):
    """KL(P ‖ Q) for every number of bins, from the two distributions themselves."""
    counts = np.array(counts, float)
    counts[0] = 0
    found = []
    for i in range(levels, len(counts) + 1):
        p = counts[:i].copy()
        p[-1] += counts[i:].sum()
        q = np.zeros(i)
        edges = [g * i // levels for g in range(levels + 1)]
        for start, stop in itertools.pairwise(edges):
            group = counts[start:stop]
            if group.any():
                q[start:stop][group > 0] = group.sum() / (group > 0).sum()
        fewer = counts[i:].any() and (q > 0).sum() < levels
        found.append(np.inf if fewer else stats.entropy(p, q))
    return np.array(found)


@pytest.mark.parametrize("levels", [2, 7, 8, 16])
def test_divergences_are_those_of_the_two_distributions(levels):
    draw = np.random.default_rng(0)
    for rate in (0.5, 3, 50):
        counts = draw.poisson(rate * np.exp(-np.arange(60) / 15))
        counts[17], counts[59] = 0, 1
        expected = brute_force(counts, levels)
        kept, found = quantization.kl_bins(counts, levels)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
        assert kept == levels + expected.argmin()
        assert np.isfinite(found).any()


def normals(n=100_000, seed=0):
    return images(1, n, seed=seed)


def error(x, threshold, steps):
    """The mean squared error of rounding with that range."""
    scale = threshold / steps
    return ((x / scale).round().clamp(-steps, steps) * scale - x).square().mean().item()


CASES = {
    "normal": lambda x: x,
    "outlier": lambda x: torch.cat([x, torch.full((1, 1), 25.0)], 1),
    "relu": torch.relu,
}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("case", CASES)
def test_with_four_bits_the_divergence_clips_and_the_squared_error_clips_more(case, seed):
    x = CASES[case](normals(seed=seed))
    largest, kl, mse = (
        getattr(quantization, f"{name}_threshold")(x, 7).item() for name in ("max", "kl", "mse")
    )
    assert 2.3 < mse < 2.7 < 2.9 < kl < 4.0 < largest  # measured 2.46, 3.4 and 4.2 to 25
    assert error(x, mse, 7) < error(x, kl, 7) < 0.8 * error(x, largest, 7)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_with_eight_bits_and_an_outlier_the_divergence_is_worse_than_the_maximum(seed):
    x = CASES["outlier"](normals(seed=seed))
    kl, mse = quantization.kl_threshold(x, 127).item(), quantization.mse_threshold(x, 127).item()
    assert 3.8 < kl < 5.0
    assert 15 < mse < 17.5
    assert error(x, mse, 127) < error(x, 25, 127) < error(x, kl, 127)


def test_the_bin_of_zeros_does_not_count():
    """A ReLU halves the range that the slides' recipe finds; without that bin it is as before."""
    x, relu = normals(), normals().relu()
    counts, width = quantization.histogram(relu)
    zeros = np.r_[10 * counts[0], counts[1:]]
    assert quantization.kl_bins(zeros, 128)[0] == quantization.kl_bins(counts, 128)[0]
    assert 3.5 < quantization.kl_threshold(relu, 127).item() < 4.4
    with_zeros = [_with_first_bin(counts, i) for i in range(128, 2049)]
    assert (128 + int(np.argmin(with_zeros))) * width < 2.4  # 2.11 in the notes
    assert quantization.kl_threshold(x, 127).item() > 3.5


def _with_first_bin(counts, i, levels=128):
    """KL(P ‖ Q) of i bins as the slides have it, bin 0 among them."""
    p, q = counts[:i].astype(float), np.zeros(i)
    edges = np.arange(levels + 1) * i // levels
    for start, stop in itertools.pairwise(edges):
        filled = p[start:stop] > 0
        q[start:stop][filled] = p[start:stop].sum() / max(filled.sum(), 1)
    p[-1] += counts[i:].sum()
    return stats.entropy(p, q)


def test_few_values_are_not_cut_off_because_fewer_match_perfectly():
    counts = np.zeros(2048, int)
    counts[200::200] = 100  # ten values, as of pixels
    kept, divergences = quantization.kl_bins(counts, 8)
    assert kept > 1600
    assert np.isinf(divergences[: 1600 - 8]).all()


def test_the_range_scales_with_the_numbers_and_ignores_empty_bins():
    x = normals(20_000)
    found = quantization.kl_threshold(x, 7)
    torch.testing.assert_close(quantization.kl_threshold(8 * x, 7), 8 * found, rtol=1e-12, atol=0)
    counts, _ = quantization.histogram(x)
    longer = np.r_[counts, np.zeros(100, int)]
    assert quantization.kl_bins(longer, 8)[0] == quantization.kl_bins(counts, 8)[0]


def test_each_row_has_the_range_that_it_has_alone():
    x = torch.stack([normals(5000)[0], 3 * normals(5000, seed=1)[0], torch.zeros(5000)])
    for function in (
        quantization.max_threshold,
        quantization.percentile_threshold,
        quantization.mse_threshold,
        quantization.kl_threshold,
    ):
        together = function(x, 7)
        alone = torch.cat([function(row[None], 7) for row in x])
        assert torch.equal(together, alone)
        assert together[2] == 0
        assert (together[:2] > 0).all()


def test_a_percentile_is_a_number_of_the_row_that_leaves_out_the_rest():
    x = torch.arange(-1000.0, 0)[None]
    for share, expected in ((1.0, 1000), (0.999, 999), (0.5, 500), (1e-9, 1), (0.9991, 1000)):
        assert quantization.percentile_threshold(x, share=share).item() == expected


def test_the_squared_error_is_the_least_of_all_candidates():
    x = images(1, 300)
    largest, found = x.abs().max(), quantization.mse_threshold(x, 3).item()
    errors = [error(x, largest * k / 100, 3) for k in range(1, 101)]
    assert error(x, found, 3) == pytest.approx(min(errors), rel=1e-12)
    assert found < 0.9 * largest


def test_constant_rows_are_kept_exactly():
    x = torch.full((1, 50), -0.3, dtype=torch.float64)
    for function in (quantization.max_threshold, quantization.mse_threshold):
        assert function(x, 7).item() == 0.3
    assert quantization.kl_threshold(x, 7).item() == pytest.approx(0.3, rel=1e-12)


ROW = torch.ones(1, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: quantization.kl_bins(np.zeros(9), 4), ValueError, "the histogram is empty"),
        (lambda: quantization.kl_bins(np.ones(3), 4), ValueError, "fewer bins than 4 levels"),
        (lambda: quantization.kl_bins(-np.ones(9), 4), ValueError, "not negative"),
        (lambda: quantization.kl_bins(np.ones(9), 1), ValueError, "levels must be a whole number"),
        (lambda: quantization.kl_bins(np.ones(9), None), TypeError, "levels must be a number"),
        (lambda: quantization.histogram(torch.zeros(5)), ValueError, "of nothing, or of zeros"),
        (lambda: quantization.histogram(torch.zeros(0)), ValueError, "of nothing, or of zeros"),
        (lambda: quantization.histogram(ROW, bins=1), ValueError, "bins must be a whole number"),
        (lambda: quantization.histogram(ROW / 0), ValueError, "x contains NaN or infinity"),
        (lambda: quantization.max_threshold(torch.ones(3)), ValueError, r"must be \(rows, entries"),
        (lambda: quantization.max_threshold(torch.ones(2, 0)), ValueError, "with entries"),
        (lambda: quantization.kl_threshold(torch.ones(3), 7), ValueError, r"must be \(rows"),
        (lambda: quantization.max_threshold([[1.0]]), TypeError, "x must be a tensor"),
        (lambda: quantization.mse_threshold(ROW, 0), ValueError, "steps must be a whole number"),
        (lambda: quantization.mse_threshold(ROW, 7, candidates=0), ValueError, "candidates must"),
        (lambda: quantization.percentile_threshold(ROW, share=0), ValueError, "share must be in"),
        (lambda: quantization.percentile_threshold(ROW, share=1.1), ValueError, "share must be in"),
        (lambda: quantization.mse_threshold(ROW / 0, 7), ValueError, "x contains NaN"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
