"""From a network to its predictive distribution, and from there to every number of the book."""

from uecompress.uncertainty.calibration import (
    ece,
    ece_floor,
    ece_interval,
    reliability,
    scale,
    temperature,
)
from uecompress.uncertainty.conformal import (
    conformal_quantile,
    coverage,
    mean_set_size,
    prediction_sets,
)
from uecompress.uncertainty.cost import latency, multiply_adds, peak_memory
from uecompress.uncertainty.energy import energy
from uecompress.uncertainty.mahalanobis import features, mahalanobis
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
from uecompress.uncertainty.nonzero import nonzero_count
from uecompress.uncertainty.ood import aupr, auroc, fpr95
from uecompress.uncertainty.predict import predict
from uecompress.uncertainty.risk import aurc, risk_coverage
from uecompress.uncertainty.scorecard import default_shifts, scorecard
from uecompress.uncertainty.table import HEADS, head, scorecard_table

__all__ = [
    "HEADS",
    "accuracy",
    "aupr",
    "aurc",
    "auroc",
    "brier",
    "conformal_quantile",
    "coverage",
    "default_shifts",
    "ece",
    "ece_floor",
    "ece_interval",
    "energy",
    "entropy",
    "expected_entropy",
    "features",
    "fpr95",
    "head",
    "latency",
    "mahalanobis",
    "max_probability_score",
    "mean_log_probs",
    "mean_set_size",
    "multiply_adds",
    "mutual_information",
    "nll",
    "nonzero_count",
    "peak_memory",
    "predict",
    "prediction_sets",
    "reliability",
    "risk_coverage",
    "scale",
    "scorecard",
    "scorecard_table",
    "temperature",
]
