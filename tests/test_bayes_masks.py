import copy
from collections import OrderedDict

import pytest
import torch
from torch import nn

from uecompress import networks
from uecompress.bayes.group_jeffreys import GroupJeffreysConv2d, GroupJeffreysLinear
from uecompress.bayes.horseshoe import HorseshoeConv2d, HorseshoeLinear
from uecompress.bayes.prune import group_scores, prune_groups
from uecompress.networks import SelectFeatures, shrink

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


def test_a_filter_goes_when_all_its_inputs_of_the_next_layer_go():
    model = networks.lenet5().double()
    with torch.no_grad():
        model.linear1.weight.view(500, 50, 16)[:, 3] = 0
        model.linear1.weight.view(500, 50, 16)[:, 5, :7] = 0
    small = shrink(model)
    assert shapes(small)[1:3] == [(49, 20, 5, 5), (500, 49 * 16 - 7)]
    torch.testing.assert_close(small(images()), model(images()))


def test_removal_runs_through_the_whole_network():
    torch.manual_seed(0)
    model = nn.Sequential(
        OrderedDict(
            a=nn.Linear(6, 5), r=nn.ReLU(), b=nn.Linear(5, 4), s=nn.ReLU(), c=nn.Linear(4, 3)
        )
    ).double()
    with torch.no_grad():
        model.c.weight[:, 1] = 0  # unit 1 of b is not used ...
        model.b.weight[[0, 2, 3], 4] = 0  # ... which alone used unit 4 of a
        model.a.weight[2], model.a.bias[2] = 0, 0  # unit 2 of a is silent ...
        model.b.weight[3], model.b.bias[3] = 0, 0
        model.b.weight[3, 2] = 1  # ... and unit 3 of b listens to it alone
    small = shrink(model)
    assert shapes(small) == [(3, 6), (2, 3), (3, 2)]
    x = torch.randn(9, 6, dtype=torch.float64)
    torch.testing.assert_close(small(x), model(x))
    assert shapes(shrink(small)) == shapes(small)


def test_a_silent_unit_before_a_shift_stays():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Softplus(), nn.Linear(3, 2))
    model = model.double().eval()
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1], model[1].bias[1] = 0, 0, 2.0
    small = shrink(model)
    assert shapes(small) == [(3, 4), (2, 3)]
    x = torch.randn(5, 4, dtype=torch.float64)
    torch.testing.assert_close(small(x), model(x))


def padding_with_a_value(channels):
    pad = networks.ChannelPad2d(1, channels)
    pad.value.copy_(torch.arange(channels) + 1.0)
    return pad


def shifting(norm):
    torch.nn.init.constant_(norm.bias, 0.5)
    return norm


@pytest.mark.parametrize(
    "step", [padding_with_a_value(4), shifting(nn.BatchNorm2d(4)), nn.Sigmoid(), nn.Softplus()]
)
def test_a_silent_filter_stays_where_its_zeros_become_other_numbers(step):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), step, nn.Conv2d(4, 2, 3)).double().eval()
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = 0, 0
    small = shrink(model)
    assert shapes(small) == shapes(model)
    torch.testing.assert_close(small(images()), model(images()), rtol=0, atol=1e-12)
    with torch.no_grad():
        model[3].weight[:, 1] = 0  # now nobody listens
    small = shrink(model)
    assert shapes(small) == [(3, 1, 3, 3), (2, 3, 3, 3)]
    torch.testing.assert_close(small(images()), model(images()), rtol=0, atol=1e-12)


def test_a_network_with_fused_batch_norms_keeps_its_outputs():
    torch.manual_seed(0)
    model = networks.cnn().double().eval()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.weight.data.uniform_(0.5, 1.5)
    model = networks.fuse_batch_norm(model)
    assert type(model.conv3_pad) is networks.ChannelPad2d
    with torch.no_grad():
        model.conv2.weight[3], model.conv2.bias[3] = 0, 0
    torch.testing.assert_close(shrink(model)(images()), model(images()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("step", [nn.LeakyReLU(), nn.Tanh(), nn.Identity()])
@pytest.mark.parametrize("bias", [-1.0, 1.0])
def test_a_unit_with_a_bias_is_not_silent(step, bias):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), step, nn.Linear(3, 2)).double()
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = 0, bias
    small = shrink(model)
    assert shapes(small) == [(3, 4), (2, 3)]
    x = torch.randn(5, 4, dtype=torch.float64)
    torch.testing.assert_close(small(x), model(x))


