import copy
import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from uecompress import bayes, networks, uncertainty
from uecompress.bayes.bits import (
    BitPrecision,
    bit_precision,
    counted_rates,
    fast_prediction,
    fixed_point,
    mantissa_bits,
    round_to_precision,
)
from uecompress.bayes.group_jeffreys import GroupJeffreysConv2d, GroupJeffreysLinear
from uecompress.bayes.prune import group_scores, prune_groups
from uecompress.networks import cluster_weights, maximum_compression


def test_mantissa_bits():
    std = torch.tensor([1.0, 0.26, 0.24, 0.1, 0.01, 1e-12])
    # the number of t = 1, ..., 23 with 2⁻ᵗ > 2σ, as the released code counts it for the variance
    expected = [sum(2 * s < 2.0**-t for t in range(1, 24)) for s in std.tolist()]
    assert mantissa_bits(std).tolist() == expected == [0, 0, 1, 2, 5, 23]
    # A power of two is not below itself.
    assert mantissa_bits(torch.tensor([0.25, 0.125])).tolist() == [0, 1]
    # The squared-units bug: about twice the bits.
    std = torch.logspace(-4, -2, 50)
    assert (mantissa_bits(std**2) / mantissa_bits(std)).mean() == pytest.approx(2.2, abs=0.2)


@pytest.fixture
def posterior():
    """LeNet-300-100 with group scales; layers differ in their variances, some groups are noise."""
    torch.manual_seed(0)
    model = networks.replace_layers(
        networks.lenet300(),
        lambda name, leaf: (
            GroupJeffreysLinear.from_linear(
                leaf, initial_log_sigma2={"linear1": -4.0, "linear2": -7.0}.get(name, -10.0)
            )
            if isinstance(leaf, nn.Linear)
            else None
        ),
    )
    with torch.no_grad():
        for layer in (model.linear1, model.linear2, model.linear3):
            layer.z_log_sigma2[::2] = 4
    return model


@pytest.fixture
def pruned(posterior):
    return prune_groups(posterior, 0.0)


def test_bit_precision(posterior, pruned):
    precision = bit_precision(posterior, pruned)
    assert list(precision) == ["linear1", "linear2", "linear3"]
    # Kept groups have σ_z² = e⁻⁹, so the std is about e⁻², e⁻³·⁵ and a bit above e⁻⁵.
    assert [p.mantissa for p in precision.values()] == [1, 4, 6]
    assert {p.exponent for p in precision.values()} == {1}  # all weights are below 1
    assert precision["linear2"].bits == 1 + 1 + 4
    with torch.no_grad():
        pruned.linear3.weight[0, 1] = 5.0  # log₂ 5 + 1 = 3.3, and log₂ of that is 1.7
    assert bit_precision(posterior, pruned)["linear1"].exponent == 3


def test_round_to_precision(posterior, pruned):
    precision = bit_precision(posterior, pruned)
    before = copy.deepcopy(pruned.state_dict())
    rounded = round_to_precision(pruned, precision)
    for name, p in precision.items():
        old, new = pruned.get_submodule(name), rounded.get_submodule(name)
        assert torch.equal(new.weight * 2**p.mantissa, (new.weight * 2**p.mantissa).round())
        assert (new.weight - old.weight).abs().max() <= 0.5 * 2.0**-p.mantissa
        # half a step is no more than 2 standard deviations of the posterior
        assert (
            0.5 * 2.0**-p.mantissa
            <= 2 * posterior.get_submodule(name).weight_variance().sqrt().max()
        )
        assert torch.equal(new.bias, old.bias.half().float())
        assert not (new.weight[old.weight == 0]).any()
    assert all(torch.equal(before[k], v) for k, v in pruned.state_dict().items())


@pytest.mark.parametrize("step", [0.25, 1.0])
def test_fixed_point(posterior, pruned, step):
    stored = fixed_point(posterior, pruned, step)
    for name in ("linear1", "linear2", "linear3"):
        old, new, layer = (m.get_submodule(name) for m in (pruned, stored, posterior))
        for kind, variance in {
            "weight": layer.weight_variance(),
            "bias": layer.bias_log_sigma2.exp(),
        }.items():
            old_values, new_values = getattr(old, kind), getattr(new, kind)
            kept = old_values != 0
            spacing = step * variance.sqrt()[kept].mean()
            codes = new_values / spacing
            assert (codes - codes.round()).abs().max() < 1e-3
            assert (new_values - old_values).abs().max() <= 0.5001 * spacing
            assert not new_values[~kept].any()
        assert not (new.weight.signbit() & (new.weight == 0)).any()
    finer = fixed_point(posterior, pruned, step / 2)
    assert len(finer.linear2.weight.unique()) > 1.5 * len(stored.linear2.weight.unique())


