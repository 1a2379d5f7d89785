"""The exercises of chapter 5 accept what is right and explain what is wrong."""

import numpy as np
import pytest

from uecompress import tensors
from uecompress.exercises import cross


@pytest.mark.parametrize(
    ("exercise", "right", "wrong"),
    [
        (cross.nodes, 4, {3: "about 2e-6", 5: "relative error", 8: "fewer do"}),
        (
            cross.search,
            1e10 * np.log(2),
            {
                5e9: "no entry is drawn twice",
                1e10: "once on average",
                1e10 * np.log10(2): "natural",
            },
        ),
    ],
)
def test_numbers(exercise, right, wrong):
    assert exercise().judge(right) == (True, "correct")
    for answer, words in wrong.items():
        verdict, said = exercise().judge(answer)
        assert not verdict
        assert words in said


@pytest.mark.parametrize(
    ("row", "words"), [([0, 1, 3], "lacks a factor"), ([0, 1, 9], "linear in x")]
)
def test_the_square_of_a_sum(row, words):
    exercise = cross.square()
    right = [[1, 3, 9], [0, 1, 6], [0, 0, 1]]
    assert exercise.judge(right) == (True, "correct")
    verdict, said = exercise.judge([right[0], row, right[2]])
    assert not verdict
    assert words in said
    assert "transpose" in exercise.judge(np.transpose(right))[1]


def test_the_missing_entry():
    exercise = cross.missing()
    assert exercise.judge([2, 3, -5]) == (True, "correct")
    for answer, words in {
        (1, 2, -5): "is 0",
        (1, 3, -5): "has more",
        (2, 3, 5): "not the sum",
        (2, 3, 0): "index (2,)",
    }.items():
        verdict, said = exercise.judge(answer)
        assert not verdict
        assert words in said
    matrix = np.array([[2, 4, 1, 0], [1, 2, 3, 5], [3, 6, -1, -5]])
    assert np.linalg.matrix_rank(matrix) == 2


def test_the_dot_product_of_trains():
    exercise = cross.dot()
    assert exercise.judge(cross._dot) == (True, "correct")
    assert exercise.judge(lambda a, b: tensors.TensorTrain(a).dot(tensors.TensorTrain(b))) == (
        True,
        "correct",
    )
    for answer, words in {
        (lambda a, b: cross._total(a) * cross._total(b)): "separately",
        (lambda a, b: cross._total(a)): "B is missing",
        (lambda a, b: cross._dot(a, a)): "⟨A, A⟩",
        (lambda a, b: cross._dot(a[:-1], b[:-1])): "left out",
    }.items():
        verdict, said = exercise.judge(answer)
        assert not verdict
        assert words in said
