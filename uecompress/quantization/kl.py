"""The range of the smallest Kullback–Leibler divergence between histograms.

This is the calibration of Migacz ("8-bit inference with TensorRT", 2017), from the slides, with two
repairs. The first bin is left out: a ReLU puts half of all numbers into it, which every grid holds
exactly, and with them the divergence clips the rest away. And a range that clips has as many filled
bins as there are levels: fewer, as the few grey values of a picture fill, are matched perfectly
whatever is cut off.
"""

import numpy as np
import torch

from uecompress import checks


def histogram(x, bins=2048):
    """Counts of ``|x|`` in even bins from 0 to max ``|x|``, and the bins' width.

    Args:
        x: a tensor, flattened.
        bins: their number.

    Raises:
        TypeError: not a tensor of floating-point numbers; ``bins`` is no number.
        ValueError: no numbers, or all of them 0, or not finite; ``bins`` not whole or below 2.
    """
    checks.floating(x=x)
    bins = checks.whole("bins", bins, 2)
    checks.finite(x=x)
    sizes = x.detach().abs().flatten().double()
    if not sizes.any():
        raise ValueError("there is no histogram of nothing, or of zeros alone")
    width = sizes.max().item() / bins
    places = (sizes / width).long().clamp(max=bins - 1)
    return torch.bincount(places, minlength=bins).numpy(), width


def kl_bins(counts, levels):
    """How many bins to keep such that quantizing them loses the least information.

    For i = levels, …, bins: P is the first i bins, with everything beyond added to the last of
    them; Q is the first i bins, without that, in ``levels`` groups, each of which spreads what it
    holds evenly over those of its bins that are not empty. The i of the smallest KL(P ‖ Q) is the
    one. Were the mass beyond added to Q too, i = levels would match perfectly, whatever the counts.

    Args:
        counts: of the bins, which begin at 0; the first one is not looked at.
        levels: how many the quantizer has from 0 upwards, 128 for int8.

    Returns:
        The number of bins, of equal ones the smallest, and all divergences in nats, an array for
        i = levels, …, bins; infinite where i clips and Q has nothing in the last bin, or fewer
        filled bins than levels.

    Raises:
        TypeError: ``levels`` is no number.
        ValueError: an empty histogram, negative counts, fewer bins than levels.
    """
    counts = np.array(counts, float)
    levels = checks.whole("levels", levels, 2)
    if counts.ndim != 1 or len(counts) < levels:
        raise ValueError(f"a histogram of {counts.shape} has fewer bins than {levels} levels")
    if not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError("counts must be finite and not negative")
    if not counts.any():
        raise ValueError("the histogram is empty")
    counts[0] = 0
    if not counts.any():
        return levels, np.zeros(len(counts) + 1 - levels)
    before, filled = (np.append(0, np.cumsum(c)) for c in (counts, counts > 0))
    logs = np.append(0, np.cumsum(_xlogy(counts, counts)))
    everything = np.arange(levels, len(counts) + 1)
    found = np.array([_divergence(counts, before, filled, logs, i, levels) for i in everything])
    return int(everything[found.argmin()]), found


def _divergence(counts, before, filled, logs, i, levels):
    """KL(P ‖ Q) for i bins, of sums over bins and over groups; counts p, with P = p / Σp."""
    last, kept, beyond = counts[i - 1], before[i], before[-1] - before[i]
    if beyond and (not last or filled[i] < levels):
        return np.inf
    edges = np.arange(levels + 1) * i // levels
    mass, bins = np.diff(before[edges]), np.diff(filled[edges])
    p_log_p = logs[i - 1] + _xlogy(last + beyond, last + beyond)
    p_log_q = _xlogy(mass, mass / np.maximum(bins, 1)).sum()
    p_log_q += _xlogy(beyond, mass[-1] / max(bins[-1], 1))
    return (p_log_p - p_log_q) / before[-1] - np.log(before[-1] / kept)


def kl_threshold(x, steps, *, bins=2048):
    """The threshold that :func:`kl_bins` finds for each row: the middle of the next bin.

    A row of zeros has the threshold 0. The divergence is no squared error: with four bits it clips
    less than :func:`mse_threshold`.

    Args:
        x: (rows, entries).
        steps: from 0 to the threshold; there are ``steps`` + 1 levels.
        bins: of the histogram.

    Raises:
        TypeError, ValueError: as :func:`histogram` and :func:`kl_bins`.
    """
    steps = checks.whole("steps", steps)
    checks.floating(x=x)
    if x.ndim != 2 or not x.shape[1]:
        raise ValueError(f"x must be (rows, entries) with entries, not {tuple(x.shape)}")
    checks.finite(x=x)
    thresholds = []
    for row in x:
        if not row.any():
            thresholds.append(0.0)
            continue
        counts, width = histogram(row, bins)
        kept, _ = kl_bins(counts, steps + 1)
        thresholds.append(min((kept + 0.5) * width, bins * width))
    return torch.tensor(thresholds, dtype=x.dtype, device=x.device)


def _xlogy(x, y):
    """x log y, 0 where x is 0."""
    return x * np.log(np.where(np.asarray(x) > 0, y, 1))
