"""The scorecard of a network on MNIST and notMNIST, as the long experiments store it."""

import math
import tempfile
from pathlib import Path

import numpy as np
from scipy import stats

from uecompress import data, storage, uncertainty

BINS = np.linspace(0, np.log(10), 24)  # of the entropy histograms, in nats


def card(model, dense, *, samples=None, shifted=None, batch_size=1000):
    """The row of one network, rounded, with the scores and histograms that a scorecard lacks.

    Args:
        model: a network or an ensemble.
        dense: the network before compression, with all its members.
        samples: passes with random weights.
        shifted, batch_size: as in :func:`uecompress.uncertainty.scorecard`.
    """
    test, (foreign, _) = data.load("mnist", "test"), data.load("notmnist", "test")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network"
        storage.save(model, path)
        row = uncertainty.scorecard(
            model,
            test,
            foreign,
            path,
            validation=data.load("mnist", "validation"),
            shifted=shifted,
            uncompressed=dense,
            samples=samples,
            batch_size=batch_size,
        )
    del row["name"]
    inside, outside = (
        uncertainty.predict(model, x, samples=samples, batch_size=batch_size)
        for x in (test[0], foreign)
    )
    for score in (uncertainty.mutual_information, uncertainty.max_probability_score):
        row[f"auroc_{score.__name__}"] = uncertainty.auroc(score(inside), score(outside))
    row["mutual_information"] = uncertainty.mutual_information(inside).mean().item()
    row["mutual_information_ood"] = uncertainty.mutual_information(outside).mean().item()
    row = {key: round(v, 6) if isinstance(v, float) else v for key, v in row.items()}
    for name, log_probs in (("histogram", inside), ("histogram_ood", outside)):
        row[name] = np.histogram(uncertainty.entropy(log_probs), BINS)[0].tolist()
    return row


def potential(rows, tolerances):
    """The prune potential of every metric (Liebenwein et al. 2021), for each way to compress.

    From the weakest compression on, the strongest one before the first that leaves the tolerance:
    the upper end of the one-sided 95 % interval of the mean paired difference to the dense network
    (Student's t over the seeds) must not be above it.

    Args:
        rows: dicts with ``seed``, ``when`` ("dense" or the way to compress), ``rank`` and the
            metrics; every seed has the same ranks.
        tolerances: by metric, how much worse it may become; negative where larger is better.

    Returns:
        One dict for each way and metric, with the ``rank`` and its mean ``byte_ratio``, or None.
    """
    dense = {row["seed"]: row for row in rows if row["when"] == "dense"}
    found = []
    for when in dict.fromkeys(row["when"] for row in rows if row["when"] != "dense"):
        by_rank = {}
        for row in rows:
            if row["when"] == when:
                by_rank.setdefault(row["rank"], []).append(row)
        weakest_first = sorted(by_rank.items(), key=lambda item: item[1][0]["byte_ratio"])
        for metric, tolerance in tolerances.items():
            best = {"rank": None, "byte_ratio": None}
            for rank, runs in weakest_first:
                worse = [math.copysign(1, tolerance) * (run[metric] - dense[run["seed"]][metric])
                         for run in runs]  # fmt: skip
                if upper_bound(worse) > abs(tolerance):
                    break
                ratio = np.mean([run["byte_ratio"] for run in runs])
                best = {"rank": rank, "byte_ratio": round(float(ratio), 2)}
            found.append({"when": when, "metric": metric, "tolerance": tolerance} | best)
    return found


def upper_bound(differences):
    """The upper end of the one-sided 95 % interval of a mean, by Student's t."""
    n = len(differences)
    return np.mean(differences) + stats.t.ppf(0.95, n - 1) * np.std(differences, ddof=1) / n**0.5
