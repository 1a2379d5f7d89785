"""The exercises of chapter 4 accept what is right and explain what is wrong."""

import numpy as np
import pytest

from uecompress.exercises import train


@pytest.mark.parametrize(
    ("exercise", "right", "wrong"),
    [
        (train.entry, 9, {30: "transposed", 24: "multiply the matrices", 6: "not from 0"}),
        (train.error, 0.5, {19 / 26: "squares add up", 12 / 26: "not the worst", 13: "norm"}),
        (train.wave, 4, {2: "sin x alone", 1: "one of a function of y", 6: "x² sin x"}),
    ],
)
def test_numbers(exercise, right, wrong):
    assert exercise().judge(right) == (True, "correct")
    for answer, words in wrong.items():
        verdict, said = exercise().judge(answer)
        assert not verdict
        assert words in said


def test_a_train_from_the_right():
    exercise = train.backwards()
    assert exercise.judge(train._backwards) == (True, "correct")
    for answer, words in {
        train._forwards: "begins with the first index",
        (lambda a, delta: train._backwards(a, delta, train._by_value)): "not one singular value",
        (lambda a, delta: train._backwards(a, delta, keep=False)): "singular values are lost",
        (lambda a, delta: train._backwards(a, delta / np.sqrt(a.ndim - 1))): "do not divide",
        (lambda a, delta: a): "nothing is cut off",
    }.items():
        verdict, said = exercise.judge(answer)
        assert not verdict
        assert words in said
    assert "returns nothing yet" in exercise.judge(lambda a, delta: None)[1]


def test_the_train_from_the_right_keeps_its_bound():
    a = np.random.default_rng(1).standard_normal((3, 4, 2, 3))
    delta = 0.2 * np.linalg.norm(a)
    off = np.linalg.norm(train._backwards(a, delta) - a)
    assert 0 < off <= np.sqrt(3) * delta
    assert np.allclose(train._backwards(a, 0), a)
