import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from uecompress import data, lowrank, networks, storage, training, uncertainty


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return nn.Linear(12, 8).double()


@pytest.fixture
def x():
    return torch.randn(5, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


# --- one layer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", range(1, 9))
def test_svd_linear_is_the_best_approximation(linear, rank):
    before = copy.deepcopy(linear.state_dict())
    pair = lowrank.svd_linear(linear, rank)
    error = torch.linalg.norm(linear.weight - pair.u.weight @ pair.vh.weight)
    tail = torch.linalg.svdvals(linear.weight)[rank:]
    torch.testing.assert_close(error, tail.norm())
    assert torch.equal(pair.u.bias, linear.bias)
    assert sum(p.numel() for p in pair.parameters()) == rank * (12 + 8) + 8
    assert all(torch.equal(before[k], v) for k, v in linear.state_dict().items())


def test_full_rank_is_the_same_function_with_the_same_gradient(linear, x):
    pair = lowrank.svd_linear(linear, 8)
    x.requires_grad_()
    torch.testing.assert_close(pair(x), linear(x), rtol=0, atol=1e-14)
    (ours,) = torch.autograd.grad(pair(x).square().sum(), x)
    (theirs,) = torch.autograd.grad(linear(x).square().sum(), x)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-13)


def test_both_factors_are_balanced(linear):
    pair = lowrank.svd_linear(linear, 3)
    gram_u, gram_vh = pair.u.weight.T @ pair.u.weight, pair.vh.weight @ pair.vh.weight.T
    torch.testing.assert_close(gram_u, gram_vh)  # both are diag(σ)


def test_no_bias_and_dtype_are_kept():
    layer = nn.Linear(6, 4, bias=False)
    pair = lowrank.svd_linear(layer, 2)
    assert pair.u.bias is None
    assert pair.vh.bias is None
    assert pair.u.weight.dtype == torch.float32


