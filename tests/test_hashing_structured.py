"""Structured multi-hashing against slices of a dense product in float64."""

import copy
import itertools
import math

import pytest
import torch
from torch import nn

from uecompress import hashing, networks, storage, training
from uecompress.hashing import StructuredConv2d, StructuredLinear
from uecompress.hashing.matrix_slice import MatrixSlice
from uecompress.hashing.structured import side


def hashed_layers(model):
    """Those with U and V."""
    return [module for module in model.modules() if hasattr(module, "u")]


def expected_weights(model):
    """The layers' weights, cut from the whole matrix one after another."""
    layers = hashed_layers(model)
    matrix, start, weights = (layers[0].u @ layers[0].v).flatten(), 0, []
    for layer in layers:
        size = math.prod(layer.shape)
        weights.append(layer.scale * matrix[start : start + size].view(layer.shape))
        start += size
    return weights


# --- weights and gradients ------------------------------------------------------------------------


@pytest.mark.parametrize("make", [networks.lenet300, networks.lenet5, networks.resnet_small])
def test_weights_are_consecutive_slices_of_one_matrix(make):
    model = hashing.structured(make(), ratio=16, seed=0).double()
    layers, expected = hashed_layers(model), expected_weights(model)
    factors = layers[0].u, layers[0].v
    assert all((layer.u, layer.v) == factors for layer in layers)
    towards = [torch.randn_like(weight) for weight in expected]
    found = [layer.dense_weight for layer in layers]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)
    inputs = [*factors, *(layer.scale for layer in layers)]
    gradients = [
        torch.autograd.grad(
            sum((w * t).sum() for w, t in zip(weights, towards, strict=True)), inputs
        )
        for weights in (found, expected)
    ]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_every_slice_has_the_gradients_of_the_product():
    torch.manual_seed(0)
    u, v = torch.randn(4, 2).double(), torch.randn(2, 3).double()
    for start, stop in itertools.combinations(range(13), 2):
        a, b = u.clone().requires_grad_(), v.clone().requires_grad_()
        assert torch.equal(MatrixSlice.apply(a, b, start, stop), (u @ v).flatten()[start:stop])
        assert torch.autograd.gradcheck(MatrixSlice.apply, (a, b, start, stop))
    assert torch.autograd.gradgradcheck(MatrixSlice.apply, (a, b, 2, 10))