def test_fixed_point_of_layers_with_ordinary_biases():
    model = bayes.variational(networks.lenet5(), "sparse_vd", initial_log_sigma2=-7.0)
    pruned = bayes.prune(model, math.inf)
    stored = fixed_point(model, pruned)
    codes = stored.conv2.bias / math.exp(-3.5)
    torch.testing.assert_close(codes, codes.round(), rtol=0, atol=1e-4)
    assert stored.conv2.bias.any()


def test_cluster_weights(pruned):
    clustered = cluster_weights(pruned, 8)
    for name in ("linear1", "linear2", "linear3"):
        old, new = pruned.get_submodule(name), clustered.get_submodule(name)
        assert torch.equal(old.weight == 0, new.weight == 0)
        centres = new.weight[new.weight != 0].unique()
        assert len(centres) == 8
        kept = old.weight != 0
        # The two conditions of a k-means optimum: nearest centre, centre at the mean.
        nearest = (old.weight[kept][:, None] - centres).abs().min(dim=1).values
        torch.testing.assert_close(
            nearest, (old.weight - new.weight)[kept].abs(), rtol=0, atol=1e-4
        )
        for centre in centres:
            assert old.weight[new.weight == centre].mean().item() == pytest.approx(
                centre.item(), abs=2e-3
            )
        assert torch.equal(new.bias, old.bias.half().float())
        assert not torch.equal(new.bias, old.bias)
    few = cluster_weights(nn.Sequential(nn.Linear(2, 2)), 32)
    assert len(few[0].weight.unique()) == 4


def test_files_of_the_two_kinds(posterior, pruned):
    x = torch.rand(4, 1, 28, 28)
    fast, small = fast_prediction(posterior, pruned), maximum_compression(pruned, 32)
    expected = cluster_weights(pruned, 32)
    torch.testing.assert_close(small(x), expected(x), rtol=1e-5, atol=1e-5)
    rounded = round_to_precision(pruned, bit_precision(posterior, pruned))
    torch.testing.assert_close(fast(x), rounded(x), rtol=1e-5, atol=1e-5)
    assert networks.parameter_count(small) == 150 * 392 + 150 + 50 * 150 + 50 + 10 * 50 + 10
    assert len(small.linear1[1].weight.unique()) <= 32


def test_the_lectures_table_by_its_own_convention():
    def dense(*widths):
        return nn.Sequential(*[nn.Linear(a, b) for a, b in pairwise(widths)])

    def lenet(f1, f2, inputs, hidden):
        convs = nn.Conv2d(1, f1, 5), nn.Conv2d(f1, f2, 5)
        return nn.Sequential(*convs, nn.Linear(inputs, hidden), nn.Linear(hidden, 10))

    rows = [
        (networks.lenet300(), dense(278, 98, 13, 10), (8, 9, 14), 9.3, 36.8),  # BC-GNJ: 9, 36
        (networks.lenet300(), dense(311, 86, 14, 10), (13, 11, 10), 9.5, 23.5),  # BC-GHS: 9, 23
        (networks.lenet5(), lenet(5, 10, 76, 16), (10, 10, 14, 13), 156.5, 419.3),  # 156, 419
        (networks.lenet5(), lenet(8, 13, 88, 13), (18, 10, 7, 9), 105.7, 355),  # printed: 108, 361
    ]
    for original, small, bits, pruning, fast in rows:
        rates = counted_rates(original, small, bits)
        assert rates == (pytest.approx(pruning, abs=0.05), pytest.approx(fast, rel=2e-3))
    with pytest.raises(ValueError, match="2 numbers of bits for 3 layers"):
        counted_rates(networks.lenet300(), networks.lenet300(), (8, 8))
    for wrong in (0, -8, math.nan, math.inf):
        with pytest.raises(ValueError, match="bits must be positive and finite"):
            counted_rates(networks.lenet300(), networks.lenet300(), (8, 8, wrong))


