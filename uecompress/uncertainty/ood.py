"""How well a score tells foreign data from the data that a network was trained for.

A higher score means more uncertain, and out of distribution is the positive class.
"""

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from uecompress.uncertainty.metrics import real_tensor


def auroc(in_scores, out_scores):
    """The area under the ROC curve, in [0, 1].

    It is the chance that a random foreign example has the higher score of the two, against a
    random example from the distribution; a tie counts one half.

    Args:
        in_scores: scores (N,) of examples from the distribution.
        out_scores: scores (K,) of foreign examples.

    Raises:
        TypeError: no real numbers, or a masked array.
        ValueError: an empty vector, a wrong shape, or NaN; infinity too, but not in :func:`fpr95`.
    """
    return float(roc_auc_score(*_labelled(in_scores, out_scores)))


def aupr(in_scores, out_scores):
    """The area under the precision-recall curve as average precision, in [0, 1].

    It is Σ (Rₙ − Rₙ₋₁) Pₙ over the thresholds, without interpolation. A score that knows nothing
    gives the share of foreign examples, K / (N + K), so that two numbers compare only at the same
    N and K. Arguments and errors are those of :func:`auroc`.
    """
    return float(average_precision_score(*_labelled(in_scores, out_scores)))


def fpr95(in_scores, out_scores):
    """The share of familiar examples flagged when at least 95 % of the foreign ones are, in [0, 1].

    An example is flagged when its score reaches a threshold, the highest one that flags at least
    95 % of the foreign examples; hence ties with it are flagged on both sides. Arguments and errors
    are those of :func:`auroc`.
    """
    inside = check_scores("in_scores", in_scores)
    outside = np.sort(check_scores("out_scores", out_scores))
    threshold = outside[len(outside) * 5 // 100]  # at most 5 % lie below it
    return float((inside >= threshold).mean())


def _labelled(in_scores, out_scores):
    """Whether each example is foreign, and its score: two vectors (N + K,)."""
    scores = [check_scores("in_scores", in_scores), check_scores("out_scores", out_scores)]
    return np.repeat([0, 1], [len(s) for s in scores]), np.concatenate(scores)


def check_scores(name, scores):
    """Scores as a NumPy vector of doubles.

    Raises:
        TypeError: no real numbers, or a masked array.
        ValueError: they are empty, of a wrong shape, or NaN.
    """
    scores = real_tensor(name, scores).detach().cpu().double().numpy()
    if scores.ndim != 1 or len(scores) == 0:
        raise ValueError(f"{name} must be a non-empty vector, not shape {scores.shape}")
    if np.isnan(scores).any():
        raise ValueError(f"{name} contains NaN")
    return scores
