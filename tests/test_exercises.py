import numpy as np
import pytest
import torch

from uecompress.exercises import check

SQUARES = np.array([1.0, 4.0, 9.0])
MISTAKES = {"you doubled instead of squaring": [2.0, 4.0, 6.0]}


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (SQUARES, "✓ correct"),
        ([1, 4, 9], "✓ correct"),
        (torch.tensor([1.0, 4.0, 9.0], requires_grad=True), "✓ correct"),
        (None, "… waiting for your answer"),
        (..., "… waiting for your answer"),
        (np.square, "✗ this is a function: check what it returns, not the function itself"),
        ([2, 4, 6], "✗ you doubled instead of squaring"),
        ([1, 4], "✗ the shape is (2,), but it should be (3,)"),
        ([1, 4, np.nan], "✗ there is a NaN in it: look for 0/0, or for the logarithm of a "
         "negative number"),
        ([1, 4, 8], "✗ 1 of 3 entries are wrong, the first at index (2,)"),
        ("nine", "✗ this is not a number or an array of numbers"),
        ([[1], [2, 3]], "✗ this is not a number or an array of numbers"),
        (["a", "b", "c"], "✗ this is not a number or an array of numbers"),
        (1j, "✗ this is not a number or an array of numbers"),
    ],
)  # fmt: skip
def test_check_explains(capsys, answer, line):
    check(answer, SQUARES, MISTAKES)
    assert capsys.readouterr().out == line + "\n"


def test_one_wrong_whole_number_in_an_array(capsys):
    check([10001, 5], np.array([10000, 5]))
    assert "1 of 2 entries" in capsys.readouterr().out


def test_the_right_answer_must_be_numbers():
    with pytest.raises(ValueError, match="must be a finite number"):
        check(3, None)


@pytest.mark.parametrize(
    ("answer", "line"), [(5, "✓ correct"), (4, "✗ 4 is too small"), (6.5, "✗ 6.5 is too large")]
)
def test_check_a_whole_number(capsys, answer, line):
    check(answer, 5)
    assert capsys.readouterr().out == line + "\n"


def test_tolerance_is_one_in_a_thousand_for_real_numbers_and_none_for_whole_ones(capsys):
    check(1.0009, 1.0)
    check(1.0011, 1.0)
    check(5001, 5000)
    assert [line[0] for line in capsys.readouterr().out.splitlines()] == ["✓", "✗", "✗"]


def test_a_mistake_that_leads_to_the_right_answer_is_refused():
    with pytest.raises(ValueError, match="you were lucky"):
        check(None, 4, {"you were lucky": 4})


def test_truth_values_of_numpy_and_of_python_are_the_same(capsys):
    check(np.bool_(True), True)
    check(False, np.bool_(True))
    assert [line[0] for line in capsys.readouterr().out.splitlines()] == ["✓", "✗"]


def test_a_mistake_that_gives_no_number_explains_no_number(capsys):
    check(3, 2, {"you returned a word": "two"})
    assert capsys.readouterr().out == "✗ 3 is too large\n"
