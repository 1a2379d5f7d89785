"""Layers of integer codes: what they keep, their files, and networks that have them."""

import copy
from collections import OrderedDict

import pytest
import torch
from foreign import assert_same_state, images, randomised, state_of
from quantized import SEEDS, dense, results
from torch import nn

from uecompress import networks, quantization, storage, uncertainty
from uecompress.quantization import blocks

GRIDS = [
    {"bits": 8}, {"bits": 3, "per": "tensor"}, {"bits": 4, "per": 5}, {"bits": 2, "kind": "full"},
    {"bits": 8, "kind": "asymmetric"}, {"bits": 4, "kind": "asymmetric", "per": 7},
    {"bits": 4, "kind": "nf4", "per": 6}, {"bits": 2, "kind": "ternary", "per": "tensor"},
    {"bits": 1, "kind": "binary", "per": 4},
]  # fmt: skip
each_grid = pytest.mark.parametrize("grid", GRIDS, ids=str)


# --- the codes ----------------------------------------------------------------------------------


@each_grid
def test_a_weight_of_the_grid_is_kept_as_it_is(grid):
    once = nn.Linear(14, 6).double()
    once.weight.data = images(6, 14)
    layer = quantization.QuantizedLinear.from_linear(once, **grid)
    again = nn.Linear(14, 6).double()
    again.weight.data = layer.dense_weight.clone()
    if layer.kind != "full" and layer.kind != "binary":
        second = quantization.QuantizedLinear.from_linear(again, **grid)
        torch.testing.assert_close(second.dense_weight, layer.dense_weight, rtol=1e-12, atol=0)


@each_grid
def test_a_code_is_that_of_the_nearest_number_of_the_grid(grid):
    weight = images(6, 14)
    codes, scale = quantization.code_weight(weight, **grid)
    layer = quantization.QuantizedLinear(14, 6, **grid).double()
    layer.keep(codes, scale)
    found = (layer.dense_weight - weight).abs()
    low, high = codes.min(), codes.max()
    for shift in (-1, 1):  # the neighbouring codes are no nearer
        if layer.kind == "binary":
            layer.codes.copy_(-codes)
        else:
            layer.codes.copy_((codes + shift).clamp(low, high))
        assert (found <= (layer.dense_weight - weight).abs() + 1e-12).all()


def test_ternary_and_binary_are_the_best_there_are():
    weight = images(3, 40)
    for kind, bits in (("ternary", 2), ("binary", 1)):
        codes, scale = quantization.code_weight(weight, bits, kind)
        found = (scale[:, None] * codes - weight).square().sum(1)
        for row, best in zip(weight, found, strict=True):
            sizes = row.abs().sort(descending=True).values
            ks = range(1, 41) if kind == "ternary" else (40,)
            errors = [
                (sizes[:k] - sizes[:k].mean()).square().sum() + sizes[k:].square().sum() for k in ks
            ]
            torch.testing.assert_close(best, torch.stack(errors).min(), rtol=1e-9, atol=0)


