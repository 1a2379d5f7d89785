"""Affine quantizers against torch's and torchao's, and Hermite's identity."""

import pytest
import torch
from foreign import images

from uecompress import quantization
from uecompress.quantization import blocks


def with_ties(n=20_000, scale=0.1):
    """Numbers in float32, of which every third lies half-way between two codes, or nearly so."""
    x = 3 * images(n, dtype=torch.float32)
    x[::3] = scale * (torch.arange(len(x[::3])) % 700 - 350 + 0.5)
    return x


# --- bit for bit torch's ------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.1, 0.037, 0.3, 1 / 3, 2.0**-5])
@pytest.mark.parametrize("zero_point", [0, 3, -4])
def test_codes_are_those_of_torch_bit_for_bit_ties_included(scale, zero_point):
    x, scale = with_ties(scale=scale), torch.tensor(scale)
    zero = torch.tensor(zero_point, dtype=torch.int32)
    for low, high in ((-127, 127), (-8, 7), (0, 255)):
        if low <= zero_point:
            expected = torch.fake_quantize_per_tensor_affine(x, scale, zero, low, high)
            found = quantization.fake_quantize(x, scale, zero_point, low=low, high=high)
            assert torch.equal(found, expected)


def test_codes_of_channels_are_those_of_torch():
    x = with_ties().view(4, -1)
    scale, zero = torch.tensor([0.1, 0.3, 1 / 3, 0.05]), torch.tensor([0, 1, 2, 3])
    expected = torch.fake_quantize_per_channel_affine(x, scale, zero.int(), 0, 0, 15)
    found = quantization.fake_quantize(x, scale[:, None], zero[:, None], low=0, high=15)
    assert torch.equal(found, expected)


def test_the_gradient_is_that_of_torch():
    x = with_ties().requires_grad_()
    scale, zero = torch.tensor(0.1), torch.tensor(2, dtype=torch.int32)
    towards = images(len(x), dtype=torch.float32)
    for low, high in ((-8, 7), (-127, 127)):
        found = quantization.fake_quantize(x, scale, 2, low=low, high=high)
        expected = torch.fake_quantize_per_tensor_affine(x, scale, zero, low, high)
        gradients = [torch.autograd.grad((y * towards).sum(), x)[0] for y in (found, expected)]
        assert torch.equal(*gradients)
        assert (gradients[0] == 0).any()


def test_rounding_moves_no_number_inside_the_range_by_more_than_half_a_step():
    x = images(5000)
    scale = quantization.scale_of(x.abs().max(), 4)
    error = quantization.fake_quantize(x, scale, low=-7, high=7) - x
    assert error.abs().max() <= scale / 2 * (1 + 1e-12)
    assert error.abs().max() > 0.49 * scale


# --- scales -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "kind"), [(8, "symmetric"), (8, "full"), (4, "full")])
def test_scales_are_those_of_torchao(bits, kind):
    primitives = pytest.importorskip("torchao.quantization.quant_primitives")
    x, (low, high) = images(6, 50, dtype=torch.float32), quantization.code_range(bits, kind)
    expected, zero = primitives.choose_qparams_affine(
        x, primitives.MappingType.SYMMETRIC, (1, 50), torch.int8, low, high
    )
    assert not zero.any()
    found = quantization.scale_of(x.abs().amax(1), bits, kind)
    torch.testing.assert_close(found, expected, rtol=2e-7, atol=0)


def test_asymmetric_scales_are_those_of_torchao():
    primitives = pytest.importorskip("torchao.quantization.quant_primitives")
    x = images(6, 50, dtype=torch.float32) + torch.arange(6)[:, None]
    scale, zero = primitives.choose_qparams_affine(
        x, primitives.MappingType.ASYMMETRIC, (1, 50), torch.uint8
    )
    found = quantization.scale_and_zero_point(x.amin(1), x.amax(1), 8)
    torch.testing.assert_close(found[0], scale, rtol=2e-7, atol=0)
    assert torch.equal(found[1], zero.float())


def test_the_full_grid_does_not_reach_its_own_end():
    threshold = torch.tensor(1.0, dtype=torch.float64)
    for bits in range(2, 9):
        (low, high), scale = (
            quantization.code_range(bits, "full"),
            quantization.scale_of(threshold, bits, "full"),
        )
        assert high * scale < threshold < -low * scale
        symmetric = quantization.scale_of(threshold, bits)
        assert symmetric * quantization.code_range(bits)[1] == pytest.approx(1.0, abs=1e-15)


