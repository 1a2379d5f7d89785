"""Does a stated confidence keep its word, how sure is that answer, and one number that repairs it.

The confidence of an example is the probability of its most probable class under the mean
prediction. The expected calibration error and temperature scaling are those of Guo et al. (2017).
"""

import math

import numpy as np
import torch

from uecompress import checks
from uecompress.uncertainty.metrics import check_labels, check_log_probs, mean_log_probs

COLDEST, HOTTEST = 0.05, 20  # the temperatures that are searched
ON_EDGE = 8  # roundings that a confidence on the edge of a bin may lie beyond it


def ece(log_probs, y, *, bins=15, mass=False):
    """The expected calibration error, ``Σ_b (n_b / N) |accuracy_b − confidence_b|``, in [0, 1].

    The bins have equal width, or with ``mass=True`` about equal numbers of examples: their edges
    are then quantiles of the confidences, and equal confidences always share a bin. The lower edge
    of each bin is open and the upper one closed; confidence 0 belongs to the first bin and 1 to the
    last. What lies beyond an edge by no more than rounding lies on it: exp(log 0.6) is above 0.6.

    Args:
        log_probs: predictions (M, N, C).
        y: labels (N,).
        bins: their number; empty ones count nothing, and more bins than examples are allowed.
        mass: bins of equal mass instead of equal width.

    Raises:
        TypeError: what is no real number, or a masked array.
        ValueError: predictions, labels or a number of bins that make no sense.
    """
    bins = checks.whole("bins", bins)
    confidence, guess, index = _binned(log_probs, bins, mass)
    return _error(index, _correct(log_probs, guess, y) - confidence, bins)


def reliability(log_probs, y, *, bins=15, mass=False):
    """What a reliability diagram shows, for each of the bins of :func:`ece`.

    Returns:
        Mean confidence, accuracy and number of examples, tensors (bins,). The first two are NaN in
        an empty bin.
    """
    bins = checks.whole("bins", bins)
    confidence, guess, index = _binned(log_probs, bins, mass)
    correct = _correct(log_probs, guess, y)
    count = index.bincount(minlength=bins)
    sums = (index.bincount(values, minlength=bins) for values in (confidence, correct))
    return *(s / count for s in sums), count


def ece_interval(log_probs, y, *, bins=15, level=0.95, samples=1000, seed=0):
    """A bootstrap interval around the expected calibration error, bins of equal width.

    The examples are drawn again with replacement. Drawing adds noise, and noise alone raises the
    ECE; so the quantiles of the drawn ECEs are shifted by the difference between their mean and
    the measured ECE. The interval is about the ECE that N examples show on average, as
    :func:`ece_floor` is, not about the ECE of infinitely many.

    Returns:
        The lower and the upper end, two numbers.
    """
    level = checks.within("level", level, 0, 1, open_low=True, open_high=True)
    bins = checks.whole("bins", bins)
    confidence, guess, index = _binned(log_probs, bins)
    gap = _correct(log_probs, guess, y) - confidence

    def draw(generator):
        chosen = torch.randint(len(gap), (len(gap),), generator=generator)
        return _error(index[chosen], gap[chosen], bins)

    drawn = _repeat(draw, samples, seed)
    measured = _error(index, gap, bins)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]) - drawn.mean() + measured
    return max(float(low), 0.0), min(float(high), 1.0)


def ece_floor(log_probs, *, bins=15, samples=1000, seed=0):
    """The ECE that a perfectly calibrated network with these confidences shows on average.

    Each prediction is made correct with a probability equal to its confidence. What is left is the
    noise of N examples in bins of equal width: no network can be told apart from a calibrated one
    by an ECE near this number.
    """
    bins = checks.whole("bins", bins)
    confidence, _, index = _binned(log_probs, bins)
    chance = confidence.clamp(max=1)  # rounding may exceed 1

    def draw(generator):
        return _error(index, chance.bernoulli(generator=generator) - confidence, bins)

    return float(_repeat(draw, samples, seed).mean())


def scale(log_probs, temperature):
    """Predictions (M, N, C) at another temperature: log softmax(log pₘ / T), member by member.

    Each member is scaled before the members are averaged, so that the result is again an ensemble
    with its disagreements, and every metric applies to it. Give ``mean_log_probs(log_probs)[None]``
    to scale the average instead.
    """
    log_probs = check_log_probs(log_probs)
    temperature = checks.positive("the temperature", temperature)
    return ((log_probs - log_probs.amax(-1, keepdim=True)) / temperature).log_softmax(-1)


def temperature(log_probs, y):
    """The temperature T at which ``scale(log_probs, T)`` has the smallest negative log-likelihood.

    Fit it on validation data and score other data:
    ``nll(scale(test, temperature(validation, y_validation)), y_test)``.

    Returns:
        A number in [0.05, 20], by a coarse grid and a golden-section search in log T. Where the
        predictions are never wrong, or wrong more often than chance, it lies at an end of that
        range, or next to it if rounding gives the neighbours the same cost; where no T does better
        than 1, it is 1. An example whose label every member holds for
        impossible costs infinitely much at every T and has no say.
    """
    log_probs = check_log_probs(log_probs).double()
    y = check_labels(log_probs, y)
    possible = log_probs[:, torch.arange(len(y)), y].amax(0) > -math.inf  # (N,)
    if not possible.any():
        return 1.0
    log_probs, y = log_probs[:, possible], y[possible]
    label = y.expand(len(log_probs), -1)[..., None]  # (M, N, 1)

    def cost(log_t):
        scaled = log_probs * math.exp(-log_t)
        at_label = scaled.gather(-1, label).squeeze(-1) - scaled.logsumexp(-1)  # (M, N)
        return -at_label.logsumexp(0).mean().item() + math.log(len(log_probs))

    grid = np.linspace(math.log(COLDEST), math.log(HOTTEST), 13)
    best = int(np.argmin([cost(log_t) for log_t in grid]))
    log_t = _golden_section(cost, grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    return math.exp(log_t) if cost(log_t) < cost(0.0) - 1e-12 else 1.0


def _golden_section(f, low, high, tolerance=1e-6):
    """Where a function with one valley between ``low`` and ``high`` is smallest."""
    ratio = (math.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = f(a), f(b)
    while high - low > tolerance:
        if at_a < at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = f(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = f(b)
    return (low + high) / 2


def _binned(log_probs, bins, mass=False):
    """Confidence, most probable class and bin 0..bins−1 of each prediction: three tensors (N,)."""
    log_p, guess = mean_log_probs(log_probs).max(-1)
    confidence = log_p.double().exp()
    rounded = confidence - ON_EDGE * torch.finfo(log_p.dtype).eps  # the upper edge is closed
    if mass:
        inner = torch.linspace(0, 1, bins + 1, dtype=confidence.dtype)[1:-1]
        return confidence, guess, torch.bucketize(rounded, confidence.quantile(inner))
    return confidence, guess, (rounded * bins).ceil().long().sub(1).clamp(0, bins - 1)


def _correct(log_probs, guess, y):
    """Whether each guess is the label, 1.0 or 0.0: a tensor (N,)."""
    return (guess == check_labels(log_probs, y)).double()


def _error(index, gap, bins):
    """The ECE from the bin of each example and its gap, correct − confidence."""
    return index.bincount(gap, minlength=bins).abs().sum().item() / len(gap)


def _repeat(draw, samples, seed):
    """``draw(generator)`` as often as ``samples`` says, from one seed: an array (samples,)."""
    samples = checks.whole("samples", samples)
    generator = torch.Generator().manual_seed(checks.seed(seed))
    return np.array([draw(generator) for _ in range(samples)])
