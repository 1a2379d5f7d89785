"""GPTQ and SmoothQuant: rounding where inputs are not correlated, and products that stay."""

import pytest
import torch
from foreign import assert_same_state, images, randomised, state_of
from quantized import SEEDS, change, dense, results
from quantized import images as digits
from torch import nn

from uecompress import networks, quantization, storage

# --- GPTQ ---------------------------------------------------------------------------------------


def correlated(d, n, seed=0):
    """Inputs of which neighbours are alike."""
    x = images(d, n, seed=seed)
    for j in range(1, d):
        x[j] = 0.9 * x[j - 1] + 0.19**0.5 * x[j]
    return x


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_with_a_diagonal_hessian_it_is_rounding_bit_for_bit(bits):
    weight = images(12, 30)
    low, high = quantization.code_range(bits)
    codes, scale = quantization.code_weight(weight, bits)
    h = (0.1 + images(30, seed=1).square()).diag()
    found = quantization.gptq_rows(weight, h, scale[:, None], low=low, high=high)
    assert torch.equal(found, codes)


def test_each_column_is_made_up_for_as_brute_force_does():
    """With the columns up to j fixed, those behind are the best real numbers there are."""
    weight, x = images(3, 6), correlated(6, 40)
    h, scale = 2 * x @ x.mT, torch.full((3, 1), 0.7, dtype=torch.float64)
    found = quantization.gptq_rows(weight, h, scale, low=-7, high=7)
    w = weight.clone()
    for j in range(6):
        code = (w[:, j : j + 1] / scale).round().clamp(-7, 7)
        assert torch.equal(code, found[:, j : j + 1])
        changed = torch.cat([weight[:, :j], w[:, j:]], 1)  # what follows lives on from there
        delta = (code * scale)[:, 0] - changed[:, j]
        rest = h[j + 1 :, j + 1 :]
        w[:, j] = (code * scale)[:, 0]
        if j < 5:
            w[:, j + 1 :] -= delta[:, None] * torch.linalg.solve(rest, h[j + 1 :, j])


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_outputs_are_nearer_and_weights_are_not(bits):
    """Measured for the notes: .671, .226, .093 by rounding, .511, .161, .071 by GPTQ."""
    weight, x = images(64, 64), correlated(64, 600, seed=2)
    codes, scale = quantization.code_weight(weight, bits)
    low, high = quantization.code_range(bits)
    better = quantization.gptq_rows(weight, x @ x.mT, scale[:, None], low=low, high=high)
    rounded, moved = (c * scale[:, None] for c in (codes, better))
    errors = [((w - weight) @ x).norm() / (weight @ x).norm() for w in (rounded, moved)]
    assert errors[1] < 0.9 * errors[0]
    assert (moved - weight).norm() > (rounded - weight).norm()


@pytest.mark.parametrize("make", [networks.lenet5, networks.vit_tiny])
def test_networks_of_codes_keep_their_scales_and_their_file(make, tmp_path):
    model, x = randomised(make()), images(40, 1, 28, 28)
    before = state_of(model)
    small = quantization.gptq(model, x, 4, per=16)
    assert_same_state(model, before)
    rounded = quantization.quantize(model, 4, per=16)
    for name, layer in rounded.named_modules():
        if hasattr(layer, "codes"):
            assert torch.equal(layer.scale, small.get_submodule(name).scale)
    storage.save(small, tmp_path / "small")
    assert torch.equal(storage.load(tmp_path / "small")(x), small(x))
    assert change(model, small, x) < change(model, rounded.eval(), x)


def test_each_layer_is_given_what_the_rounded_network_makes():
    model, x = randomised(networks.lenet300()), images(60, 1, 28, 28)
    small = quantization.gptq(model, x, 3)
    given = torch.relu(small.linear1(x.flatten(1)))
    h = networks.hessian(given.mT @ given, 60)
    codes, scale = quantization.code_weight(model.linear2.weight, 3)
    found = quantization.gptq_rows(model.linear2.weight, h, scale[:, None], low=-3, high=3)
    assert torch.equal(found, small.linear2.codes.double())
    assert not torch.equal(found, codes)


def test_inputs_that_were_always_zero_are_rounded():
    model, x = randomised(networks.lenet300()), images(60, 1, 28, 28)
    x[:, :, :3] = 0
    small, rounded = quantization.gptq(model, x, 4), quantization.quantize(model, 4)
    dead = x.flatten(1).abs().sum(0) == 0
    assert torch.equal(small.linear1.codes[:, dead], rounded.linear1.codes[:, dead])
    assert not torch.equal(small.linear1.codes, rounded.linear1.codes)


def test_convolutions_in_groups():
    model = randomised(nn.Sequential(nn.Conv2d(4, 6, 3, groups=2, padding=1), nn.ReLU()))
    x = images(1, 4, 6, 6).repeat(8, 1, 1, 1) + 0.3 * images(8, 4, 6, 6, seed=1)
    small = quantization.gptq(model, x, 3)
    assert change(model, small, x) < change(model, quantization.quantize(model, 3), x)


