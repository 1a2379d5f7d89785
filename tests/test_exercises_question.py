"""The exercises of chapter 1 accept what is right and explain what is wrong."""

import numpy as np
import pytest
import torch

from uecompress import data, lowrank, networks, uncertainty
from uecompress.exercises import question


def test_auroc():
    exercise = question.auroc()
    assert exercise.judge("9/12") == (True, "correct")
    for answer, words in {8 / 12: "not nothing", "10/12": "not one", 0.25: "swapped"}.items():
        verdict, said = exercise.judge(answer)
        assert not verdict
        assert words in said


def by_library(log_probs):
    return uncertainty.mutual_information(torch.as_tensor(log_probs))


def of_logarithms(log_probs):
    mean = torch.as_tensor(log_probs).mean(0, keepdim=True).log_softmax(-1)
    each = uncertainty.expected_entropy(torch.as_tensor(log_probs))
    return uncertainty.entropy(mean) - each


def with_nan(log_probs):
    p = np.exp(log_probs)
    return (p * (log_probs - np.log(p.mean(0)))).sum(-1).mean(0)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_disagreement():
    exercise = question.disagreement()
    assert exercise.judge(by_library) == (True, "correct")
    for answer, words in {
        (lambda lp: uncertainty.entropy(torch.as_tensor(lp))): "the whole entropy",
        (lambda lp: uncertainty.expected_entropy(torch.as_tensor(lp))): "the expected entropy",
        (lambda lp: -by_library(lp)): "the sign",
        (lambda lp: by_library(lp).mean()): "one number for each example",
        (lambda lp: by_library(lp) / np.log(2)): "in bits",
        with_nan: "there is a NaN in it",
    }.items():
        verdict, said = exercise.judge(answer)
        assert not verdict
        assert words in said
    assert not exercise.judge(of_logarithms)[0]
    assert "shape (3, 6, 4)" in exercise.judge(lambda lp: by_library(lp) + 1)[1]


def test_the_mean_of_logarithms_is_explained():
    mistake = lambda lp: question._disagreement(lp, question._mean_of_logs)  # noqa: E731
    assert "average the probabilities" in question.disagreement().judge(mistake)[1]


def test_rank():
    x, y = data.load("digits", "test")
    letters, _ = data.load("glyphs", "test")
    ensemble = networks.Ensemble([networks.mlp(width=30, seed=s).eval() for s in range(2)])
    page = {"ensemble": ensemble, "digits": (x[:50], y[:50]), "letters": letters[:50]}
    exercise = question.rank(**page)

    def row(model):
        h, h_out = (
            uncertainty.entropy(uncertainty.predict(model, i)) for i in (x[:50], letters[:50])
        )
        right = uncertainty.accuracy(uncertainty.predict(model, x[:50]), y[:50])
        return [right, uncertainty.auroc(h, h_out)]

    right = row(lowrank.compress(ensemble, rank=10))
    assert exercise.judge(right) == (True, "correct")
    for answer, words in (
        (row(ensemble), "before compression"),
        (row(lowrank.compress(ensemble.members[0], rank=10)), "one network at rank 10"),
        (row(lowrank.compress(ensemble, rank=5)), "rank 5"),
        (right[::-1], "accuracy comes first"),
    ):
        verdict, said = exercise.judge(answer)
        assert not verdict
        assert words in said
