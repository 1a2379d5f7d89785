"""Hashed layers against loops and closed forms in float64."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from uecompress import hashing
from uecompress.hashing import HashedConv2d, HashedLinear, xxh64
from uecompress.hashing.layers import indices, pool_sizes
from uecompress.hashing.reductions import REDUCTIONS, bounds

WEIGHTS = 266_200  # of LeNet-300-100


def layer(**settings):
    """30 → 20, in float64."""
    torch.manual_seed(0)
    return HashedLinear(30, 20, **settings).double()


# --- weights and gradients ------------------------------------------------------------------------

CASES = [
    (reduce, folds, sign)
    for reduce in REDUCTIONS
    for folds in (1, 2, 3, 10)
    for sign in (True, False)
]
every_case = pytest.mark.parametrize(("reduce", "folds", "sign"), CASES)


def naive(hashed):
    """The weights one by one, as a list of (bucket, sign) of each weight and the weights."""
    config, buckets = hashed.config(), hashed.buckets.detach()
    folds, n = config["folds"], hashed.out_features * hashed.in_features
    sizes = [len(part) for part in np.array_split(np.arange(len(buckets)), folds)]
    choose = {"sum": sum, "product": math.prod, "max": max, "min": min}[config["reduce"]]
    keys = [[fold * n + i for fold in range(folds)] for i in range(n)]
    parts, weights = [], []
    for hashes in xxh64(keys, config["seed"]).tolist():
        at = [sum(sizes[:f]) + h % sizes[f] for f, h in enumerate(hashes)]
        signs = [-1 if config["sign"] and h >= 2**63 else 1 for h in hashes]
        if config["reduce"] in ("max", "min"):
            weights.append(signs[0] * choose(buckets[b].item() for b in at))
        else:
            weights.append(choose(s * buckets[b].item() for s, b in zip(signs, at, strict=True)))
        parts.append(list(zip(at, signs, strict=True)))
    return parts, torch.tensor(weights, dtype=torch.float64).view(20, 30)


@every_case
def test_weights_are_those_of_a_loop(reduce, folds, sign):
    hashed = layer(ratio=8, folds=folds, reduce=reduce, sign=sign, seed=5)
    torch.testing.assert_close(hashed.dense_weight, naive(hashed)[1], rtol=1e-14, atol=0)
    assert hashed.pools == [len(part) for part in np.array_split(np.arange(75), folds)]


@pytest.mark.parametrize("folds", [1, 2, 3])
def test_the_gradient_of_a_bucket_is_the_signed_sum_of_its_weights(folds):
    hashed = layer(ratio=8, folds=folds, seed=5)
    towards = torch.randint(-9, 10, (20, 30)).double()  # whole numbers: every sum is exact
    (hashed.dense_weight * towards).sum().backward()
    expected = torch.zeros(75, dtype=torch.float64)
    for parts, gradient in zip(naive(hashed)[0], towards.flatten(), strict=True):
        for bucket, sign in parts:
            expected[bucket] += sign * gradient
    assert torch.equal(hashed.buckets.grad, expected)


@every_case
def test_gradients_agree_with_finite_differences(reduce, folds, sign):
    hashed = HashedLinear(6, 5, ratio=3, folds=folds, reduce=reduce, sign=sign).double()

    def weights(buckets):
        return torch.func.functional_call(Weights(hashed), {"layer.buckets": buckets}, ())

    assert torch.autograd.gradcheck(weights, hashed.buckets.detach().requires_grad_())


class Weights(nn.Module):
    """Called, it gives the dense weight of a layer."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self):
        return self.layer.dense_weight


def test_a_convolution_is_the_one_of_its_dense_weight():
    torch.manual_seed(0)
    conv = HashedConv2d(4, 6, 3, stride=2, padding=1, groups=2, ratio=5, folds=2, seed=3).double()
    found, negative = indices(6 * 2 * 9, [11, 10], 3)
    values = conv.buckets[torch.from_numpy(found)] * torch.from_numpy(1 - 2 * negative.astype(int))
    assert torch.equal(conv.dense_weight, values.sum(0).view(6, 2, 3, 3))
    plain = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2).double()
    plain.weight.data, plain.bias.data = conv.dense_weight.detach(), conv.bias.detach()
    x = torch.rand(2, 4, 7, 7, dtype=torch.float64)
    torch.testing.assert_close(conv(x), plain(x), rtol=1e-13, atol=1e-14)