def test_units_tied_by_a_residual_sum_stay():
    model = networks.resnet_small().eval()
    with torch.no_grad():
        model.conv.weight[2] = 0
        model.block1.branch.conv2.weight[:, 4] = 0
    small = shrink(model)
    assert small.block1.branch.conv1.weight.shape == (15, 16, 3, 3)
    x = torch.rand(2, 1, 28, 28)
    torch.testing.assert_close(small(x), model(x), rtol=1e-4, atol=1e-5)


def test_members_of_an_ensemble_shrink_each_by_itself():
    members = [networks.lenet300(seed=s).double() for s in range(2)]
    with torch.no_grad():
        members[1].linear2.weight[:, :100] = 0
    model = networks.Ensemble(members)
    small = shrink(model)
    assert shapes(small)[0] == (300, 784)
    assert shapes(small)[3] == (200, 784)
    torch.testing.assert_close(small(images()), model(images()))


def test_pixels_are_dropped_by_a_choice_of_inputs():
    model = networks.lenet300().double()
    keep = torch.arange(784) % 3 == 0
    with torch.no_grad():
        model.linear1.weight[:, ~keep] = 0
    small = shrink(model)
    assert isinstance(small.linear1[0], SelectFeatures)
    assert torch.equal(small.linear1[0].keep, keep)
    assert small.linear1[1].in_features == 262
    torch.testing.assert_close(small(images()), model(images()))

    twin = copy.deepcopy(small)
    twin.linear1[0] = SelectFeatures(**small.linear1[0].config())
    twin.load_state_dict(small.state_dict())
    assert torch.equal(twin(images()), small(images()))


def test_a_shrunken_network_shrinks_again_to_one_choice_of_inputs():
    model = networks.lenet300().double()
    keep = torch.arange(784) % 3 == 0
    with torch.no_grad():
        model.linear1.weight[:, ~keep] = 0
    small = shrink(model)
    again = shrink(small)
    assert str(again) == str(small)
    assert all(torch.equal(small.state_dict()[k], v) for k, v in again.state_dict().items())
    with torch.no_grad():
        small.linear1[1].weight[:, :100] = 0  # as fine-tuning or rounding might
    again = shrink(small)
    assert again.linear1[1].weight.shape == (300, 162)
    assert again.linear1[0].keep.nonzero().flatten().tolist() == list(range(300, 784, 3))
    assert small.linear1[0].keep.sum() == 262
    torch.testing.assert_close(again(images()), small(images()))

    with torch.no_grad():
        small.linear1[1].weight.zero_()
    nothing = shrink(small)
    assert str(shrink(nothing)) == str(nothing)
    torch.testing.assert_close(nothing(images()), small(images()))


def test_a_choice_of_inputs_takes_any_number_of_dimensions():
    model = nn.Sequential(nn.Linear(6, 3)).double()
    with torch.no_grad():
        model[0].weight[:, 2] = 0
    small = shrink(model)
    assert shapes(small) == [(3, 5)]
    for shape in [(6,), (2, 6), (2, 4, 6), (2, 6, 6, 6)]:
        x = torch.rand(shape, dtype=torch.float64)
        torch.testing.assert_close(small(x), model(x))


@pytest.mark.parametrize("make", [networks.lenet300, networks.lenet5])
def test_a_network_without_weights_predicts_by_its_biases(make):
    model = make()
    with torch.no_grad():
        for _, layer in networks.linear_and_conv_layers(model):
            layer.weight.zero_()
    small = shrink(model)
    logits = small(images().float())
    bias = model.linear3.bias if make is networks.lenet300 else model.linear2.bias
    torch.testing.assert_close(logits, bias.expand(5, 10))
    one_unit_each = 1 + 1 + 1 + 1 + 20 if make is networks.lenet300 else 26 + 26 + 2 + 20
    assert networks.parameter_count(small) == one_unit_each


def test_nothing_to_remove_gives_a_copy():
    model = networks.lenet300()
    small = shrink(model)
    assert small is not model
    assert shapes(small) == shapes(model)
    assert small.linear1.weight is not model.linear1.weight


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
    model = grouped(networks.lenet300(), KINDS[0])
    for wrong in (float("nan"), float("inf")):  # the scales alone would still be fine
        model.linear3.weight_mu.data[0, 0] = wrong
        with pytest.raises(ValueError, match="layer 'linear3': weight_mu contains NaN or infinity"):
            group_scores(model)
    model = grouped(networks.lenet300(), KINDS[0]).to(torch.complex64)
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
