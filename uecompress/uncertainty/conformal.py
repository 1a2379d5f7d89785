"""Sets of classes that hold the label as often as promised, whatever the network is worth.

Split-conformal prediction (Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2005;
Angelopoulos & Bates, A Gentle Introduction to Conformal Prediction, 2021, section 1). The score of
a class is −log p̄(class), in nats, under the mean prediction. A threshold is read off the scores of
the labels of some examples, and the set of another example holds every class whose score does not
exceed it. If all examples are exchangeable, the chance that a set holds the label is at least
1 − α, and at most 1 − α + 1/(n + 1) where no two scores are equal: on average over the n examples
as well. A better network is told by smaller sets.
"""

import math
from fractions import Fraction

import torch

from uecompress import checks
from uecompress.uncertainty.metrics import check_labels, mean_log_probs, real_tensor


def conformal_quantile(log_probs, y, alpha=0.1):
    """The threshold for :func:`prediction_sets`: of n scores the ⌈(n + 1)(1 − α)⌉-th smallest one.

    Args:
        log_probs: predictions (M, n, C) of validation data, which the network was not trained on.
        y: their labels (n,).
        alpha: the share of sets that may miss the label, between 0 and 1.

    Returns:
        A number in nats. It is infinite, and every set holds all classes, where n is smaller than
        1/α − 1.

    Raises:
        TypeError: what is no real number, or a masked array.
        ValueError: predictions, labels or an ``alpha`` that make no sense.
    """
    alpha = checks.within("alpha", alpha, 0, 1, open_low=True, open_high=True)
    log_p, y = mean_log_probs(log_probs).double(), check_labels(log_probs, y)
    scores = -log_p.gather(-1, y[:, None])[:, 0]
    rank = math.ceil((len(y) + 1) * (1 - Fraction(str(alpha))))  # exact: 10 · (1 − 0.7) is 3
    return scores.kthvalue(rank).values.item() if rank <= len(y) else math.inf


def prediction_sets(log_probs, threshold):
    """The classes of each example whose score −log p̄ does not exceed the threshold.

    Args:
        log_probs: predictions (M, N, C).
        threshold: what :func:`conformal_quantile` returned.

    Returns:
        A boolean tensor (N, C), True where a class belongs to the set. A set may be empty.

    Raises:
        TypeError: what is no real number, or a masked array.
        ValueError: predictions that make no sense, or a threshold below 0 or NaN.
    """
    threshold = checks.within("threshold", threshold, 0, math.inf)
    return -mean_log_probs(log_probs).double() <= threshold


def coverage(sets, y):
    """The share of examples whose set holds the label, in [0, 1].

    Args:
        sets: of :func:`prediction_sets`, booleans (N, C).
        y: labels (N,).

    Raises:
        TypeError: what is no real number, or a masked array.
        ValueError: sets that are none, or labels that do not fit them.
    """
    sets = _check_sets(sets)
    y = check_labels(sets[None], y)
    return sets.gather(-1, y[:, None]).double().mean().item()


def mean_set_size(sets):
    """The mean number of classes in a set, from 0 to C.

    Args:
        sets: of :func:`prediction_sets`, booleans (N, C).

    Raises:
        TypeError: what is no real number, or a masked array.
        ValueError: sets that are none.
    """
    return _check_sets(sets).sum(-1).double().mean().item()


def _check_sets(sets):
    sets = real_tensor("sets", sets)
    if sets.dtype != torch.bool or sets.ndim != 2 or 0 in sets.shape:
        raise ValueError(
            f"sets must be non-empty booleans (N, C), not {sets.dtype} {tuple(sets.shape)}"
        )
    return sets
