"""Products of integers against the same in floats."""

import pytest
import torch
from foreign import assert_same_state, images, state_of
from quantized import SEEDS, dense, results
from torch import nn

from uecompress import networks, quantization, storage, uncertainty


@pytest.mark.parametrize(
    "grid",
    [{}, {"bits": 4}, {"per": "tensor"}, {"kind": "full"}, {"kind": "ternary"}, {"kind": "binary"}],
    ids=str,
)
def test_integers_give_what_rounded_floats_give(grid):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(301, 40), nn.ReLU(), nn.Linear(40, 7, bias=False)).double()
    codes = quantization.quantize(model, **grid)
    before = state_of(codes)
    integers = quantization.int8(codes)
    assert_same_state(codes, before)
    rounds = quantization.DynamicFakeQuantize(8)
    for shape in ((1, 301), (9, 301), (4, 5, 301)):
        x = 3 * images(*shape)
        expected = codes[2](rounds(codes[1](codes[0](rounds(x)))))
        torch.testing.assert_close(integers(x), expected, rtol=1e-11, atol=1e-12)
    assert torch.equal(integers(0 * x), integers(0 * x)[:1, :1].expand(4, 5, 7))


def test_a_plain_network_is_rounded_and_convolutions_stay(tmp_path):
    model, x = networks.lenet5(), torch.rand(6, 1, 28, 28)
    integers = quantization.int8(model).eval()
    assert type(integers.conv1) is nn.Conv2d
    assert torch.equal(integers.linear1.layer.codes, quantization.quantize(model).linear1.codes)
    storage.save(integers, tmp_path / "file")
    assert torch.equal(storage.load(tmp_path / "file")(x), integers(x))
    products = [uncertainty.cost.multiply_adds(network, x) for network in (model, integers)]
    assert products[0] == products[1]


def test_a_transformer_runs_in_integers():
    model, x = networks.vit_tiny().eval(), torch.rand(6, 1, 28, 28)
    integers = quantization.int8(model)
    assert (integers(x) - model(x)).abs().max() < 0.05


@pytest.mark.parametrize("seed", SEEDS)
def test_on_digits_nothing_is_lost(seed):
    accuracy, nll = results(dense(seed))
    found = results(quantization.int8(dense(seed)))
    assert abs(found[0] - accuracy) < 0.005
    assert abs(found[1] - nll) < 0.005


def test_what_integers_cannot_do_is_refused_or_left():
    for grid, words in (
        ({"kind": "nf4"}, "uneven numbers"),
        ({"kind": "asymmetric"}, "more than eight bits"),
        ({"per": 16}, "a scale for each group"),
    ):
        codes = quantization.quantize(networks.lenet300(), **grid)
        with pytest.raises(ValueError, match=words):
            quantization.int8(codes)
        with pytest.raises(ValueError, match=words):
            quantization.Int8Linear(codes.linear1)
    with pytest.raises(TypeError, match="layer must be a QuantizedLinear, not Linear"):
        quantization.Int8Linear(nn.Linear(3, 2))
    with pytest.raises(ValueError, match="the network has no plain Linear"):
        quantization.int8(nn.Conv2d(1, 2, 3))
    mixed = quantization.quantize(networks.lenet300(), {"linear1": 4}, per=16)
    with pytest.warns(UserWarning, match="'linear1' has a scale for each group of inputs"):
        integers = quantization.int8(mixed)
    assert type(integers.linear1) is quantization.QuantizedLinear
    assert type(integers.linear2) is quantization.Int8Linear