# --- the start ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("folds", [1, 2, 3, 10])
def test_weights_start_with_the_mean_and_the_variance_of_a_dense_layer(reduce, folds):
    low, high = bounds(reduce, folds, 0.25)
    nodes = torch.linspace(low, high, 200_001, dtype=torch.float64)
    p = (nodes - low) / (high - low)
    mean, square = (torch.trapezoid(nodes.pow(k) / (high - low), nodes) for k in (1, 2))
    if reduce == "sum":
        found = folds * mean, folds * (square - mean**2)
    elif reduce == "product":
        found = mean**folds, square**folds
    else:  # of the largest, the distribution is pᵐ; of the smallest, 1 − (1 − p)ᵐ
        density = folds * (p if reduce == "max" else 1 - p) ** (folds - 1) / (high - low)
        found = [torch.trapezoid(nodes.pow(k) * density, nodes) for k in (1, 2)]
        found[1] = found[1] - found[0] ** 2
    assert [each.item() for each in found] == pytest.approx([0, 0.25], abs=1e-8)


@every_case
def test_drawn_weights_have_that_variance(reduce, folds, sign):
    settings = {"ratio": 8, "folds": folds, "reduce": reduce, "sign": sign}
    torch.manual_seed(1)
    weights = torch.stack(
        [HashedLinear(400, 100, **settings, seed=seed).dense_weight.detach() for seed in range(8)]
    )
    ratio = weights.square().mean() * 3 * 400
    # A product of many is rarely large: its sample variance is far from sure.
    assert ratio.item() == pytest.approx(1, abs=0.5 if (reduce, folds) == ("product", 10) else 0.05)
    if sign:
        assert abs(weights.mean().item()) < 4 * (3 * 400 * weights.numel()) ** -0.5


def test_one_fold_has_torchs_distribution_and_torchs_biases():
    assert bounds("sum", 1, 1 / (3 * 400)) == pytest.approx((-0.05, 0.05), rel=1e-14)
    assert bounds("max", 1, 1 / (3 * 400)) == pytest.approx((-0.05, 0.05), rel=1e-14)
    hashed = HashedConv2d(16, 8, 5, ratio=4)  # fan_in 400
    assert 0.0499 < hashed.buckets.abs().max() <= 0.05
    assert hashed.bias.abs().max() <= 0.05


# --- counts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folds", "distinct", "pairs"),
    [(1, 8318, 4_259_568), (2, 264_162, 2048.4), (3, 266_198.3, 1.662), (10, 266_200, 2.2346e-19)],
)
def test_collisions_of_all_weights_of_lenet_300_100(folds, distinct, pairs):
    found = hashing.collisions(HashedLinear(1331, 200, ratio=32, folds=folds, seed=1))
    assert (found.weights, found.buckets) == (WEIGHTS, 8318)
    assert found.expected_distinct == pytest.approx(distinct, abs=0.5)
    assert found.expected_pairs == pytest.approx(pairs, rel=2e-4)
    # five standard deviations of a Poisson variable; with one fold all buckets are in use
    assert abs(found.pairs - pairs) <= 5 * math.sqrt(pairs) + 1e-9
    assert abs(found.distinct - distinct) <= 0.5 + (folds > 1) * 5 * math.sqrt(pairs)


def test_collisions_are_counted_as_in_a_table_of_pairs():
    for folds, sign in itertools.product((1, 2, 3), (True, False)):
        hashed = layer(ratio=20, folds=folds, sign=sign)
        parts = [frozenset(bucket for bucket, _ in each) for each in naive(hashed)[0]]
        found = hashing.collisions(hashed)
        assert found.distinct == len(set(parts))
        assert found.pairs == sum(a == b for a, b in itertools.combinations(parts, 2))
        assert found.expected_pairs == 600 * 599 / 2 / math.prod(hashed.pools)


def test_one_bucket_holds_everything():
    found = hashing.collisions(HashedLinear(3, 2, ratio=6))
    assert dataclasses.astuple(found) == (6, 1, 1, 1.0, 15, 15.0)
    with pytest.raises(TypeError, match="expected a hashed layer, not Linear"):
        hashing.collisions(nn.Linear(3, 2))


@pytest.mark.parametrize("folds", [1, 2, 3, 10])
@pytest.mark.parametrize("sign", [True, False])
def test_degrees_of_freedom_of_a_sum(folds, sign):
    hashed = HashedLinear(60, 50, ratio=50, folds=folds, sign=sign, seed=2).double()
    derivatives = torch.autograd.functional.jacobian(
        lambda buckets: torch.func.functional_call(
            Weights(hashed), {"layer.buckets": buckets}, ()
        ).flatten(),
        hashed.buckets.detach(),
    )
    assert derivatives.shape == (3000, 60)
    assert torch.linalg.matrix_rank(derivatives) == (60 if sign else 60 - folds + 1)


