import math
import sys
import types
from fractions import Fraction

import numpy as np
import pytest
import torch

from uecompress import exercises
from uecompress.exercises import Function, Number, check


@pytest.fixture
def says(monkeypatch, capsys):
    """What ``check`` prints for an answer to an exercise that expects ``expected``."""

    def ask(expected, answer, **page):
        room = types.ModuleType("uecompress.exercises.test")
        room.some_rank = lambda **page: expected(**page) if callable(expected) else expected
        monkeypatch.setitem(sys.modules, room.__name__, room)
        check("ex-test-some-rank", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


@pytest.mark.parametrize("label", ["ex-nowhere-rank", "ex-number-rank", "rank", "", "ex-svd"])
def test_an_unknown_exercise_is_named(label):
    with pytest.raises(ValueError, match=f"there is no exercise '{label}'"):
        check(label, 3)


def test_nobody_has_answered_yet(says):
    assert says(Number(3), ...) == says(Number(3), None) == "… waiting for your answer"
    stub = "… waiting for your answer: the function returns nothing yet"
    assert says(KEEP, lambda scores, limit: ...) == says(KEEP, lambda *_: None) == stub


def test_what_is_expected_is_computed_when_there_is_an_answer(says):
    def costly():
        raise AssertionError("it was computed")

    assert says(costly, ...) == "… waiting for your answer"
    with pytest.raises(AssertionError, match="it was computed"):
        says(costly, 3)


@pytest.mark.parametrize(
    "answer", [0.75, "9/12", " 3 / 4", "0.75", Fraction(3, 4), np.float32(0.75), torch.tensor(0.75)]
)
def test_a_number_may_come_in_any_form(says, answer):
    answer = float(answer) if isinstance(answer, Fraction) else answer
    assert says(Number(0.75), answer) == "✓ correct"


def test_two_digits_are_close(says):
    assert says(Number(0.2871), 0.29) == "✓ close: to more digits it is 0.2871"
    assert says(Number(0.2871), 0.28) == "✗ 0.28 is too small"
    assert says(Number(0.2871), 0.2872) == "✓ correct"
    assert says(Number(0.2871), 0.286) == "✓ close: to more digits it is 0.2871"
    assert says(Number(np.array([0.5, 2.0])), [0.502, 2.01]).startswith("✓ close: to more digits")


def test_whole_numbers_are_exact(says):
    assert says(Number(602), 602.0) == "✓ correct"
    assert says(Number(602), 603) == "✗ 603 is too large"
    assert says(Number(31_090, {"you forgot the biases": 31_000}), 31_000) == (
        "✗ you forgot the biases"
    )


def test_a_mistake_that_lies_nearer_is_told(says):
    expected = Number(100.0, {"you divided by N − 1": 100.4})
    assert says(expected, 100.4) == "✗ you divided by N − 1"
    assert says(expected, 100.05) == "✓ correct"
    assert says(expected, 99.7).startswith("✓ close")


def test_what_is_wrong_is_said(says):
    three = Number([1.0, 2.0, 3.0])
    assert says(three, [1, 2]) == "✗ the shape is (2,), but it should be (3,)"
    assert says(three, [1, 5, 3]) == "✗ 1 of 3 entries are wrong, the first at index (1,)"
    assert "NaN" in says(Number(1.0), math.nan)
    assert "not a number" in says(Number(1.0), "one")
    assert "not a number" in says(Number(1.0), {"a": 1})
    assert "give what it returns" in says(Number(1.0), lambda: 1.0)


def test_values_of_the_page_are_passed_on(says):
    assert says(lambda rows, columns: Number(rows * columns), 12, rows=3, columns=4) == "✓ correct"


def test_an_exercise_without_a_right_answer_or_with_a_false_mistake_is_refused():
    for wrong in (math.nan, math.inf, "one", None, [1, math.nan]):
        with pytest.raises(ValueError, match="must be a finite number"):
            Number(wrong)
    with pytest.raises(ValueError, match="«no» leads to the right answer"):
        Number(2.0, {"no": 2.0001})
    with pytest.raises(ValueError, match="«no» leads to the right answers"):
        Function(abs, [(1,), (2,)], {"no": lambda x: x})


KEEP = Function(
    lambda scores, limit: scores > limit,
    [(torch.tensor([1.0, 2.0, 3.0]), 2.0), (torch.tensor([0.5, -4.0]), 0.0)],
    {"you keep what should go": lambda scores, limit: scores <= limit},
    show=lambda scores, limit: f"scores {scores.tolist()} and limit {limit}",
)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda scores, limit: scores > limit, "✓ correct"),
        (lambda scores, limit: ~(scores > limit), "✗ you keep what should go"),
        (
            lambda scores, limit: scores >= limit,
            "✗ for scores [1.0, 2.0, 3.0] and limit 2.0: 1 of 3 entries are wrong, the first at "
            "index (1,)",
        ),
        (
            lambda scores, limit: scores > limit if limit else None,
            "✗ for scores [0.5, -4.0] and limit 0.0 it returns nothing",
        ),
        (
            lambda scores: scores,
            "✗ for scores [1.0, 2.0, 3.0] and limit 2.0 it raises TypeError: ",
        ),
        (3, "✗ give the function itself, without calling it"),
    ],
)
def test_a_function_is_run_on_hidden_inputs(says, answer, words):
    assert says(KEEP, answer).startswith(words)


def test_a_function_cannot_spoil_the_inputs(says):
    def spoil(scores, limit):
        scores.zero_()
        return scores > limit

    assert says(KEEP, spoil).startswith("✗ for scores [1.0, 2.0, 3.0]")
    assert says(KEEP, lambda scores, limit: scores > limit) == "✓ correct"


def test_everything_is_offered():
    assert set(exercises.__all__) == {"Function", "Number", "check"}
