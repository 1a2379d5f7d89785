"""Shrinking: what zeros make superfluous goes, and the outputs stay."""

import copy
from collections import OrderedDict

import pytest
import torch
from foreign import Gated, MobileNet, ResNet, randomised
from torch import nn

from uecompress import networks
from uecompress.networks import SelectFeatures, shrink


def images(n=5):
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(1)).double() * 2 - 1


def shapes(model):
    return [tuple(layer.weight.shape) for _, layer in networks.linear_and_conv_layers(model)]


def assert_equal_outputs(small, model, x=None):
    x = images() if x is None else x
    torch.testing.assert_close(small(x), model(x), rtol=1e-12, atol=1e-12)


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


# ---------------------------------------------------------------- units that sums tie together


def test_units_that_nobody_reads_leave_a_residual_stream():
    model = randomised(networks.resnet_small())
    with torch.no_grad():
        for reader in ("block1.branch.conv1", "block2.branch.conv1", "block2.shortcut.conv"):
            model.get_submodule(reader).weight[:, [2, 5]] = 0
        model.block2.shortcut.conv.weight[:, 7] = 0  # the branches read unit 7 still
        model.block1.branch.conv2.weight[:, 4] = 0
    small = shrink(model)
    assert small.conv.weight.shape == (14, 1, 3, 3)
    assert small.block1.branch.conv1.weight.shape == (15, 14, 3, 3)
    assert small.block1.branch.conv2.weight.shape == (14, 15, 3, 3)
    assert small.block2.shortcut.conv.weight.shape == (32, 14, 1, 1)
    assert small.norm.num_features == small.block1.branch.norm2.num_features == 14
    assert_equal_outputs(small, model)


def test_a_unit_of_a_sum_goes_when_all_summands_are_silent():
    model = networks.fuse_batch_norm(randomised(networks.resnet_small()))
    conv, last = model.block2.shortcut.conv, model.block2.branch.conv2
    with torch.no_grad():
        for layer, units in ((conv, [3, 9]), (last, [3, 20])):
            layer.weight[units], layer.bias[units] = 0, 0
    small = shrink(model)
    assert len(small.block2.shortcut.conv.weight) == len(small.block2.branch.conv2.weight) == 31
    assert small.block3.shortcut.conv.in_channels == 31
    assert_equal_outputs(small, model)


def test_a_norm_without_scale_and_shift_silences_its_unit():
    model = randomised(ResNet())
    with torch.no_grad():
        model.layer1[0].bn1.weight[2], model.layer1[0].bn1.bias[2] = 0, 0
        model.layer1[1].bn1.weight[2] = 0  # it shifts still
        model.layer2[0].bn1.bias[1] = 0  # it scales still
    small = shrink(model)
    assert small.layer1[0].conv1.out_channels == 3
    assert small.layer1[1].conv1.out_channels == 4
    assert small.layer2[0].conv1.out_channels == 6
    assert_equal_outputs(small, model)


def test_a_depthwise_convolution_passes_silence_on_unless_it_has_a_bias():
    model = randomised(networks.fuse_batch_norm(randomised(MobileNet())))
    with torch.no_grad():
        for unit in (1, 6):
            model.expand.weight[unit], model.expand.bias[unit] = 0, 0
        model.depthwise.bias[6] = 0
        model.depthwise.weight[3], model.depthwise.bias[3] = 0, 0
    small = shrink(model)
    assert small.depthwise.groups == small.depthwise.in_channels == small.expand.out_channels == 6
    assert small.squeeze.fc2.out_channels == small.project.in_channels == 6
    assert_equal_outputs(small, model)


def test_a_factor_that_is_zero_silences_a_product():
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Linear(3, 4), nn.Linear(3, 4)
            self.out, self.side = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x):
            left = self.left(x)
            return self.out(left * self.right(x)) + self.side(left)

    model = randomised(Product())
    with torch.no_grad():
        model.right.weight[1], model.right.bias[1] = 0, 0  # left[1] is read by side
        model.left.weight[2], model.left.bias[2] = 0, 0
    x = torch.rand(6, 3, dtype=torch.float64)
    small = shrink(model)
    assert small.left.out_features == small.right.out_features == small.side.in_features == 3
    assert_equal_outputs(small, model, x)


def test_a_second_shrinking_reaches_through_a_choice_of_features():
    model = randomised(networks.lenet5())
    with torch.no_grad():
        model.linear1.weight.view(500, 50, 16)[:, 3, :5] = 0
    small = shrink(model)
    assert small.linear1[0].keep.sum() == 800 - 5
    with torch.no_grad():
        small.linear1[1].weight[:, 3 * 16 : 3 * 16 + 11] = 0  # what is left of unit 3
        small.linear1[1].weight[:, 0] = 0
        small.conv2.weight[7], small.conv2.bias[7] = 0, 0
    again = shrink(small)
    assert again.conv2.out_channels == 48
    assert again.linear1[0].features == 48 * 16
    assert again.linear1[1].in_features == 48 * 16 - 1
    assert again.linear1[0].keep[:3].tolist() == [False, True, True]
    assert_equal_outputs(again, small)


# ---------------------------------------------------------------- what is left alone


def plus_one(module, *arguments):
    """A hook that makes another number of a zero."""
    return arguments[-1] + 1


@pytest.mark.parametrize("place", ["0", "1", "2"])
def test_hooks_keep_their_effect(place):
    model = randomised(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3), nn.Linear(3, 2)))
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1], model[2].weight[:, 2] = 0, 0, 0
    model[int(place)].register_forward_hook(plus_one)
    x = torch.rand(4, 8, dtype=torch.float64)
    if place == "1":
        small = shrink(model)
    else:
        with pytest.warns(UserWarning, match=f"'{place}' has a hook"):
            small = shrink(model)
    assert_equal_outputs(small, model, x)
    assert small[0].out_features == 8


class InPlace(nn.Module):
    """Overwrites a tensor, and lets the name of the result go."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x):
        x = self.first(x)
        x.sigmoid_()
        return self.second(x)


class PlusNumber(InPlace):
    """Adds a number, whose name is given."""

    def forward(self, x):
        return self.second(torch.add(input=self.first(x), other=1.0))


@pytest.mark.parametrize("network", [InPlace, PlusNumber])
def test_what_functions_make_of_zeros_is_kept(network):
    model = randomised(network())
    with torch.no_grad():
        model.first.weight[1], model.first.bias[1] = 0, 0
    small = shrink(model)
    assert small.first.out_features == 3
    assert_equal_outputs(small, model, torch.rand(5, 4, dtype=torch.float64))


def test_inside_of_what_cannot_be_traced_nothing_changes():
    model = randomised(nn.Sequential(networks.lenet300(), Gated(nn.Linear(10, 4))))
    with torch.no_grad():
        model[1].body.weight[:, 2] = 0
        model[0].linear2.weight[:, 5] = 0
    small = shrink(model)
    assert small[1].body.in_features == 10
    assert small[0].linear1.out_features == 299
    assert_equal_outputs(small, model)


def test_a_network_without_plain_layers_is_refused():
    with pytest.raises(ValueError, match="no plain Linear or Conv2d"):
        shrink(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4)))
