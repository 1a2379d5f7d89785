"""Bits by sensitivity, against all choices; and variances on two grids."""

import itertools

import pytest
import torch
from quantized import SEEDS, dense, results

from uecompress import bayes, data, networks, quantization, storage, uncertainty


def test_the_choice_is_the_best_of_all():
    draw = torch.Generator().manual_seed(0)
    for mean in (2.0, 2.7, 3.3, 5, 8):
        choices, sizes = (2, 3, 4, 8), {name: 10 * k + 7 for k, name in enumerate("abcde")}
        rises = {
            name: dict(zip(choices, torch.randn(4, generator=draw).tolist(), strict=True))
            for name in sizes
        }
        found = quantization.choose_bits(rises, sizes, mean)

        def bits(choice, sizes=sizes):
            return sum(sizes[name] * b for name, b in choice.items()) / sum(sizes.values())

        def total(choice, rises=rises):
            return sum(rises[name][b] for name, b in choice.items())

        every = [
            dict(zip(sizes, each, strict=True)) for each in itertools.product(choices, repeat=5)
        ]
        best = min(total(choice) for choice in every if bits(choice) <= mean + 1e-12)
        assert bits(found) <= mean + 1e-12
        assert total(found) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_rises_are_those_of_one_layer_alone_and_mixed_bits_are_no_worse_than_equal_ones(seed):
    """NLL at 2.5 bits a weight on the average: all layers with 2 against the choice."""
    model, validation = dense(seed), data.load("digits", "validation")
    rises = quantization.sensitivity(model, validation, (2, 4))
    x, y = validation
    log_probs = [
        uncertainty.predict(network, x)
        for network in (quantization.quantize(model, {"linear2": 2}), model)
    ]
    by_hand = uncertainty.nll(log_probs[0], y) - uncertainty.nll(log_probs[1], y)
    assert rises["linear2"][2] == pytest.approx(by_hand, abs=1e-12)
    mixed = quantization.mixed_precision(model, validation, 2.5, (2, 3, 4, 8))
    sizes = [layer.codes.numel() for layer in (mixed.linear1, mixed.linear2, mixed.linear3)]
    bits = [layer.bits for layer in (mixed.linear1, mixed.linear2, mixed.linear3)]
    assert sum(s * b for s, b in zip(sizes, bits, strict=True)) <= 2.5 * sum(sizes)
    assert max(bits[1:]) > bits[0]
    assert results(mixed)[1] < results(quantization.quantize(model, 2))[1]


def posterior():
    """Log variances from −16 to 2."""
    model = bayes.variational(networks.lenet300(), "sparse_vd").double()
    draw = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if name.endswith("log_sigma2"):
            parameter.data.uniform_(-16, 2, generator=draw)
    return model


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_variances_take_few_values_and_on_the_log_grid_all_keep_their_size(bits, tmp_path):
    model, lengths = posterior(), []
    for grid in ("log", "linear"):
        small = quantization.quantize_variances(model, bits, grid)
        for name, parameter in model.named_parameters():
            found = small.get_parameter(name)
            if not name.endswith("log_sigma2"):
                assert torch.equal(found, parameter)
                continue
            assert len(found.unique()) <= 2**bits
            error = (found - parameter).abs().max()
            half = (parameter.max() - parameter.min()) / (2**bits - 1) / 2
            if grid == "log":
                assert error <= half * (1 + 1e-12)
            elif bits > 1:
                assert error > 2 * half
            sigma2 = (found.exp() - parameter.exp()).abs().max()
            if grid == "linear":
                ends = parameter.exp().max() - parameter.exp().min()
                assert sigma2 <= ends / (2**bits - 1) / 2 * (1 + 1e-9)
        lengths.append(storage.save(small, tmp_path / grid))
    assert max(lengths) < storage.save(model, tmp_path / "model") * 0.6


def test_equal_variances_stay():
    model = bayes.variational(networks.lenet300(), "sparse_vd")
    small = quantization.quantize_variances(model, 2)
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), small.parameters(), strict=True)
    )


def with_infinite_variance():
    model = posterior()
    model.linear1.weight_log_sigma2.data[0, 0] = torch.inf
    return model


SIZES = {"a": 3, "b": 1}
RISES = {"a": {2: 0.1, 4: 0.0}, "b": {2: 0.5, 4: 0.0}}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: quantization.choose_bits(RISES, SIZES, 1.9),
            ValueError,
            "no choice of bits keeps",
        ),
        (lambda: quantization.choose_bits(RISES, SIZES, 0), ValueError, "mean_bits must be positi"),
        (lambda: quantization.choose_bits(RISES, SIZES, "2"), TypeError, "mean_bits must be a num"),
        (
            lambda: quantization.sensitivity(dense(0), data.load("digits", "validation"), ()),
            ValueError,
            "no choices of bits",
        ),
        (
            lambda: quantization.sensitivity(dense(0), data.load("digits", "validation"), (1,)),
            ValueError,
            "bits must be a whole number",
        ),
        (
            lambda: quantization.quantize_variances(posterior(), 0),
            ValueError,
            "bits must be a whol",
        ),
        (
            lambda: quantization.quantize_variances(posterior(), 2, "square"),
            ValueError,
            'grid must be "log" or "linear"',
        ),
        (
            lambda: quantization.quantize_variances(networks.lenet300(), 2),
            ValueError,
            "no log variances",
        ),
        (
            lambda: quantization.quantize_variances(with_infinite_variance(), 2),
            ValueError,
            "linear1.weight_log_sigma2 contains NaN or infinity",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
