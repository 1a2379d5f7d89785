"""From a network to its predictive distribution, and from there to every number of the book."""

from uecompress.uncertainty.calibration import (
    ece,
    ece_floor,
    ece_interval,
    reliability,
    scale,
    temperature,
)
from uecompress.uncertainty.cost import latency, multiply_adds, nonzero_count, peak_memory
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
from uecompress.uncertainty.scorecard import HEADS, default_shifts, scorecard, scorecard_table

__all__ = [
    "HEADS",
    "accuracy",
    "aupr",
    "aurc",
    "auroc",
    "brier",
    "default_shifts",
    "ece",
    "ece_floor",
    "ece_interval",
    "entropy",
    "expected_entropy",
    "fpr95",
    "latency",
    "max_probability_score",
    "mean_log_probs",
    "multiply_adds",
    "mutual_information",
    "nll",
    "nonzero_count",
    "peak_memory",
    "predict",
    "reliability",
    "risk_coverage",
    "scale",
    "scorecard",
    "scorecard_table",
    "temperature",
]