def test_autocast_trains():
    model = hashing.structured(networks.mlp(20, 16, 2), ratio=4, seed=0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(torch.rand(8, 20)).square().mean()
    loss.backward()
    u, v = (next(p for n, p in model.named_parameters() if n.endswith(end)) for end in ("u", "v"))
    assert u.grad.dtype == v.grad.dtype == torch.float32
    assert u.grad.abs().max() > 0


# --- the start ------------------------------------------------------------------------------------


def test_the_start_of_lenet_300_100_at_32():
    """d = 517, k = 8; products of normal numbers have an excess kurtosis of 6 / k."""
    moments = []
    for seed in range(6):
        model = hashing.structured(networks.lenet300(), ratio=32, seed=seed)
        first = model.linear1
        assert first.config() == {
            "in_features": 784, "out_features": 300, "bias": True,
            "dim": 517, "rank": 8, "start": 0,
        }  # fmt: skip
        assert [layer.config()["start"] for layer in hashed_layers(model)] == [0, 235200, 265200]
        matrix = (first.u @ first.v).detach().double()
        # all weights together have the variance that they have in the dense network
        mean = (300 + 100 + 10) / (3 * 266_200)
        rows = matrix.square().mean(1) / mean
        fourth = matrix.pow(4).mean() / matrix.square().mean() ** 2 - 3
        moments.append([rows.mean(), fourth, rows.std()])
        for layer in hashed_layers(model):
            assert layer.scale.item() == pytest.approx((layer.variance / mean) ** 0.5, rel=1e-6)
    variance, kurtosis, spread = torch.tensor(moments).mean(0).tolist()
    assert variance == pytest.approx(1, abs=0.03)
    assert kurtosis == pytest.approx(6 / 8, abs=0.12)
    assert spread == pytest.approx((2 / 8) ** 0.5, abs=0.05)  # of the variances of rows


def test_each_layer_starts_with_the_variance_of_a_dense_one():
    made = [hashing.structured(networks.lenet5(), ratio=8, seed=seed) for seed in range(6)]
    for layers in zip(*map(hashed_layers, made), strict=True):
        ratio = [(each.dense_weight.var() / each.variance).item() for each in layers]
        # a slice of few rows shares few numbers of U: 500 weights of conv1 lie in one row
        rows = max(1, math.prod(layers[0].shape) / layers[0].u.shape[0])
        assert sum(ratio) / 6 == pytest.approx(1, abs=0.05 + 4 / (6 * rows * 40) ** 0.5)
    alone = StructuredConv2d(16, 32, 5, dim=120, rank=30)
    assert alone.scale.item() == 1
    assert alone.dense_weight.var().item() * 3 * 400 == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(("dim", "rank"), [(5, 1), (7, 2), (9, 4)])
def test_degrees_of_freedom(dim, rank):
    """2 d k numbers, of which k² change nothing: U A and A⁻¹ V have the same product."""
    torch.manual_seed(0)
    u, v = torch.randn(dim, rank).double(), torch.randn(rank, dim).double()
    both = torch.autograd.functional.jacobian(lambda u, v: (u @ v).flatten(), (u, v))
    derivatives = torch.cat([each.flatten(1) for each in both], dim=1)
    assert torch.linalg.matrix_rank(derivatives) == 2 * dim * rank - rank**2


# --- alignment ------------------------------------------------------------------------------------


def test_slices_have_full_rank_unless_rows_are_as_long_as_those_of_the_matrix():
    torch.manual_seed(0)
    model = hashing.structured(networks.lenet300(), ratio=32, seed=0).double()
    assert torch.linalg.matrix_rank(model.linear1.dense_weight) == 300
    # wrong: a side that is the width of the layer
    aligned = StructuredLinear(517, 300, dim=517, rank=8).double()
    assert torch.linalg.matrix_rank(aligned.dense_weight) == 8
    shifted = StructuredLinear(517, 300, dim=517, rank=8, start=200).double()
    assert torch.linalg.matrix_rank(shifted.dense_weight) == 16
    # rows twice as long, or half as long, are no better
    assert torch.linalg.matrix_rank(StructuredLinear(80, 40, dim=160, rank=3).dense_weight) == 6
    assert torch.linalg.matrix_rank(StructuredLinear(320, 50, dim=160, rank=3).dense_weight) == 6


def test_a_square_layer_alone_is_not_aligned():
    network = nn.Sequential(nn.Linear(64, 64))
    hashed = hashing.structured(network, ratio=4, seed=0)[0].double()
    assert hashed.config()["dim"] == 65
    assert hashed.config()["rank"] == 7
    assert torch.linalg.matrix_rank(hashed.dense_weight) == 64
    aligned = StructuredLinear(64, 64, dim=64, rank=7).double()
    assert torch.linalg.matrix_rank(aligned.dense_weight) == 7


def test_the_side_is_the_smallest_that_shares_no_divisor():
    assert side(266_200, [784, 300, 100]) == 517  # 516 has 4 in common with each
    assert side(16, [1]) == 4
    assert side(17, [1]) == 5
    assert side(1, [3, 7]) == 1
    for lengths in ([4, 9], [25, 49, 6], [30, 30]):
        found = side(100, lengths)
        coprime = [
            all(math.gcd(d, length) == 1 for length in lengths) for d in range(10, found + 1)
        ]
        assert coprime == [False] * (found - 10) + [True]


# --- wrong versions -------------------------------------------------------------------------------


def test_wrong_factors_of_variance_one():
    """The entries have variance k, and without a scale weights are far too large."""
    torch.manual_seed(0)
    u, v = torch.randn(517, 8).double(), torch.randn(8, 517).double()
    assert (u @ v).var().item() == pytest.approx(8, rel=0.15)
    torchs = 1 / (3 * 784)
    assert ((u @ v).var() / 8 / torchs).sqrt().item() == pytest.approx(48.5, rel=0.1)
    layer = StructuredLinear(784, 300, dim=517, rank=8)
    assert (layer.dense_weight.var() / torchs).item() == pytest.approx(1, abs=0.15)


# --- the tie --------------------------------------------------------------------------------------


def test_layers_stay_tied_in_copies_files_types_and_training(tmp_path):
    model = hashing.structured(networks.lenet300(), ratio=32, seed=0)
    numbers = 2 * 517 * 8 + 410 + 3
    storage.save(model, tmp_path / "network")
    x, y = torch.rand(40, 1, 28, 28), torch.arange(40) % 10
    fitted = training.fit(model, (x, y), epochs=1, batch_size=20, lr=1e-2, seed=0, progress=False)
    cast = copy.deepcopy(model).double().float().half()
    for other in (copy.deepcopy(model), storage.load(tmp_path / "network"), fitted, cast):
        assert networks.parameter_count(other) == numbers
        assert len({id(layer.u) for layer in hashed_layers(other)}) == 1
        assert len({id(layer.v) for layer in hashed_layers(other)}) == 1
        assert other.linear1.u is not model.linear1.u
    assert not torch.equal(fitted.linear3.u, model.linear1.u)
    storage.save(fitted, tmp_path / "network")
    with torch.no_grad():
        assert torch.equal(storage.load(tmp_path / "network")(x), fitted(x))


def test_members_of_an_ensemble_share_one_matrix():
    pair = networks.Ensemble([networks.mlp(20, 16, 2, seed=seed) for seed in range(2)])
    found = hashing.structured(pair, ratio=4, seed=0)
    assert len({id(layer.u) for layer in hashed_layers(found)}) == 1
    starts = [layer.config()["start"] for layer in hashed_layers(found)]
    assert starts == [0, 320, 576, 736, 1056, 1312]
    assert not torch.equal(*(member.linear1.dense_weight for member in found.members))


# --- bad input ------------------------------------------------------------------------------------


def test_a_ratio_that_leaves_no_rank():
    model = networks.lenet300()
    largest = 266_200 / (2 * 517)
    assert hashing.structured(model, ratio=largest - 0.01, seed=0).linear1.u.shape == (517, 1)
    message = (
        "ratio 258 leaves no rank: of 266,200 weights in a matrix of 517 × 517, rank 1 has 1,034"
    )
    with pytest.raises(ValueError, match=message):
        hashing.structured(model, ratio=258, seed=0)
    for ratio in (0.9, math.inf, math.nan):
        with pytest.raises(ValueError, match="ratio must be at least 1 and finite"):
            hashing.structured(model, ratio=ratio, seed=0)


def test_layers_that_can_share_no_numbers():
    mixed = nn.Sequential(nn.Linear(30, 30), nn.Linear(30, 30).double())
    with pytest.raises(ValueError, match="layers of several dtypes, or on several devices"):
        hashing.structured(mixed, ratio=2, seed=0)
    with pytest.raises(ValueError, match="layers of several dtypes, or on several devices"):
        hashing.random_subspace(mixed, dim=2, seed=0)


def test_more_weights_than_entries():
    StructuredLinear(5, 5, dim=6, rank=1, start=11)
    with pytest.raises(ValueError, match=r"6 × 6 has 36 entries, and none for weights 36 to 36"):
        StructuredLinear(5, 5, dim=6, rank=1, start=12)
    with pytest.raises(ValueError, match="none for weights 50 to 74"):
        StructuredLinear(5, 5, dim=6, rank=1, start=50)
    with pytest.raises(ValueError, match="start must be a whole number of at least 0, not -1"):
        StructuredLinear(5, 5, dim=6, rank=1, start=-1)
