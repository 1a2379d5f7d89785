"""Batch-norm fusion in networks of others: hooks, layers called twice, code that names layers."""

import pytest
import torch
from foreign import ConcatNet, Gated, MobileNet, ResNet, images, randomised
from fused import assert_fused_exactly
from torch import nn

from uecompress import networks


def reversing(module, *arguments):
    """A hook that turns the order of the units of a module around."""
    return arguments[-1].flip(1)


@pytest.mark.parametrize(
    ("place", "left", "reason"),
    [
        ("1", ["1"], "'1' has a hook"),
        ("0", ["1"], "'1' fits no layer: '0' before it has a hook"),
        ("", [], ""),
    ],
)
def test_hooks_keep_their_effect(place, left, reason):
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU())
    model = randomised(model.extend([nn.BatchNorm1d(8), nn.Linear(8, 3)]))
    model.get_submodule(place).register_forward_hook(reversing)
    assert_fused_exactly(model, images(4, 8), left, reason)


def test_a_hook_of_a_container_stands_between_norm_and_layer():
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 4)), nn.BatchNorm1d(4), nn.Tanh())
    model = randomised(model.extend([nn.Linear(4, 2), nn.BatchNorm1d(2)]))
    model[0].register_forward_hook(reversing)
    reason = "'1' fits no layer: no Linear runs right before it"
    assert_fused_exactly(model, images(3, 4), left=["1"], reason=reason)


class Twice(nn.Module):
    """Calls one layer of its ``nn.Sequential`` once more."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    def forward(self, x):
        return self.block(x) + self.block[0](x)


class Reader(nn.Module):
    """Reads the weight of a layer and the mean of a norm beside calling them."""

    def __init__(self):
        super().__init__()
        self.first, self.norm1 = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.second, self.norm2 = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, x):
        x = self.norm1(self.first(x)) @ self.first.weight
        return self.norm2(self.second(x)) + self.norm2.bias


class Overwrites(nn.Module):
    """Changes what the norm was given before the layer sees what the norm made of it."""

    def __init__(self):
        super().__init__()
        self.norm, self.linear = nn.BatchNorm1d(4), nn.Linear(4, 4)

    def forward(self, x):
        x = x * 2
        y = self.norm(x)
        x += 1
        return self.linear(y) + x


@pytest.mark.parametrize(
    ("network", "shape", "left", "reason"),
    [
        (Twice, (1, 3, 6, 6), ["block.1"], "'block.0' before it is called 2 times"),
        (Reader, (3, 4), ["norm1", "norm2"], "'first' before it has a tensor that"),
        (Overwrites, (3, 4), ["norm"], "what runs right behind it is not all"),
        (lambda: Gated(networks.mlp(9, 4, 1, 2)), (3, 9), ["body.norm1", "body.norm2"],
         "is inside the network, which torch.fx cannot trace .TraceError"),
        (lambda: nn.Sequential(networks.mlp(9, 4, 1, 2), Gated(nn.BatchNorm1d(2))), (3, 9),
         ["1.body"], "'1.body' is inside '1', which torch.fx cannot trace"),
        (ConcatNet, (2, 1, 6, 6), ["norm2", "norm3"],
         "'conv1' before it has its outputs used elsewhere too"),
    ],
)  # fmt: skip
def test_norms_that_the_order_of_execution_keeps_are_left(network, shape, left, reason):
    assert_fused_exactly(randomised(network()), images(*shape), left, reason)


@pytest.mark.parametrize("make", [ResNet, MobileNet])
def test_networks_of_others_fuse_completely(make):
    model = randomised(make())
    fused = assert_fused_exactly(model, images(3, 1, 20, 20))
    assert list(dict(fused.named_modules())) == list(dict(model.named_modules()))  # for its code
    assert fused.training is False


def test_layers_may_be_called_by_keyword():
    class Keywords(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.conv = nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3, padding=1)
            self.behind = nn.BatchNorm2d(3)

        def forward(self, x):
            return self.behind(input=self.conv(input=self.norm(input=x)))

    model, x = randomised(Keywords()), images(2, 2, 5, 5)
    assert_fused_exactly(model, x, left=["norm"], reason="it is called by keyword")


def test_in_a_module_of_others_the_padding_has_the_norms_place():
    model = randomised(ConcatNet())
    with pytest.warns(UserWarning, match="norm2"):
        fused = networks.fuse_batch_norm(model)
    assert isinstance(fused.norm1, networks.ChannelPad2d)
    assert fused.conv1.padding == (0, 0)


def test_a_sequential_that_others_index_keeps_its_length():
    class Indexed(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
            self.last = self.block[-1]

        def forward(self, x):
            return self.last(self.block[1](self.block[0](x)).relu())

    fused = assert_fused_exactly(randomised(Indexed()), images(3, 4))
    assert [type(module) for module in fused.block] == [nn.Linear, nn.Identity, nn.Linear]
    assert fused.last is fused.block[2]


def test_without_batch_norms_fusion_is_a_copy():
    model = networks.lenet300()
    fused = networks.fuse_batch_norm(model)
    assert fused is not model
    assert all(torch.equal(fused.state_dict()[k], v) for k, v in model.state_dict().items())