@pytest.mark.parametrize("rank", [0, 9, 1.5])
def test_bad_rank_of_a_layer(linear, rank):
    with pytest.raises(ValueError, match="rank must be a whole number"):
        lowrank.svd_linear(linear, rank)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_a_layer_over_the_whole_range_of_the_type(linear, dtype):
    layer = copy.deepcopy(linear).to(dtype)
    ordinary = lowrank.svd_linear(layer, 3)
    for exponent in {torch.float32: (-120, 60, 120), torch.float64: (-1020, 540, 1020)}[dtype]:
        large = copy.deepcopy(layer)
        large.weight.data = (layer.weight.data.double() * 2.0**exponent).to(dtype)
        pair, share = lowrank.svd_linear(large, 3), 2.0 ** (exponent // 2)
        for new, old in zip(pair, ordinary, strict=True):
            torch.testing.assert_close(new.weight / share, old.weight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("m", "n", "rank"), [(200, 784, 159), (200, 200, 99), (10, 200, 9), (1, 50, 0), (2, 2, 0)]
)
def test_break_even_rank(m, n, rank):
    assert lowrank.break_even_rank(m, n) == rank
    assert rank * (m + n) < m * n <= (rank + 1) * (m + n)


@pytest.mark.parametrize("size", [math.nan, math.inf, 1.5, -3, 0])
def test_break_even_of_what_is_no_matrix(size):
    for sizes in ((size, 5), (5, size)):
        with pytest.raises(ValueError, match="must be a whole number of at least 1"):
            lowrank.break_even_rank(*sizes)
    with pytest.raises(TypeError, match="n must be a number, not None"):
        lowrank.break_even_rank(5, None)


def test_a_layer_that_is_not_plain_is_refused(linear):
    linear.register_forward_hook(lambda module, inputs, output: 2 * output)
    with pytest.raises(ValueError, match="the network has a hook"):
        lowrank.svd_linear(linear, 2)
    conv = torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    for factorize in (lowrank.svd_conv2d, lowrank.tucker_conv2d, lowrank.cp_conv2d):
        with pytest.raises(ValueError, match=r"is parametrized: networks\.plain"):
            factorize(conv, 2)


# --- a whole network ---------------------------------------------------------------------------


def test_compress_by_rank_and_what_is_left_alone():
    model = networks.mlp()
    before = copy.deepcopy(model.state_dict())
    small = lowrank.compress(model, rank=25)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert isinstance(small.linear4, nn.Linear)  # 10 × 200 would grow at rank 25
    assert small.linear1.vh.weight.shape == (25, 784)
    expected = 242_178 - 784 * 200 - 2 * 200 * 200 + 25 * (984 + 400 + 400)
    assert networks.parameter_count(small) == expected

    rows = lowrank.plan(model, rank=25)
    assert [p.name for p in rows] == ["linear1", "linear2", "linear3", "linear4"]
    assert [p.rank for p in rows] == [25, 25, 25, None]
    assert [p.break_even for p in rows] == [159, 99, 99, 9]
    saved = sum(p.parameters_before - p.parameters_after for p in rows)
    assert networks.parameter_count(model) - saved == networks.parameter_count(small)
    weight = small.linear2.u.weight @ small.linear2.vh.weight
    error = torch.linalg.norm(model.linear2.weight - weight) / model.linear2.weight.norm()
    assert rows[1].error == pytest.approx(error.item(), rel=1e-4)
    assert rows[3].error == 0


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_squares_of_weights_need_not_be_floats(scale):
    torch.manual_seed(0)
    layer = torch.nn.Linear(40, 30).double()
    other = copy.deepcopy(layer)
    other.weight.data *= scale
    rows = [lowrank.plan(torch.nn.Sequential(la), energy=0.5)[0] for la in (layer, other)]
    assert rows[0].rank == rows[1].rank
    assert 0 < rows[0].error == pytest.approx(rows[1].error, rel=1e-9)


@pytest.mark.parametrize("energy", [0.3, 0.5, 0.9])
def test_energy_is_kept_with_the_smallest_rank(energy):
    model = networks.mlp()
    for row in lowrank.plan(model, energy=energy)[:3]:
        s = torch.linalg.svdvals(model.get_submodule(row.name).weight.double()).square()
        if row.rank is not None:
            assert s[: row.rank].sum() >= energy * s.sum()
            assert s[: row.rank - 1].sum() < energy * s.sum()
            assert row.error == pytest.approx((s[row.rank :].sum() / s.sum()).sqrt().item())
        else:
            assert s[: row.break_even].sum() < energy * s.sum()


@pytest.mark.parametrize("ratio", [1, 1.5, 4, 20])
def test_ratio_is_reached_and_no_more_than_needed(ratio):
    model = networks.mlp()
    size = networks.parameter_count(lowrank.compress(model, ratio=ratio))
    assert 242_178 / size >= ratio
    assert 242_178 / size <= ratio * 1.02 + 0.2


def test_ensembles_and_other_layers():
    ensemble = networks.Ensemble([networks.mlp(seed=s) for s in range(2)])
    small = lowrank.compress(ensemble, rank=5)
    alone = lowrank.compress(ensemble.members[1], rank=5)
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(small.eval()(x)[1], alone.eval()(x))
    cnn = lowrank.compress(networks.cnn(), rank=5)
    assert cnn.conv3.vh.weight.shape == (5, 32, 3, 3)
    assert cnn.conv3.u.weight.shape == (64, 5, 1, 1)
    assert isinstance(cnn.linear1, nn.Sequential)


def test_a_factorized_network_can_be_factorized_again():
    once = lowrank.compress(networks.mlp(), rank=25)
    twice = lowrank.compress(once, rank=5)
    best = [lowrank.svd_linear(layer, 5) for layer in (once.linear1.u, once.linear1.vh)]
    expected = [pair.u.weight @ pair.vh.weight for pair in best]
    ours = twice.linear1
    torch.testing.assert_close(ours.u.u.weight @ ours.u.vh.weight, expected[0])
    torch.testing.assert_close(ours.vh.u.weight @ ours.vh.vh.weight, expected[1])
    assert (ours.u.vh.weight.shape, ours.vh.u.weight.shape) == ((5, 25), (25, 5))


def test_frozen_layers_stay_frozen():
    small = lowrank.compress(networks.mlp().requires_grad_(False), rank=5)
    assert not any(p.requires_grad for p in small.parameters())


def test_parametrized_layers_are_factorized_once_they_are_plain():
    model = nn.Sequential(*(nn.Linear(20, 20) for _ in range(3)))
    weights = [layer.weight.detach().clone() for layer in model]
    for layer in model:
        nn.utils.parametrizations.weight_norm(layer)
    with pytest.raises(ValueError, match=r"each of '0', '1', '2' is parametrized: networks\.plain"):
        lowrank.compress(model, rank=2)
    small = lowrank.compress(networks.plain(model), rank=2)
    for layer, weight in zip(small, weights, strict=True):
        best = float(torch.linalg.svdvals(weight)[2:].norm())
        found = float(torch.dist(layer.u.weight @ layer.vh.weight, weight).detach())
        assert found == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("method", ["svd", "cp", "tucker", "tt"])
def test_ranks_of_numpy_are_those_of_python(method, tmp_path):
    model = networks.mlp()
    small = lowrank.compress(model, method, rank=np.int64(5))
    storage.save(small, tmp_path / "numpy.uec")
    storage.save(lowrank.compress(model, method, rank=5), tmp_path / "python.uec")
    assert (tmp_path / "numpy.uec").read_bytes() == (tmp_path / "python.uec").read_bytes()
    numpy, python = (lowrank.plan(model, method, rank=r) for r in (np.int64(5), 5))
    assert repr(numpy) == repr(python)


def test_layers_with_sizes_of_numpy_can_be_stored(tmp_path):
    two, four = np.int64(2), np.int64(4)
    conv = nn.Conv2d(4, 4, 3)
    for layer, same in (
        (lowrank.svd_linear(nn.Linear(4, 4), two), nn.Sequential),
        (lowrank.cp_conv2d(conv, two), nn.Sequential),
        (lowrank.TTLinear((two, four), (four, two), two), lowrank.TTLinear),
        (lowrank.TTLinear((two, two), (two, two), (1, two, 1)), lowrank.TTLinear),
        (lowrank.TTConv2d((two, two), (two, two), 3, two), lowrank.TTConv2d),
    ):
        storage.save(layer, tmp_path / "layer.uec")
        again = storage.load(tmp_path / "layer.uec")
        assert type(again) is same
        for name, value in layer.state_dict().items():
            assert torch.equal(again.state_dict()[name], value)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({}, "exactly one"),
        ({"rank": 5, "ratio": 2}, "exactly one"),
        ({"rank": 0}, "from 1 to 200, not 0"),
        ({"rank": 201}, "from 1 to 200, not 201"),
        ({"energy": 0}, r"\(0, 1\]"),
        ({"energy": 1.1}, r"\(0, 1\]"),
        ({"ratio": 0.5}, "at least 1 and finite"),
        ({"ratio": float("nan")}, "at least 1 and finite"),
        ({"ratio": 1000}, "out of reach"),
        ({"rank": 5, "method": "pca"}, "unknown method 'pca'; known: svd, cp, tucker, tt"),
        ({"energy": 0.9, "method": "cp"}, "no spectrum"),
        ({"energy": 1.1, "method": "tt"}, r"\(0, 1\]"),
        ({"ratio": 1000, "method": "tt"}, "out of reach"),
        ({"ratio": 1000, "method": "cp"}, "out of reach"),
    ],
)
def test_bad_budget(budget, message):
    with pytest.raises(ValueError, match=message):
        lowrank.compress(networks.mlp(), **budget)