def test_the_sixteen_numbers_are_quantiles_of_a_normal():
    """Eight of the positive side and seven of the negative: Dettmers et al., Appendix E."""
    from scipy.stats import norm

    offset = 0.5 * ((1 - 1 / 32) + (1 - 1 / 30))
    positive = norm.ppf(torch.linspace(offset, 0.5, 9)[:-1].double())
    negative = -norm.ppf(torch.linspace(offset, 0.5, 8)[:-1].double())
    expected = torch.tensor([*negative, 0.0, *reversed(positive)]) / positive.max()
    found = torch.tensor(quantization.NF4, dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_zeros_are_codes_zero_and_a_layer_of_zeros_is_no_problem():
    weight = images(4, 9)
    weight[:, ::3], weight[2] = 0, 0
    for grid in GRIDS[:-1]:  # a binary one has no zero
        codes, scale = quantization.code_weight(weight, **grid)
        assert (codes[weight == 0] == 0).all()
        assert (scale > 0).all()


def test_constant_weights_are_kept():
    for value in (-0.3, 0.7):
        weight = torch.full((2, 6), value, dtype=torch.float64)
        for grid in ({"bits": 8}, {"bits": 2}, {"bits": 8, "kind": "asymmetric"}, *GRIDS[-2:]):
            codes, scale = quantization.code_weight(weight, **grid)
            dense = blocks.spread(scale, weight.shape, grid.get("per", "channel")) * codes
            torch.testing.assert_close(dense, weight, rtol=1e-12, atol=0)


def test_clipping_is_what_the_threshold_says():
    weight = images(4, 200)
    weight[0, 0] = 4
    codes, scale = quantization.code_weight(weight, 4, threshold=quantization.mse_threshold)
    assert codes.abs().max() == 7
    assert codes[0, 0] * scale[0] < 3.9
    whole, widest = quantization.code_weight(weight, 4)
    pairs = (codes, scale), (whole, widest)
    errors = [(c * s[:, None] - weight).square().sum(1) for c, s in pairs]
    assert (errors[0] < errors[1]).all()


def test_more_bits_and_smaller_groups_are_nearer():
    weight = images(10, 64)
    errors = []
    for grid in ({"bits": 2}, {"bits": 4}, {"bits": 4, "per": 8}, {"bits": 8}):
        layer = quantization.QuantizedLinear(64, 10, **grid).double()
        layer.keep(*quantization.code_weight(weight, **grid))
        errors.append((layer.dense_weight - weight).norm().item())
    assert errors == sorted(errors, reverse=True)


# --- networks -----------------------------------------------------------------------------------


def convolutional():
    """A small LeNet."""
    layers = {"conv1": nn.Conv2d(1, 4, 5), "relu1": nn.ReLU(), "pool1": nn.MaxPool2d(4)}
    layers |= {"conv2": nn.Conv2d(4, 6, 3), "relu2": nn.ReLU(), "flatten": nn.Flatten()}
    layers |= {"linear1": nn.Linear(96, 20), "relu3": nn.ReLU(), "linear2": nn.Linear(20, 10)}
    return nn.Sequential(OrderedDict(layers))


@each_grid
def test_files_of_networks_and_what_they_count(grid, tmp_path):
    model = randomised(convolutional())
    model.conv2.weight.data[3] = 0
    before = state_of(model)
    small = quantization.quantize(model, **grid)
    assert_same_state(model, before)
    storage.save(small, tmp_path / "small")
    loaded = storage.load(tmp_path / "small")
    x = images(5, 1, 28, 28)
    assert torch.equal(small.eval()(x), loaded(x))
    for name in ("conv1", "conv2", "linear1", "linear2"):
        a, b = small.get_submodule(name), loaded.get_submodule(name)
        assert (
            a.codes.dtype
            == b.codes.dtype
            == (torch.int16 if "asym" in str(grid) and grid["bits"] == 8 else torch.int8)
        )
        assert torch.equal(a.codes, b.codes)
        torch.testing.assert_close(
            a(torch.ones_like(_input(name))), _dense(a)(torch.ones_like(_input(name)))
        )
    weights = sum(
        int(layer.codes.count_nonzero()) for layer in small.modules() if hasattr(layer, "codes")
    )
    biases = sum(p.numel() for n, p in model.named_parameters() if n.endswith("bias"))
    card = uncertainty.nonzero.nonzero_count(small)
    assert card == weights + biases  # scales make no weights
    if grid["bits"] > 1:
        assert (small.conv2.codes[3] == 0).all()


def _input(name):
    shapes = {"conv1": (1, 1, 28, 28), "conv2": (1, 4, 6, 6), "linear1": (1, 96)}
    return torch.empty(shapes.get(name, (1, 20)), dtype=torch.float64)


def _dense(layer):
    plain = copy.deepcopy(layer.ordinary()).double()
    plain.weight.data, plain.bias.data = layer.dense_weight, layer.dense_bias.data
    return plain


def test_fewer_bits_are_fewer_bytes(tmp_path):
    model, sizes = dense(0), []
    for bits in (8, 4, 2):
        sizes.append(storage.save(quantization.quantize(model, bits), tmp_path / "file"))
    assert 266_610 * 0.25 < sizes[0] < 266_610 * 1.02
    assert sizes[1] < 0.6 * sizes[0]
    assert sizes[2] < 0.6 * sizes[1]


def test_bits_by_layer_and_layers_that_stay():
    model = networks.lenet300()
    small = quantization.quantize(model, {"linear1": 3, "linear3": 8})
    assert (small.linear1.bits, small.linear3.bits) == (3, 8)
    assert type(small.linear2) is nn.Linear
    assert torch.equal(small.linear2.weight, model.linear2.weight)


def test_attention_and_ensembles_are_quantized_too():
    vit = randomised(networks.vit_tiny())
    small = quantization.quantize(vit)
    assert type(small.attention1.branch.attention.q) is quantization.QuantizedLinear
    x = images(3, 1, 28, 28)
    torch.testing.assert_close(small.eval()(x), vit(x), rtol=0, atol=0.1)
    both = networks.Ensemble([networks.lenet300(seed=s) for s in (0, 1)])
    assert quantization.quantize(both)(x.float()).shape == (2, 3, 10)


def test_sixteen_bits_are_exactly_torchs_and_a_file_has_half_the_bytes(tmp_path):
    model = dense(0)
    for dtype in (torch.float16, torch.bfloat16):
        small = quantization.round_floats(model, dtype)
        for name, parameter in model.named_parameters():
            assert torch.equal(small.get_parameter(name), parameter.to(dtype).float())
        assert storage.save(small, tmp_path / "file") < 0.51 * 4 * 266_610


@pytest.mark.parametrize("seed", SEEDS)
def test_eight_bits_lose_nothing_on_digits_and_two_do(seed):
    """Of three seeds: 8 bits |ΔNLL| ≤ .001, 4 bits ≤ .02, 2 bits .25 to .5 without clipping."""
    model = dense(seed)
    accuracy, nll = results(model)
    eight, four = (results(quantization.quantize(model, bits)) for bits in (8, 4))
    assert abs(eight[0] - accuracy) <= 0.002
    assert abs(eight[1] - nll) < 0.002
    assert abs(four[0] - accuracy) < 0.01
    assert abs(four[1] - nll) < 0.03
    two = quantization.quantize(model, 2)
    clipped = quantization.quantize(model, 2, threshold=quantization.mse_threshold)
    assert results(two)[1] > nll + 0.15
    assert results(clipped)[1] < results(two)[1] - 0.05
    assert results(clipped)[0] > results(two)[0]


# --- bad input ----------------------------------------------------------------------------------


def quantize(*args, **settings):
    return lambda: quantization.quantize(networks.lenet300(), *args, **settings)


def with_weight(value):
    model = networks.lenet300()
    model.linear2.weight.data[0, 0] = value
    return model


LAYER = quantization.QuantizedLinear(3, 2, bits=4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (quantize(1), ValueError, "layer 'linear1': bits must be a whole number from 2 to 8"),
        (quantize(9), ValueError, "bits must be a whole number from 2 to 8, not 9"),
        (quantize(2.5), ValueError, "bits must be a whole number"),
        (quantize("8"), TypeError, "bits must be a number"),
        (quantize(8, kind="nf4"), ValueError, "bits must be a whole number from 4 to 4"),
        (quantize(kind="int8"), ValueError, "kind must be one of symmetric"),
        (quantize(per="row"), TypeError, "per must be a number"),
        (quantize(per=0), ValueError, "per must be a whole number of at least 1"),
        (quantize({"linear9": 4}), ValueError, "no plain layers: 'linear9'"),
        (quantize({}), ValueError, "bits names no layer"),
        (
            quantize(kind="ternary", threshold=quantization.mse_threshold),
            ValueError,
            "a threshold is for grids around 0, not ternary ones",
        ),
        (lambda: quantization.quantize(nn.ReLU()), ValueError, "no plain Linear or Conv2d layer"),
        (
            lambda: quantization.quantize(with_weight(float("nan"))),
            ValueError,
            "layer 'linear2': weight contains NaN or infinity",
        ),
        (
            lambda: quantization.round_floats(with_weight(1e5), torch.float16),
            ValueError,
            "layer 'linear2': weight contains NaN or infinity",
        ),
        (
            lambda: quantization.round_floats(networks.lenet300(), torch.int8),
            TypeError,
            "dtype must be torch.float16 or torch.bfloat16",
        ),
        (lambda: LAYER.keep(8 * torch.ones(2, 3), torch.ones(2)), ValueError, "from -7 to 7"),
        (lambda: LAYER.keep(0.5 * torch.ones(2, 3), torch.ones(2)), ValueError, "whole numbers"),
        (lambda: LAYER.keep(torch.ones(3, 2), torch.ones(2)), ValueError, "expected one shape"),
        (lambda: LAYER.keep(torch.ones(2, 3), torch.ones(2) / 0), ValueError, "scale contains"),
        (lambda: quantization.QuantizedLinear(3, 2, kind="nf4"), ValueError, "from 4 to 4"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