# --- what goes wrong ------------------------------------------------------------------------------


def test_wrong_pools_that_count_instead_of_hashing():
    """Every pool has the index i mod (K / m): ten folds are one, with a tenth of the buckets."""
    n, buckets, folds = WEIGHTS, 8318, 10
    torch.manual_seed(0)
    pools = torch.randint(-(2**40), 2**40, (folds, buckets // folds))  # exact sums
    wrong = pools[:, torch.arange(n) % (buckets // folds)].sum(0)
    assert len(wrong.unique()) == 831
    # and a standard deviation of σ / m instead of σ / √m, which makes weights √m times too small
    assert (pools / folds).sum(0).std() / pools.double().std() == pytest.approx(
        folds**-0.5, rel=0.1
    )


def test_wrong_seed_for_all_layers():
    """Two layers of one shape share their collisions: the same weights are equal in both."""
    a, b = (HashedLinear(100, 100, ratio=50, seed=3) for _ in range(2))
    assert torch.equal(a.index, b.index)
    network = hashing.hashed(
        nn.Sequential(nn.Linear(100, 100), nn.Linear(100, 100)), ratio=50, seed=3
    )
    same = (network[0].index % 200 == network[1].index % 200).double().mean().item()
    assert same == pytest.approx(1 / 200, abs=4 * (200 * 10_000) ** -0.5)


def test_wrong_sign_inside_of_the_maximum():
    """The largest of numbers with random signs has a positive mean, whatever the buckets are."""
    found, negative = indices(40_000, pool_sizes(5000, 3), 0)
    buckets = torch.empty(5000).uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    values = buckets[torch.from_numpy(found)]
    inside = torch.where(torch.from_numpy(negative), -values, values).amax(0)
    assert inside.mean().item() == pytest.approx(0.5, abs=0.02)  # (m − 1) / (m + 1)
    assert abs(HashedLinear(400, 100, reduce="max", folds=3).dense_weight.mean()) < 1e-3


# --- files and bad input --------------------------------------------------------------------------


def test_on_the_device_meta_nothing_is_computed():
    with torch.device("meta"):
        huge = HashedLinear(2**16, 2**15, ratio=1.5, folds=2, reduce="max")
    assert huge.index.is_meta
    assert huge.flipped.is_meta
    assert huge.index.dtype == torch.int64
    assert HashedLinear(3, 2, ratio=1).index.dtype == torch.int32


def test_the_index_is_not_part_of_the_state():
    hashed = layer(ratio=8, reduce="max", folds=2)
    assert list(hashed.state_dict()) == ["buckets", "bias"]
    assert {name for name, _ in hashed.named_buffers()} == {"index", "flipped"}
    assert [b.dtype for b in hashed.half().buffers()] == [torch.int32, torch.bool]


def test_a_ratio_that_leaves_no_bucket():
    assert len(layer(ratio=600).buckets) == 1
    message = (
        "ratio 601 leaves 0 buckets for 600 weights, and 1 fold needs at least 1: it can be 600"
    )
    with pytest.raises(ValueError, match=message):
        layer(ratio=601)
    assert len(layer(ratio=120, folds=5).buckets) == 5
    message = (
        "ratio 121 leaves 4 buckets for 600 weights, and 5 folds need at least 5: it can be 120"
    )
    with pytest.raises(ValueError, match=message):
        layer(ratio=121, folds=5)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"ratio": 0.5}, ValueError, "ratio must be at least 1 and finite, not 0.5"),
        ({"ratio": math.inf}, ValueError, "ratio must be at least 1 and finite"),
        ({"ratio": "8"}, TypeError, "ratio must be a number"),
        ({"folds": 0}, ValueError, "folds must be a whole number of at least 1"),
        ({"folds": 1.5}, ValueError, "folds must be a whole number"),
        ({"reduce": "mean"}, ValueError, "unknown reduce 'mean'; known: sum, product, max, min"),
        ({"sign": 1}, TypeError, "sign must be True or False, not 1"),
        ({"seed": -1}, ValueError, "seed must be a whole number from 0 to"),
        ({"seed": None}, TypeError, "seed must be a number"),
    ],
)
def test_bad_settings(settings, error, message):
    with pytest.raises(error, match=message):
        layer(**settings)
