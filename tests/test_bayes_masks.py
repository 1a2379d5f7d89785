import copy

import pytest
import torch
from torch import nn

from uecompress import networks
from uecompress.bayes.group_jeffreys import GroupJeffreysConv2d, GroupJeffreysLinear
from uecompress.bayes.horseshoe import HorseshoeConv2d, HorseshoeLinear
from uecompress.bayes.prune import group_scores, prune_groups
from uecompress.networks import shrink

KINDS = {
    "jeffreys": (GroupJeffreysLinear, GroupJeffreysConv2d),
    "horseshoe": (HorseshoeLinear, HorseshoeConv2d),
}


def grouped(model, kind):
    """The network with group layers whose scales and weights are random."""
    linear, conv = KINDS[kind]

    def replace(name, leaf):
        if isinstance(leaf, nn.Linear):
            return linear.from_linear(leaf)
        return conv.from_conv2d(leaf) if isinstance(leaf, nn.Conv2d) else None

    result = networks.replace_layers(model, replace).double()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in result.named_parameters():
            scale = 2.0 if name.endswith(("z_log_sigma2", "alpha_log_sigma2")) else 0.1
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(scale * noise)
    return result


def medians(model):
    return {name: scores.median().item() for name, scores in group_scores(model).items()}


def images(n=5):
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(1)).double() * 2 - 1


def shapes(model):
    return [tuple(layer.weight.shape) for _, layer in networks.linear_and_conv_layers(model)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [networks.lenet300, networks.lenet5])
def test_masked_and_shrunken_networks_are_equal(make, kind):
    model = grouped(make(), kind)
    before = copy.deepcopy(model.state_dict())
    threshold = medians(model)
    masked = prune_groups(model, threshold)
    small = shrink(masked)
    torch.testing.assert_close(small(images()), masked(images()), rtol=1e-12, atol=1e-12)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert shapes(masked) == shapes(make())

    # What is left by hand: groups that stay, in the layer and in the one that follows.
    keep = {name: scores < threshold[name] for name, scores in group_scores(model).items()}
    if make is networks.lenet300:
        a, b, c = (int(keep[f"linear{k}"].sum()) for k in (1, 2, 3))
        assert shapes(small) == [(b, a), (c, b), (10, c)]
    else:
        f1, f2, c = (int(keep[name].sum()) for name in ("conv1", "conv2", "linear2"))
        # (800,) -> (50, 16): each filter's 4 × 4 inputs
        inputs = (keep["linear1"].reshape(50, 16) & keep["conv2"][:, None]).sum().item()
        assert shapes(small) == [(f1, 1, 5, 5), (f2, f1, 5, 5), (c, inputs), (10, c)]


@pytest.mark.parametrize("kind", KINDS)
def test_thresholds(kind):
    model = grouped(networks.lenet300(), kind)
    scores = group_scores(model)
    assert [len(s) for s in scores.values()] == [784, 300, 100]
    everything = prune_groups(model, {})
    torch.testing.assert_close(everything(images()), model.eval()(images()))
    only_second = prune_groups(model, {"linear2": scores["linear2"].median().item()})
    assert (only_second.linear1.weight != 0).all()
    assert int((only_second.linear2.weight != 0).any(dim=0).sum()) == 149
    for bad, message in [
        (-1e9, "removes all 784 groups of 'linear1', whose scores are from"),
        (float("nan"), "threshold of 'linear1' must be in"),
        ({"linear9": 1.0}, "'linear9' is not a group layer; there are linear1, linear2, linear3"),
    ]:
        with pytest.raises(ValueError, match=message):
            prune_groups(model, bad)


def test_other_layers_are_left_alone():
    model = networks.lenet300()
    with pytest.raises(ValueError, match="no group layer"):
        prune_groups(model, 0.0)
    model.linear2 = GroupJeffreysLinear.from_linear(model.linear2)
    assert list(group_scores(model)) == ["linear2"]
    result = prune_groups(model, 0.0)
    assert torch.equal(result.linear1.weight, model.linear1.weight)
    assert type(result.linear2) is nn.Linear
    with torch.no_grad():
        model.linear2.z_mu[3] = torch.nan
    for call in (group_scores, lambda model: prune_groups(model, 0.0)):
        with pytest.raises(ValueError, match="layer 'linear2': z_mu contains NaN or infinity"):
            call(model)


def test_scores_of_weights_that_are_no_real_numbers():
    model = grouped(networks.lenet300(), "jeffreys")
    for wrong in (float("nan"), float("inf")):  # the scales alone would still be fine
        model.linear3.weight_mu.data[0, 0] = wrong
        with pytest.raises(ValueError, match="layer 'linear3': weight_mu contains NaN or infinity"):
            group_scores(model)
    model.linear1.weight_mu = nn.Parameter(model.linear1.weight_mu.to(torch.complex64))
    with pytest.raises(TypeError, match="layer 'linear1': weight_mu must be of floating-point"):
        group_scores(model)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parameter", ["weight_mu", "weight_log_sigma2", "bias_mu"])
@pytest.mark.parametrize("threshold", [3.0, {"linear1": 3.0}, {}])
def test_parameters_that_are_not_numbers(kind, parameter, threshold):
    model = grouped(networks.lenet300(), kind)
    with torch.no_grad():
        getattr(model.linear2, parameter).view(-1)[0] = torch.nan
    with pytest.raises(ValueError, match="'linear2'"):
        prune_groups(model, threshold)
    if threshold == {}:
        with pytest.raises(ValueError, match=f"layer 'linear2': {parameter} contains NaN"):
            prune_groups(model, threshold)
