"""Outlier channel splitting: the function stays, the range shrinks, and codes add up."""

import pytest
import torch
from foreign import assert_same_state, images, randomised, state_of
from quantized import SEEDS, change, dense, results
from torch import nn

from uecompress import networks, quantization, storage


@pytest.mark.parametrize("make", [networks.lenet5, networks.mlp, networks.vit_tiny])
def test_the_function_is_as_it_was_before_quantization(make, tmp_path):
    model, x = randomised(make()), images(4, 1, 28, 28)
    before = state_of(model)
    split = quantization.split_channels(model, 0.1)
    assert_same_state(model, before)
    torch.testing.assert_close(split.eval()(x), model(x), rtol=0, atol=1e-12)
    storage.save(split, tmp_path / "split")
    assert torch.equal(storage.load(tmp_path / "split")(x), split(x))


def test_the_largest_is_split_again_and_again():
    weight = torch.tensor([[1.0, 8.0, 2.0], [0.5, -6.0, 3.0]])
    split, copies = quantization.split_weight(weight, 3)
    assert copies == (1, 1, 1)  # 8 -> 4 + 4 -> 2 + 2 + 4 -> 2 + 2 + 2 + 2
    assert split.tolist() == [[1, 2, 2, 4 / 2, 2, 2], [0.5, -1.5, 3, -1.5, -1.5, -1.5]]
    split, copies = quantization.split_weight(weight, 2)
    assert copies == (1, 1)
    assert split.abs().max() == 4


def test_an_input_of_which_only_one_weight_is_negative_and_large_is_found():
    weight = torch.tensor([[1.0, -9.0], [2.0, 0.0]])
    assert quantization.split_weight(weight, 1)[1] == (1,)


@pytest.mark.parametrize("count", [1, 5, 40])
def test_codes_of_the_parts_add_up_to_that_of_the_whole(count):
    """Hermite's identity, also for parts of parts, with half up; half to even fails at ties."""
    weight, step = images(7, 20), 0.125
    ties = (weight / step).round() * step + step / 2
    for w in (weight, ties):
        split, copies = quantization.split_weight(w, count, step)
        codes = quantization.to_codes(
            split, step, low=-999, high=999, rounding=quantization.round_half_up
        )
        total = codes[:, :20].index_add(1, torch.tensor(copies), codes[:, 20:])
        assert torch.equal(total, quantization.round_half_up(w / step))
        even = quantization.to_codes(split, step, low=-999, high=999)
        total = even[:, :20].index_add(1, torch.tensor(copies), even[:, 20:])
        wrong = (total != (w / step).round()).any()
        assert wrong == (w is ties)


def test_naive_halves_have_twice_the_rounding_error():
    """.577 steps against .289, and codes that differ from the whole's half of the time."""
    w, q = 20 * images(200_000), torch.round
    naive, aware = 2 * q(w / 2), q((w - 0.5) / 2) + q((w + 0.5) / 2)
    assert (naive - w).square().mean().sqrt().item() == pytest.approx(12**-0.5 * 2, rel=0.01)
    assert (aware - w).square().mean().sqrt().item() == pytest.approx(12**-0.5, rel=0.01)
    assert (naive != q(w)).double().mean().item() == pytest.approx(0.5, abs=0.01)
    assert torch.equal(aware, q(w))


def with_outliers(model):
    """Weights of one input in each layer times six, what it is given divided by six: no change."""
    model = randomised(model)
    model.linear2.weight.data[:, 5] *= 6
    model.linear1.weight.data[5] /= 6
    model.linear1.bias.data[5] /= 6
    model.linear3.weight.data[:, 7] *= 6
    model.linear2.weight.data[7] /= 6
    model.linear2.bias.data[7] /= 6
    return model


@pytest.mark.parametrize("bits", [3, 4])
def test_splits_with_one_grid_for_a_layer_are_nearer_and_grid_aware_ones_nearest(bits):
    model, x = with_outliers(networks.lenet300()), images(100, 1, 28, 28)
    none = quantization.quantize(model, bits, per="tensor")
    naive = quantization.quantize_split(model, bits, 0.05, grid_aware=False)
    aware = quantization.quantize_split(model, bits, 0.05)
    errors = [change(model, small.eval(), x) for small in (none, naive, aware)]
    assert errors[1] < 0.8 * errors[0]
    assert errors[2] < 1.05 * errors[1]
    assert aware.linear2.layer.codes.shape == (100, 315)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bits", [3, 2])
def test_on_digits_split_and_clipped_is_no_worse_than_clipped_and_that_better_than_none(seed, bits):
    model = dense(seed)
    mse = {"threshold": quantization.mse_threshold}
    none, clip = (quantization.quantize(model, bits, per="tensor", **k) for k in ({}, mse))
    both = quantization.quantize_split(model, bits, 0.05, **mse)
    (a, _), (b, _), (c, _) = map(results, (none, clip, both))
    assert b >= a - 0.01
    assert c >= b - 0.015


def test_grouped_convolutions_stay_and_are_named():
    model = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.Conv2d(6, 2, 1)).double()
    with pytest.warns(UserWarning, match="'0' has groups of channels"):
        split = quantization.split_channels(model, 0.3)
    assert type(split[0]) is nn.Conv2d
    assert split[1].split.copies
    x = images(2, 4, 6, 6)
    torch.testing.assert_close(split(x), model(x), rtol=0, atol=1e-13)


def call(function, *args, **settings):
    return lambda: function(networks.lenet300(), *args, **settings)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (call(quantization.split_channels, 0), ValueError, r"ratio must be in \(0, 1\]"),
        (call(quantization.split_channels, "1"), TypeError, "ratio must be a number"),
        (call(quantization.quantize_split, 1, 0.1), ValueError, "bits must be a whole number"),
        (call(quantization.quantize_split, 4, 2), ValueError, r"ratio must be in \(0, 1\]"),
        (call(quantization.quantize_split, 4, 1, grid_aware=1), TypeError, "grid_aware must be"),
        (lambda: quantization.split_weight(torch.ones(2, 2), -1), ValueError, "count must be"),
        (lambda: quantization.split_weight(torch.ones(2, 2), 1, -1), ValueError, "step must be"),
        (lambda: quantization.DuplicateChannels(3, (3,)), ValueError, "copies must be a whole"),
        (
            lambda: quantization.DuplicateChannels(3, (2,))(torch.ones(2, 4)),
            ValueError,
            "expected 3 channels, not 4",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
