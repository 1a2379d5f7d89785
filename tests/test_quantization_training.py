"""Training with the quantizer: learned steps, ternary weights, and the integers that remain."""

import math

import pytest
import torch
from foreign import assert_same_state, images, randomised, state_of
from quantized import SEEDS, dense, results
from quantized import images as digits
from torch import nn

from uecompress import bench, networks, quantization, storage, training, uncertainty

# --- the gradient of the step -------------------------------------------------------------------


@pytest.mark.parametrize("step", [0.3, -0.3])
def test_the_gradients_are_those_of_the_paper(step):
    x = images(200).requires_grad_()
    s = torch.tensor(step, dtype=torch.float64, requires_grad=True)
    towards, low, high = images(200, seed=1), -4, 3
    found = quantization.learned_rounding(x, s, low, high, 200)
    ratio = (x / s).detach()
    torch.testing.assert_close(found, ratio.round().clamp(low, high) * s, rtol=1e-12, atol=0)
    (towards * found).sum().backward()
    inside = (ratio > low) & (ratio < high)
    by_step = torch.where(inside, ratio.round() - ratio, ratio.clamp(low, high))  # eq. (3)
    expected = (towards * by_step).sum() / math.sqrt(200 * high)
    torch.testing.assert_close(s.grad, expected, rtol=1e-10, atol=0)
    assert torch.equal(x.grad != 0, inside)
    torch.testing.assert_close(x.grad[inside], towards[inside], rtol=1e-12, atol=0)


def test_whole_numbers_have_the_gradient_of_what_was_rounded():
    x = torch.tensor([0.5, 1.5, -2.4], requires_grad=True)
    y = quantization.round_through(x)
    assert y.tolist() == [0, 2, -2]
    y.sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


def test_a_layer_starts_with_the_papers_step():
    plain = nn.Linear(30, 20).double()
    layer = quantization.LSQLinear.from_linear(plain, bits=3)
    torch.testing.assert_close(layer.step, 2 * plain.weight.abs().mean() / math.sqrt(3))
    assert torch.equal(layer.weight, plain.weight)
    fresh = quantization.LSQLinear(400, 300, bits=3)
    expected = 2 * fresh.weight.abs().mean() / math.sqrt(3)
    torch.testing.assert_close(fresh.step, expected, rtol=0.02, atol=0)
    plain.weight.data.zero_()
    assert quantization.LSQLinear.from_linear(plain).step == 1


def test_ternary_weights_by_hand():
    layer = quantization.TernaryLinear(4, 1, bias=False)
    layer.weight.data = torch.tensor([[2.0, -0.4, 0.6, 1.0]])  # mean size 1
    assert layer.dense_weight.tolist() == [[1, 0, 1, 1]]
    (3 * layer.dense_weight.sum()).backward()
    assert layer.weight.grad.tolist() == [[3, 3, 3, 3]]  # straight through, also beyond ±1
    layer.weight.data.zero_()
    assert not layer.dense_weight.any()


# --- networks and what they end in --------------------------------------------------------------


def small_lenet():
    """Of a tenth of the units."""
    return networks.keep_units(networks.lenet5(), "linear1", range(50))


def methods(x):
    return {
        "lsq": lambda model: quantization.lsq(model, 3),
        "lsq with activations": lambda model: quantization.lsq(model, 4, x),
        "bitnet": quantization.bitnet,
    }


@pytest.mark.parametrize("method", methods(None))
@pytest.mark.parametrize("make", [small_lenet, networks.mlp, networks.vit_tiny])
def test_integers_predict_what_the_trained_network_does(method, make, tmp_path):
    model, x = randomised(make(), torch.float32), images(9, 1, 28, 28, dtype=torch.float32)
    before = state_of(model)
    trained = methods(x)[method](model).eval()
    assert_same_state(model, before)
    storage.save(trained, tmp_path / "trained")  # a checkpoint
    assert torch.equal(storage.load(tmp_path / "trained")(x), trained(x))
    small = quantization.finish(trained)
    assert torch.equal(small(x), trained(x))
    storage.save(small, tmp_path / "small")
    assert torch.equal(storage.load(tmp_path / "small")(x), trained(x))
    assert not any(isinstance(m, quantization.trained.TrainedLayer) for m in small.modules())
    kinds = {type(m).__name__ for m in small.modules()}
    assert "LearnedFakeQuantize" not in kinds
    assert kinds & {"QuantizedLinear", "QuantizedConv2d"}
    names = [n for n, _ in small.named_parameters() if "step" in n or "scale" in n]
    assert not names


