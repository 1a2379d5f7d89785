"""What is gained by refusing to answer: the risk of a classifier that may abstain.

Source: Geifman, Uziel & El-Yaniv, Bias-Reduced Uncertainty Estimation (ICLR 2019).
"""

import torch

from uecompress.uncertainty.metrics import check_labels, mean_log_probs
from uecompress.uncertainty.ood import check_scores


def risk_coverage(log_probs, y, scores):
    """The error rate among the k examples that a score holds for the most certain, k = 1..N.

    Examples with the same score have no order; each of them counts with their mean error, which is
    what all orders give on average.

    Args:
        log_probs: predictions (M, N, C).
        y: labels (N,).
        scores: uncertainty (N,) of each example, higher = more uncertain.

    Returns:
        Coverage k/N and risk, both tensors (N,). The last risk is one minus the accuracy.

    Raises:
        TypeError: what is no real number, or a masked array.
        ValueError: predictions, labels or scores that make no sense or do not fit together.
    """
    wrong = mean_log_probs(log_probs).argmax(-1) != check_labels(log_probs, y)
    scores = torch.tensor(check_scores("scores", scores))
    if scores.shape != wrong.shape:
        raise ValueError(f"scores must have shape ({len(wrong)},), not {tuple(scores.shape)}")
    _, group, size = scores.unique(return_inverse=True, return_counts=True)  # in rising order
    errors = (group.bincount(wrong.double()) / size).repeat_interleave(size)  # (N,)
    answered = torch.arange(1, len(wrong) + 1, dtype=torch.double)
    return answered / len(wrong), errors.cumsum(0) / answered


def aurc(log_probs, y, scores):
    """The area under the risk-coverage curve, the mean risk over k = 1..N, in [0, 1]; low = good.

    Arguments and errors are those of :func:`risk_coverage`. A score that knows nothing gives one
    minus the accuracy on average.
    """
    return risk_coverage(log_probs, y, scores)[1].mean().item()