def test_convolutions_and_their_biases():
    model = networks.replace_layers(
        networks.lenet5(),
        lambda _, leaf: (
            GroupJeffreysConv2d.from_conv2d(leaf) if isinstance(leaf, nn.Conv2d) else None
        ),
    )
    with torch.no_grad():
        model.conv2.z_log_sigma2[:30] = 5
    pruned = prune_groups(model, {"conv2": 0.0})
    assert list(group_scores(model)) == list(bit_precision(model, pruned)) == ["conv1", "conv2"]
    small = fast_prediction(model, pruned)
    assert small.conv2.weight.shape == (20, 20, 5, 5)
    assert small.linear1.in_features == 320


def test_bad_input(posterior, pruned):
    for step in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="step must be positive"):
            fixed_point(posterior, pruned, step)
    for clusters in (0, 1.5, math.inf, -math.inf, math.nan):
        with pytest.raises(ValueError, match="clusters must be a whole number"):
            cluster_weights(pruned, clusters)
    with pytest.raises(ValueError, match="no plain Linear or Conv2d"):
        cluster_weights(nn.ReLU())
    with pytest.raises(ValueError, match="no variational layer"):
        bit_precision(pruned, pruned)
    with pytest.raises(
        ValueError, match="'linear1' is a variational layer, but the pruned network"
    ):
        bit_precision(posterior, networks.mlp())
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="must be positive and finite"):
            mantissa_bits(torch.tensor([0.1, wrong]))
    for wrong in (torch.tensor([1]), torch.tensor([True]), 0.1):
        with pytest.raises(TypeError, match="std must be"):
            mantissa_bits(wrong)
    for name in ("exponent", "mantissa"):
        for wrong in (-3, 1.5, math.nan, math.inf):
            with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 0"):
                BitPrecision(**{"exponent": 3, "mantissa": 3, name: wrong})
    with torch.no_grad():
        posterior.linear2.bias_log_sigma2[0] = float("-inf")
    with pytest.raises(ValueError, match="variance of the bias of 'linear2' is not positive"):
        fixed_point(posterior, pruned)


@pytest.mark.parametrize("kind", ["weight", "bias"])
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_tensors_that_are_not_finite(posterior, pruned, kind, number):
    precision = bit_precision(posterior, pruned)
    getattr(pruned.linear3, kind).data.view(-1)[0] = number
    for function in (
        maximum_compression,
        lambda network: round_to_precision(network, precision),
        lambda network: fixed_point(posterior, network),
    ):
        with pytest.raises(ValueError, match=f"layer 'linear3': {kind} contains NaN or infinity"):
            function(pruned)


def test_biases_too_large_for_half_precision_stay():
    model = networks.lenet300()
    model.linear3.bias.data += torch.linspace(0, 1e5, 10)
    posterior = bayes.variational(model, "sparse_vd")
    pruned = bayes.prune(posterior, math.inf)
    x = torch.rand(3, 1, 28, 28)
    for small in (maximum_compression(pruned), fast_prediction(posterior, pruned)):
        assert torch.equal(small.linear3.bias, model.linear3.bias)
        assert torch.equal(small.linear2.bias, model.linear2.bias.half().float())
        assert uncertainty.predict(small, x).isfinite().all()


def test_round_to_precision_knows_the_names_of_its_layers(posterior, pruned):
    precision = bit_precision(posterior, pruned)
    small = networks.shrink(pruned)  # its first layer is 'linear1.1'
    with pytest.raises(ValueError, match=r"'linear1' is not a layer of it; there are linear1\.1"):
        round_to_precision(small, precision)
    one = round_to_precision(pruned, {"linear2": BitPrecision(1, 3)})
    assert torch.equal(one.linear1.weight, pruned.linear1.weight)
    assert torch.equal(8 * one.linear2.weight, (8 * one.linear2.weight).round())


@pytest.mark.parametrize("function", [cluster_weights, maximum_compression])
def test_parametrized_layers_stay_as_they_are(function):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 10))
    nn.utils.parametrizations.weight_norm(model[0])
    with pytest.warns(UserWarning, match=r"left as they are: '0' is parametrized: networks\.plain"):
        result = function(model, 8)
    assert torch.equal(result[0].weight, model[0].weight)
    assert torch.equal(result[0].bias, model[0].bias)
    assert len(function(networks.plain(model), 8)[0].weight.unique()) == 8
    assert len(result[2].weight.unique()) == 8


def test_bits_of_a_format():
    assert BitPrecision(exponent=2, mantissa=5).bits == 8
