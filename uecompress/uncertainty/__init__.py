"""From a network to its predictive distribution, and from there to every number of the book."""

from uecompress.uncertainty.calibration import (
    ece,
    ece_floor,
    ece_interval,
    reliability,
    scale,
    temperature,
)
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
from uecompress.uncertainty.ood import aupr, auroc, fpr95
from uecompress.uncertainty.predict import predict
from uecompress.uncertainty.risk import aurc, risk_coverage

__all__ = [
    "accuracy",
    "aupr",
    "aurc",
    "auroc",
    "brier",
    "ece",
    "ece_floor",
    "ece_interval",
    "entropy",
    "expected_entropy",
    "fpr95",
    "max_probability_score",
    "mean_log_probs",
    "mutual_information",
    "nll",
    "predict",
    "reliability",
    "risk_coverage",
    "scale",
    "temperature",
]