def test_zero_is_a_number_of_every_asymmetric_grid():
    low = torch.tensor([-1.0, 0.5, -3.0, 0.0, 2.0])
    high = torch.tensor([2.5, 4.0, -1.0, 0.0, 2.0])
    scale, zero = quantization.scale_and_zero_point(low, high, 4)
    assert torch.equal(zero, zero.round())
    assert zero.min() >= 0
    assert zero.max() <= 15
    codes = quantization.to_codes(torch.zeros(5), scale, zero, low=0, high=15)
    assert torch.equal(quantization.from_codes(codes, scale, zero), torch.zeros(5))
    assert scale[3] == 1  # of nothing but 0
    assert scale[4] * 15 == 2  # the range is widened to 0


def test_with_a_real_zero_point_two_codes_in_five_differ_from_two_roundings():
    x = 20 * torch.rand(100_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for beta, low, high in ((3.4, 0.39, 0.41), (3.0, 0, 0)):
        differ = ((x + beta).round() != x.round() + round(beta)).double().mean()
        assert low <= differ <= high


# --- Hermite's identity -------------------------------------------------------------------------


def halves(w, rounding):
    """Q((w − ½) / 2) + Q((w + ½) / 2)."""
    return rounding((w - 0.5) / 2) + rounding((w + 0.5) / 2)


def test_hermites_identity_holds_exactly_with_half_up():
    dyadic = torch.arange(-4096, 4097, dtype=torch.float64) / 128
    for w in (dyadic, 20 * images(1_000_000)):
        up = quantization.round_half_up
        assert torch.equal(halves(w, up), up(w))


def test_with_half_to_even_it_fails_at_ties_two_in_four():
    dyadic = torch.arange(-4096, 4096, dtype=torch.float64) / 128
    wrong = dyadic[halves(dyadic, torch.round) != dyadic.round()]
    assert sorted(set((wrong % 4).tolist())) == [1.5, 2.5]
    assert len(wrong) == len(dyadic) / 128 / 2
    assert ((halves(wrong, torch.round) - wrong.round()).abs() == 1).all()


def test_half_up_is_torchs_rounding_but_at_ties():
    x = torch.tensor([-1.5, -0.5, 0.5, 1.5, 2.5, 2.4], dtype=torch.float64)
    assert quantization.round_half_up(x).tolist() == [-1, 0, 1, 2, 3, 2]
    assert x.round().tolist() == [-2, 0, 0, 2, 2, 2]
    codes = quantization.to_codes(x, 1.0, low=-9, high=9, rounding=quantization.round_half_up)
    assert codes.tolist() == [-1, 0, 1, 2, 3, 2]


# --- blocks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("per", ["tensor", "channel", 1, 4, 5, 24, 100])
def test_rows_and_back(per):
    weight = images(3, 4, 2, 3)
    rows = blocks.to_rows(weight, per)
    assert torch.equal(blocks.from_rows(rows, weight.shape, per), weight)
    scale = torch.arange(1.0, len(rows) + 1, dtype=torch.float64)
    assert blocks.count(weight.shape, per) == len(rows)
    scaled = blocks.from_rows(rows * scale[:, None], weight.shape, per)
    assert torch.equal(blocks.spread(scale, weight.shape, per) * weight, scaled)


# --- bad input ----------------------------------------------------------------------------------

ONE = torch.ones(1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: quantization.code_range(1), ValueError, "bits must be a whole number from 2 to 8"),
        (lambda: quantization.code_range(9), ValueError, "bits must be a whole number from 2 to 8"),
        (lambda: quantization.code_range("8"), TypeError, "bits must be a number"),
        (lambda: quantization.code_range(8, "uint8"), ValueError, "kind must be one of"),
        (lambda: quantization.scale_of(-ONE, 8), ValueError, "cannot be negative"),
        (lambda: quantization.scale_of(ONE / 0, 8), ValueError, "threshold contains NaN"),
        (lambda: quantization.scale_of(1.0, 8), TypeError, "threshold must be a tensor"),
        (lambda: quantization.scale_of(ONE, 8, "asymmetric"), ValueError, "has two ends"),
        (lambda: quantization.scale_and_zero_point(ONE, -ONE, 8), ValueError, "lies above"),
        (lambda: quantization.scale_and_zero_point(ONE, ONE / 0, 8), ValueError, "high contains"),
        (lambda: quantization.scale_and_zero_point(ONE, ONE, 10), ValueError, "from 2 to 8"),
        (lambda: blocks.check_per("row"), TypeError, "per must be a number"),
        (lambda: blocks.check_per(0), ValueError, "per must be a whole number of at least 1"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