@pytest.mark.parametrize("seed", SEEDS)
def test_on_digits_three_bits_are_nearer_by_gptq(seed):
    model, x = dense(seed), digits(300, "test")
    small, rounded = quantization.gptq(model, digits(500), 3), quantization.quantize(model, 3)
    assert change(model, small, x) < 0.8 * change(model, rounded, x)
    assert abs(results(small)[0] - results(model)[0]) < 0.015


# --- SmoothQuant --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [networks.mlp, networks.cnn, networks.vit_tiny])
@pytest.mark.parametrize("alpha", [0, 0.5, 1])
def test_the_function_stays(make, alpha):
    model, x = randomised(make()), images(20, 1, 28, 28)
    before = state_of(model)
    smoothed = quantization.smooth(model, x, alpha)
    assert_same_state(model, before)
    torch.testing.assert_close(smoothed(x), model(x), rtol=0, atol=1e-12 * 50)
    changed = [
        name
        for name, p in model.named_parameters()
        if not torch.equal(p, smoothed.get_parameter(name))
    ]
    assert len(changed) > 5


def test_a_half_makes_inputs_and_weights_equally_large():
    model, x = randomised(networks.mlp()), images(30, 1, 28, 28)
    smoothed = quantization.smooth(model, x)
    given = smoothed.norm1(x.flatten(1))
    inputs, weights = given.abs().amax(0), smoothed.linear1.weight.abs().amax(0)
    torch.testing.assert_close(inputs, weights, rtol=1e-10, atol=0)
    whole = quantization.smooth(model, x, 1)
    inputs = whole.norm1(x.flatten(1)).abs().amax(0)
    torch.testing.assert_close(inputs, torch.ones_like(inputs), rtol=1e-10, atol=0)


def test_queries_keys_and_values_share_what_their_norm_takes():
    model, x = randomised(networks.vit_tiny()), images(10, 1, 28, 28)
    block, smoothed = model.attention1.branch, quantization.smooth(model, x).attention1.branch
    ratios = [
        smoothed.attention.get_submodule(name).weight / block.attention.get_submodule(name).weight
        for name in "qkv"
    ]
    s = ratios[0].mean(0)
    for ratio in ratios:
        torch.testing.assert_close(ratio, s.expand_as(ratio), rtol=1e-10, atol=0)
    torch.testing.assert_close(block.norm.weight / smoothed.norm.weight, s, rtol=1e-10, atol=0)
    tokens = images(4, 16, 64)
    for name in "qkv":
        a, b = block.attention.get_submodule(name), smoothed.attention.get_submodule(name)
        torch.testing.assert_close(a(block.norm(tokens)), b(smoothed.norm(tokens)),
                                   rtol=0, atol=1e-12)  # fmt: skip


def test_activations_with_an_outlier_are_rounded_better_afterwards():
    model, x = randomised(networks.mlp()), images(100, 1, 28, 28)
    for k in (2, 3, 4):  # one channel of each norm thirty times as large, its weights as much less
        norm, layer = model.get_submodule(f"norm{k}"), model.get_submodule(f"linear{k}")
        norm.weight.data[3] *= 30
        norm.bias.data[3] *= 30
        layer.weight.data[:, 3] /= 30
    smoothed, errors = quantization.smooth(model, x), []
    for network in (model, smoothed):
        rounded = quantization.round_activations(quantization.quantize(network, 6), x, 6)
        errors.append(change(model, rounded, x))
    assert errors[1] < 0.5 * errors[0]


def test_an_input_without_ink_keeps_its_scale():
    model = randomised(nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 3)))
    model[0].weight.data[2] = model[0].bias.data[2] = 0
    smoothed = quantization.smooth(model, images(9, 5))
    assert torch.equal(smoothed[1].weight[:, 2], model[1].weight[:, 2])
    assert not torch.equal(smoothed[1].weight[:, 1], model[1].weight[:, 1])


X = torch.rand(5, 1, 28, 28)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: quantization.gptq(networks.lenet300(), X, 1), ValueError, "bits must be a whole"),
        (lambda: quantization.gptq(networks.lenet300(), X.double()), TypeError, "x is of torch.f"),
        (lambda: quantization.gptq(networks.lenet300(), 0 * X), ValueError, "'linear1': the inpu"),
        (
            lambda: quantization.gptq(networks.lenet300(), X, kind="asymmetric"),
            ValueError,
            "kind must be symmetric or full",
        ),
        (
            lambda: quantization.gptq(networks.lenet300(), X, damping=0),
            ValueError,
            "the Hessian has no inverse",
        ),
        (lambda: quantization.smooth(networks.lenet300(), X), ValueError, "no norm of the network"),
        (lambda: quantization.smooth(networks.mlp(), X, 2), ValueError, r"alpha must be in \[0, 1"),
        (lambda: quantization.smooth(networks.mlp(), X.double()), TypeError, "x is of torch.float"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
