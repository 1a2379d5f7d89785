import math

import numpy as np
import pytest
import torch

from uecompress import checks


@pytest.mark.parametrize(
    "value", [3, 3.0, np.int8(3), np.uint64(3), np.float32(3), np.array(3), torch.tensor(3)]
)
def test_a_whole_number_of_any_kind_becomes_an_int(value):
    found = checks.whole("rank", value)
    assert found == 3
    assert type(found) is int


@pytest.mark.parametrize(
    ("value", "limits", "words"),
    [
        (0, (), "a whole number of at least 1, not 0"),
        (1.5, (), "a whole number of at least 1, not 1.5"),
        (math.nan, (), "a whole number of at least 1, not nan"),
        (math.inf, (), "a whole number of at least 1, not inf"),
        (5, (1, 4), "a whole number from 1 to 4, not 5"),
        (5, (None, 4), "a whole number of at most 4, not 5"),
        (0.5, (None,), "a whole number, not 0.5"),
    ],
)
def test_what_is_out_of_range_is_named(value, limits, words):
    with pytest.raises(ValueError, match=f"^rank must be {words}$"):
        checks.whole("rank", value, *limits)


@pytest.mark.parametrize("value", [None, "3", True, [3], 3j, np.array([3]), np.bool_(True)])
@pytest.mark.parametrize("check", [checks.whole, checks.positive, checks.real])
def test_what_is_no_number_is_a_type_error(check, value):
    with pytest.raises(TypeError, match=r"^rank must be a number, not"):
        check("rank", value)


def test_a_seed_fits_every_generator():
    assert checks.seed(np.uint64(2**63 - 1)) == 2**63 - 1
    for wrong in (-1, 2**63):
        with pytest.raises(ValueError, match="seed must be a whole number from 0 to"):
            checks.seed(wrong)


def test_positive_and_within():
    assert checks.positive("a", np.float32(0.5)) == 0.5
    for wrong in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match="a must be positive and finite"):
            checks.positive("a", wrong)
    assert checks.within("p", 0, 0, 1) == 0
    with pytest.raises(ValueError, match=r"p must be in \(0, 1\), not 0"):
        checks.within("p", 0, 0, 1, open_low=True, open_high=True)
    with pytest.raises(ValueError, match=r"p must be in \[0, 1\), not 1"):
        checks.within("p", 1, 0, 1, open_high=True)
    with pytest.raises(ValueError, match="p must be at least 0, not nan"):
        checks.within("p", math.nan, 0, math.inf)


def test_tensors_are_named():
    checks.finite(a=None, b=torch.ones(2))
    with pytest.raises(ValueError, match="b contains NaN or infinity"):
        checks.finite(a=torch.ones(2), b=torch.tensor([1.0, math.nan]))
    with pytest.raises(ValueError, match=r"one shape, got {'a': \(2,\), 'b': \(3,\)}"):
        checks.same_shape(a=torch.ones(2), b=torch.ones(3))


@pytest.mark.parametrize("kind", [ValueError, TypeError])
def test_an_error_says_which_layer_it_is_about(kind):
    with pytest.raises(kind, match=r"^layer 'conv1': no$"), checks.naming("conv1"):
        raise kind("no")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_one_number_that_is_not_finite_is_found_wherever_it_is(dtype, bad):
    for place in (0, 500, 999):
        weight = torch.randn(1000).to(dtype).requires_grad_()
        checks.finite(weight=weight, bias=None)
        weight.data[place] = bad
        with pytest.raises(ValueError, match="weight contains NaN or infinity"):
            checks.finite(bias=None, weight=weight.view(10, 100))


def test_what_has_no_extremes_can_be_finite_too():
    checks.finite(a=torch.zeros(0, 3), b=torch.arange(3), c=torch.ones(2, dtype=torch.complex64))
    with pytest.raises(ValueError, match="c contains"):
        checks.finite(c=torch.tensor([1 + 1j, complex("nan")]))
