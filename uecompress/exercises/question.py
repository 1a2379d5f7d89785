"""The exercises of chapter 1, the question."""

import numpy as np

from uecompress import lowrank, uncertainty
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def auroc():
    """The AUROC of four digits and three letters."""
    return Number(
        9 / 12,
        {
            "a tie counts one half, not nothing": 8 / 12,
            "a tie counts one half, not one": 10 / 12,
            "digits and letters are swapped": 3 / 12,
        },
    )


def disagreement():
    """The mutual information of log-probabilities, one number for each example."""
    rng = np.random.default_rng(0)
    drawn = rng.dirichlet(np.ones(4), size=(3, 6))
    sure = np.eye(3)[[[0, 1], [1, 1]]]  # (members, examples, classes), with zeros
    with np.errstate(divide="ignore"):
        inputs = [(np.log(drawn),), (np.log(sure),)]
    return Function(
        _disagreement,
        inputs,
        {
            "this is the whole entropy: take off what each member doubts alone": _of_the_mean,
            "this is the expected entropy, what each member doubts alone": _mean_of_entropies,
            "the sign is wrong": lambda log_probs: -_disagreement(log_probs),
            "average the probabilities, not their logarithms": lambda log_probs: _disagreement(
                log_probs, _mean_of_logs
            ),
            "give one number for each example: do not average over them": lambda log_probs: (
                _disagreement(log_probs).mean()
            ),
            "this is in bits: use the natural logarithm": lambda log_probs: (
                _disagreement(log_probs) / np.log(2)
            ),
        },
        show=lambda log_probs: "log_probs of shape {} (members, examples, classes){}".format(
            log_probs.shape, "" if np.isfinite(log_probs).all() else ", some of them −∞"
        ),
    )


def rank(*, ensemble, digits, letters):
    """Accuracy of an ensemble at rank 10, and the AUROC of its entropy.

    Args:
        ensemble: the uncompressed ensemble of the page.
        digits: test images and labels.
        letters: the foreign images.
    """
    right = _row(lowrank.compress(ensemble, rank=10), digits, letters)
    single = lowrank.compress(ensemble.members[0], rank=10)
    return Number(
        right,
        {
            "this is the ensemble before compression": _row(ensemble, digits, letters),
            "this is one network at rank 10: compress the ensemble": _row(single, digits, letters),
            "this is rank 5": _row(lowrank.compress(ensemble, rank=5), digits, letters),
            "AUROC: digits come first, letters second": [right[0], 1 - right[1]],
            "the accuracy comes first": right[::-1],
        },
    )


def _row(model, digits, letters):
    images, labels = digits
    log_probs = uncertainty.predict(model, images)
    doubts = (uncertainty.entropy(p) for p in (log_probs, uncertainty.predict(model, letters)))
    return [float(uncertainty.accuracy(log_probs, labels)), float(uncertainty.auroc(*doubts))]


def _entropy(p):
    return -(p * np.log(np.where(p > 0, p, 1))).sum(-1)


def _mean(log_probs):
    return np.exp(np.asarray(log_probs)).mean(0)


def _mean_of_logs(log_probs):
    p = np.exp(np.asarray(log_probs).mean(0))
    return p / np.maximum(p.sum(-1, keepdims=True), 1e-300)


def _of_the_mean(log_probs):
    return _entropy(_mean(log_probs))


def _mean_of_entropies(log_probs):
    return _entropy(np.exp(np.asarray(log_probs))).mean(0)


def _disagreement(log_probs, mean=_mean):
    return _entropy(mean(log_probs)) - _mean_of_entropies(log_probs)
