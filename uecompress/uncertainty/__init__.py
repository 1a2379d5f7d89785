"""From a network to its predictive distribution, and from there to every number of the book."""

from uecompress.uncertainty.metrics import (
    accuracy,
    brier,
    entropy,
    expected_entropy,
    max_probability_score,
    mean_log_probs,
    mutual_information,
    nll,
)
from uecompress.uncertainty.ood import auroc
from uecompress.uncertainty.predict import predict

__all__ = [
    "accuracy",
    "auroc",
    "brier",
    "entropy",
    "expected_entropy",
    "max_probability_score",
    "mean_log_probs",
    "mutual_information",
    "nll",
    "predict",
]
