"""How well a score tells foreign data from the data that a network was trained for.

A higher score means more uncertain, and out of distribution is the positive class.
"""

import numpy as np
from sklearn.metrics import roc_auc_score


def auroc(in_scores, out_scores):
    """The area under the ROC curve, in [0, 1].

    It is the chance that a random foreign example has the higher score of the two, against a
    random example from the distribution; a tie counts one half.

    Args:
        in_scores: scores (N,) of examples from the distribution.
        out_scores: scores (K,) of foreign examples.

    Raises:
        ValueError: an empty vector, a wrong shape, or NaN.
    """
    scores = [check_scores("in_scores", in_scores), check_scores("out_scores", out_scores)]
    foreign = np.repeat([0, 1], [len(s) for s in scores])
    return float(roc_auc_score(foreign, np.concatenate(scores)))


def check_scores(name, scores):
    """Scores as a NumPy vector; ValueError where they are empty, of a wrong shape, or NaN."""
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 1 or len(scores) == 0:
        raise ValueError(f"{name} must be a non-empty vector, not shape {scores.shape}")
    if np.isnan(scores).any():
        raise ValueError(f"{name} contains NaN")
    return scores