def tuned(network, seed, epochs):
    how = bench.SETTINGS | {"epochs": epochs, "lr": 1e-3}
    return bench.fit(network, seed, **how)


@pytest.mark.parametrize("seed", SEEDS)
def test_on_digits_two_trained_bits_are_better_than_two_rounded_ones(seed, tmp_path):
    """Rounded .81 to .91 with or without clipping; trained within .02 of the dense network."""
    model = dense(seed)
    rounded = quantization.quantize(model, 2, threshold=quantization.mse_threshold)
    trained = quantization.finish(tuned(quantization.lsq(model, 2), seed, 6))
    assert results(trained)[0] > results(rounded)[0] + 0.005
    assert results(trained)[0] > results(model)[0] - 0.025
    assert trained.linear1.codes.unique().tolist() == [-2, -1, 0, 1]
    assert storage.save(trained, tmp_path / "file") < 266_610 / 4 * 1.05


@pytest.mark.parametrize("seed", SEEDS)
def test_on_digits_ternary_weights_train(seed):
    """Trained .916 to .926, at most .007 below the dense network; rounded .886 to .910."""
    model = dense(seed)
    trained = quantization.finish(bench.fit(quantization.bitnet(model), seed, **bench.SETTINGS))
    assert results(trained)[0] > results(model)[0] - 0.02
    rounded = quantization.quantize(model, kind="ternary", per="tensor")
    assert results(trained)[0] > results(rounded)[0]
    assert results(trained)[1] < results(rounded)[1]
    assert trained.linear2.layer.codes.unique().tolist() == [-1, 0, 1]


def test_training_moves_steps_and_is_repeatable():
    model = quantization.lsq(networks.lenet300(), {"linear1": 8, "linear2": 2}, digits(50))
    assert type(model.linear3) is nn.Linear
    x, y = digits(100), torch.arange(100) % 10
    settings = {"epochs": 2, "batch_size": 20, "lr": 1e-3, "seed": 0, "progress": False}
    one, two = (training.fit(model, (x, y), **settings) for _ in range(2))
    assert_same_state(one, two.state_dict())
    assert one.linear2.layer.step != model.linear2.layer.step
    assert one.linear2.round.scale != model.linear2.round.scale


def test_only_the_named_layers_are_ternary():
    model = quantization.bitnet(networks.lenet300(), only=["linear2"], activation_bits=4)
    assert type(model.linear1) is nn.Linear
    assert type(model.linear2.layer) is quantization.TernaryLinear
    assert model.linear2.round.bits == 4


X = torch.rand(5, 1, 28, 28)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: quantization.lsq(networks.lenet300(), 1), ValueError, "'linear1': bits must be"),
        (lambda: quantization.lsq(networks.lenet300(), "2"), TypeError, "bits must be a number"),
        (
            lambda: quantization.lsq(networks.lenet300(), {"a": 2}),
            ValueError,
            "no plain layers: 'a",
        ),
        (lambda: quantization.lsq(networks.lenet300(), 2, 0 * X), ValueError, "'linear1' were all"),
        (lambda: quantization.lsq(nn.ReLU(), 2), ValueError, "no plain Linear or Conv2d"),
        (
            lambda: quantization.bitnet(networks.lenet300(), only=["linear7"]),
            ValueError,
            "no plain layers: 'linear7'",
        ),
        (
            lambda: quantization.bitnet(networks.lenet300(), activation_bits=1),
            ValueError,
            "activation_bits must be a whole number from 2 to 8",
        ),
        (lambda: quantization.finish(networks.lenet300()), ValueError, "no layer that was trained"),
        (lambda: quantization.LSQLinear(3, 2, bits=9), ValueError, "bits must be a whole number"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_nonzero_weights_of_what_was_trained_are_codes_and_biases():
    small = quantization.finish(quantization.lsq(networks.lenet300(), 4, digits(50)))
    codes = sum(int(m.codes.count_nonzero()) for m in small.modules() if hasattr(m, "codes"))
    assert uncertainty.nonzero.nonzero_count(small) == codes + 410