def test_bad_networks():
    with pytest.raises(ValueError, match="no plain Linear or Conv2d layer"):
        lowrank.compress(nn.Sequential(nn.ReLU()), rank=1)
    with pytest.warns(UserWarning, match="zero-element"):
        empty = nn.Sequential(nn.Linear(0, 3))
    with pytest.raises(ValueError, match="layer '0': weight is empty"):
        lowrank.compress(empty, rank=1)
    with pytest.raises(TypeError, match=r"expected an nn\.Linear, not Conv2d"):
        lowrank.svd_linear(nn.Conv2d(2, 2, 1), 1)
    with pytest.raises(ValueError, match="convolutions in groups alone"):
        lowrank.compress(nn.Sequential(nn.Conv2d(4, 4, 3, groups=4)), rank=1)
    model = networks.mlp()
    model.linear2.weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="layer 'linear2': weight contains NaN"):
        lowrank.compress(model, rank=5)


def test_fine_tuning_recovers_accuracy_on_digits():
    train, (x, y) = data.load("digits", "train"), data.load("digits", "validation")
    settings = {"batch_size": 64, "progress": False}
    gains = []
    for seed in range(3):
        dense = training.fit(
            networks.mlp(seed=seed), train, epochs=10, lr=1e-3, seed=seed, **settings
        )
        crude = lowrank.compress(dense, rank=3)
        tuned = training.fit(crude, train, epochs=3, lr=1e-3, seed=seed, **settings)
        accuracies = [
            uncertainty.accuracy(uncertainty.predict(m, x), y) for m in (dense, crude, tuned)
        ]
        assert accuracies[0] > 0.9
        assert accuracies[1] < accuracies[0]
        gains.append(accuracies[2] - accuracies[1])
    assert sum(gains) / 3 > 0.1
