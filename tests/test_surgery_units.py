"""Physical removal of units, one layer's or those that sums tie together, in any network."""

import copy
from collections import OrderedDict

import numpy as np
import pytest
import torch
from foreign import BasicBlock, ConcatNet, Gated, MobileNet, ResNet, randomised
from torch import nn
from torch.nn.utils import parametrizations, prune

from uecompress import networks


def images(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def assert_same_state(model, before):
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def state_of(model):
    return copy.deepcopy(model.state_dict())


def ensemble_of_mlps():
    return networks.Ensemble([networks.mlp(9, 6, 2, 3, seed=seed) for seed in range(2)])


KEEP = {  # network, layer, its successor, number of units
    "mlp": (lambda: networks.mlp(784, 12, 3), "linear2", "linear3", 12),
    "cnn conv-relu-pool-norm-conv": (networks.cnn, "conv2", "conv3", 32),
    "cnn conv-relu-pool-flatten-norm-linear": (networks.cnn, "conv5", "linear1", 256),
    "cnn head": (networks.cnn, "linear1", "linear2", 64),
    "lenet5 conv-conv": (networks.lenet5, "conv1", "conv2", 20),
    "lenet5 flatten 4x4": (networks.lenet5, "conv2", "linear1", 50),
    "lenet300": (networks.lenet300, "linear1", "linear2", 300),
    "residual branch": (
        networks.resnet_small,
        "block2.branch.conv1",
        "block2.branch.conv2",
        32,
    ),
    "ensemble member": (
        lambda: networks.Ensemble([networks.mlp(784, 8, 2, seed=s) for s in range(2)]),
        "members.1.linear1",
        "members.1.linear2",
        8,
    ),
    "fused cnn, channel padding on the way": (
        lambda: networks.fuse_batch_norm(randomised(networks.cnn())),
        "conv2",
        "conv3",
        32,
    ),
}


def without_inputs(model, successor, keep, units):
    """The oracle: the successor's weights on the removed units are zero, nothing else changes."""
    model = copy.deepcopy(model)
    weight = model.get_submodule(successor).weight.data
    # (out, units * H * W, ...) -> (out, units, H * W, ...), a view
    weight = weight.unflatten(1, (units, -1))
    removed = np.setdiff1d(np.arange(units), keep)
    weight[:, removed] = 0
    return model


@pytest.mark.parametrize("case", KEEP)
def test_keep_units_equals_zeroing_the_inputs_of_the_next_layer(case):
    make, name, successor, units = KEEP[case]
    model = randomised(make())
    before = state_of(model)
    keep = np.random.default_rng(0).permutation(units)[: units // 2 + 1]
    keep.sort()
    x = images(4, 1, 28, 28, seed=1)
    reduced = networks.keep_units(model, name, keep)
    expected = without_inputs(model, successor, keep, units)(x)
    difference = (reduced(x) - expected).abs().max()
    assert difference <= 1e-12 * expected.abs().max().clamp(min=1)
    assert (expected - model(x)).abs().max() > 1e-6  # the units did matter
    assert len(reduced.get_submodule(name).weight) == len(keep)
    assert networks.parameter_count(reduced) < networks.parameter_count(model)
    assert_same_state(model, before)


def test_keep_units_counts():
    reduced = networks.keep_units(networks.lenet5(), "conv2", range(7))
    assert networks.parameter_count(reduced) == 520 + (500 * 7 + 7) + (7 * 16 * 500 + 500) + 5010
    assert (reduced.conv2.out_channels, reduced.linear1.in_features) == (7, 112)
    mlp = networks.keep_units(networks.mlp(), "linear3", [0, 5])
    assert (mlp.linear3.out_features, mlp.norm4.num_features, mlp.linear4.in_features) == (2, 2, 2)
    assert mlp.norm4.running_var.shape == (2,)


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_keep_units_takes_masks_and_indices(kind):
    model = networks.lenet300()
    keep = [1, 4, 99]
    mask = [unit in keep for unit in range(100)]
    by_index = networks.keep_units(model, "linear2", kind(keep))
    by_mask = networks.keep_units(model, "linear2", kind(mask))
    assert torch.equal(by_index.linear2.weight, model.linear2.weight[keep])
    assert torch.equal(by_index.linear3.weight, model.linear3.weight[:, keep])
    assert_same_state(by_mask, by_index.state_dict())


def test_keep_units_that_keeps_all_is_a_copy():
    model = networks.resnet_small()
    kept = networks.keep_units(model, "block1.branch.conv1", torch.ones(16, dtype=torch.bool))
    assert_same_state(kept, model.state_dict())


def test_keep_units_leaves_the_other_members_alone():
    model = ensemble_of_mlps()
    reduced = networks.keep_units(model, "members.0.linear1", [2, 3])
    assert_same_state(reduced.members[1], model.members[1].state_dict())


def test_keep_units_in_nested_sequentials_with_any_elementwise_step():
    body = nn.Sequential(nn.Conv2d(1, 6, 3, stride=2, bias=False), nn.GELU(), nn.Dropout2d())
    pooled = nn.Sequential(nn.AvgPool2d(2), nn.Identity(), nn.AdaptiveAvgPool2d((2, 3)))
    head = nn.Sequential(OrderedDict(flat=nn.Flatten(), norm=nn.BatchNorm1d(36)))
    model = randomised(nn.Sequential(body, nn.Sequential(pooled, nn.SiLU()), head))
    model.append(nn.Sequential(nn.Tanh(), nn.Linear(36, 4)).double().eval())
    x = images(3, 1, 28, 28)
    reduced = networks.keep_units(model, "0.0", [0, 2, 5])
    expected = without_inputs(model, "3.1", [0, 2, 5], 6)(x)
    assert (reduced(x) - expected).abs().max() <= 1e-12
    assert reduced[0][0].bias is None


def test_keep_units_can_be_trained_and_keeps_what_is_frozen():
    model = networks.lenet5()
    model.conv1.requires_grad_(False)
    reduced = networks.keep_units(model, "conv1", [3, 4])
    assert not reduced.conv1.weight.requires_grad
    reduced(torch.rand(2, 1, 28, 28)).sum().backward()
    assert reduced.conv1.weight.grad is None
    assert reduced.conv2.weight.grad.shape == (50, 2, 5, 5)


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ([], "keep is empty"),
        ([False] * 100, "keep is empty"),
        ([0, 100], r"units 0, ..., 99, keep holds \[100\]"),
        ([-1, 3], r"keep holds \[-1\]"),
        ([1, 1], r"without duplicates, got \[1, 1\]"),
        ([3, 1], r"must be sorted .* got \[3, 1\]"),
        ([True] * 99, "has 100 units, the mask 99"),
        (5, r"one-dimensional, got shape \(\)"),
        (np.ones((100, 1), dtype=bool), r"one-dimensional, got shape \(100, 1\)"),
    ],
)
def test_keep_units_refuses_choices(keep, message):
    with pytest.raises(ValueError, match=f"'linear2'.*{message}"):
        networks.keep_units(networks.lenet300(), "linear2", keep)


def test_keep_units_refuses_floats():
    with pytest.raises(TypeError, match=r"'linear2': keep must be bool or integer, got .*float"):
        networks.keep_units(networks.lenet300(), "linear2", torch.ones(100))


@torch.no_grad()  # so that the weight, which prune computes, can be copied
def pruned(layer):
    return prune.l1_unstructured(layer, "weight", amount=0.5)


def pair(first, second, *between):
    return nn.Sequential(OrderedDict(first=first, **dict(between), second=second))


def test_keep_units_names_the_layers_there_are():
    with pytest.raises(ValueError, match="'relu1'; there are linear1, linear2, linear3"):
        networks.keep_units(networks.lenet300(), "relu1", [0])


@pytest.mark.parametrize(
    ("model", "name", "message"),
    [
        (
            networks.lenet300(),
            "linear3",
            "'linear3': no layer follows, its outputs are the network's",
        ),
        (
            networks.cnn_as_printed(),
            "linear2",
            "'linear2': no layer follows, its outputs are the network's",
        ),
        (
            ensemble_of_mlps(),
            "members.0.linear3",
            "'members.0.linear3': no layer follows, its outputs are the network's",
        ),
        (
            pair(nn.Conv2d(2, 4, 3, groups=2), nn.Conv2d(4, 2, 3)),
            "first",
            "'first': 'first' is a convolution in 2 groups",
        ),
        (
            pair(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3, groups=2)),
            "first",
            "'first': 'second' is a convolution in 2 groups",
        ),
        (
            pair(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 8, 3, groups=4)),
            "first",
            "'first': 'second' is a convolution in 4 groups",
        ),
        (
            pair(nn.Linear(2, 4), nn.Linear(4, 2), ("norm", nn.LayerNorm(4))),
            "first",
            "'first': 'norm' is not known to treat each unit by itself",
        ),
        (
            pair(parametrizations.orthogonal(nn.Linear(4, 4)), nn.Linear(4, 2)),
            "first",
            r"'first' is parametrized: networks.plain\(model\) resolves that",
        ),
        (
            pair(nn.Linear(4, 4), parametrizations.weight_norm(nn.Linear(4, 2))),
            "first",
            "'first': 'second' is parametrized",
        ),
        (
            pair(pruned(nn.Linear(4, 4)), nn.Linear(4, 2)),
            "first",
            "'first' is parametrized",
        ),
        (
            pair(nn.Conv2d(1, 4, 3), nn.Linear(26, 2)),
            "first",
            "'first': 'second' is a Linear and cannot take them",
        ),
        (
            pair(nn.Linear(2, 4), nn.Linear(8, 2), ("flatten", nn.Flatten())),
            "first",
            "'first': 4 units do not fit the 8 of 'second'",
        ),
        (
            pair(nn.Conv2d(1, 4, 3), nn.Linear(10, 2), ("flatten", nn.Flatten())),
            "first",
            "'first': 4 units do not fit the 10 of 'second'",
        ),
        (
            pair(nn.Conv2d(1, 4, 3), nn.Linear(4, 2), ("flatten", nn.Flatten(2))),
            "first",
            "'first': 'flatten' is not known to treat each unit by itself",
        ),
    ],
)
def test_keep_units_refuses_what_it_cannot_follow(model, name, message):
    before = state_of(model)
    with pytest.raises(ValueError, match=message):
        networks.keep_units(model, name, [0])
    assert_same_state(model, before)


def test_keep_units_refuses_shared_layers():
    shared = nn.Linear(4, 4)
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), shared, nn.ReLU(), shared, nn.Linear(4, 2))
    for name in ("0", "2"):
        with pytest.raises(ValueError, match="'2' is called 2 times"):
            networks.keep_units(model, name, [0])


# ---------------------------------------------------------------- units that sums tie together


def without_readings(model, readers, keep, units):
    """The oracle: what reads the units gives those that go zero weights, nothing else changes."""
    for reader in readers:
        model = without_inputs(model, reader, keep, units)
    return model


RESNET = (networks.resnet_small, (3, 1, 12, 12))
FOREIGN = (ResNet, (3, 1, 20, 20))
MOBILE = (MobileNet, (3, 1, 20, 20))
STREAM = ("layer1.0.conv1", "layer1.1.conv1", "layer2.0.conv1", "layer2.0.shortcut.0")
TIED = {  # layers that lose units together -> network, those that read them, number of units
    ("conv", "block1.branch.conv2"): (
        RESNET,
        ("block1.branch.conv1", "block2.branch.conv1", "block2.shortcut.conv"),
        16,
    ),
    ("block2.branch.conv2", "block2.shortcut.conv"): (
        RESNET,
        ("block3.branch.conv1", "block3.shortcut.conv"),
        32,
    ),
    ("block3.branch.conv2", "block3.shortcut.conv"): (RESNET, ("linear",), 64),
    ("conv1", "layer1.0.conv2", "layer1.1.conv2"): (FOREIGN, STREAM, 4),
    ("layer1.0.conv1",): (FOREIGN, ("layer1.0.conv2",), 4),
    ("layer2.0.conv2", "layer2.0.shortcut.0"): (FOREIGN, ("fc",), 6),
    ("stem", "project"): (MOBILE, ("expand", "classifier"), 4),
    ("expand", "depthwise", "squeeze.fc2"): (MOBILE, ("squeeze.fc1", "project"), 8),
    ("squeeze.fc1",): (MOBILE, ("squeeze.fc2",), 4),
}


@pytest.mark.parametrize("tied", TIED)
def test_units_go_together_from_all_that_a_sum_ties(tied):
    (make, shape), readers, units = TIED[tied]
    model = randomised(make())
    before, x = state_of(model), images(*shape)
    keep = [unit for unit in range(units) if unit % 2 == 0]
    reduced = [networks.keep_units(model, name, keep) for name in tied]
    for name in tied:
        assert len(reduced[0].get_submodule(name).weight) == len(keep)
    for other in reduced[1:]:  # whichever is named
        assert_same_state(other, reduced[0].state_dict())
    expected = without_readings(model, readers, keep, units)(x)
    difference = (reduced[0](x) - expected).abs().max()
    assert difference <= 1e-12 * expected.abs().max().clamp(min=1)
    assert (expected - model(x)).abs().max() > 1e-6  # the units did matter
    assert_same_state(model, before)


@pytest.mark.parametrize("make", [networks.resnet_small, ResNet, MobileNet])
def test_every_layer_but_the_last_can_lose_units(make):
    model = randomised(make())
    *layers, last = [name for name, _ in networks.linear_and_conv_layers(model)]
    for name in layers:
        smaller = networks.keep_units(model, name, range(1, len(model.get_submodule(name).weight)))
        assert networks.parameter_count(smaller) < networks.parameter_count(model)
        assert smaller(images(2, 1, 20, 20)).isfinite().all()
    with pytest.raises(ValueError, match=f"'{last}': no layer follows"):
        networks.keep_units(model, last, [0])


def test_removal_is_exact_in_train_mode_too():
    model = randomised(networks.resnet_small()).train()
    keep, x = [0, 3, 7], images(4, 1, 12, 12)
    readers = TIED["conv", "block1.branch.conv2"][1]
    expected = without_readings(model, readers, keep, 16)(x)
    reduced = networks.keep_units(model, "conv", keep)
    assert (reduced(x) - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_a_layer_beside_the_identity_loses_rows_and_columns():
    layers = [nn.Linear(3, 5), networks.Residual(nn.Linear(5, 5)), nn.Linear(5, 2)]
    model, x = randomised(nn.Sequential(*layers)), images(4, 3)
    for name in ("0", "1.branch"):
        reduced = networks.keep_units(model, name, [1, 2])
        assert reduced[1].branch.weight.shape == (2, 2)
        expected = without_readings(model, ("1.branch", "2"), [1, 2], 5)(x)
        assert (reduced(x) - expected).abs().max() <= 1e-12


def test_members_of_an_ensemble_lose_tied_units_each_by_itself():
    model = randomised(
        networks.Ensemble([networks.resnet_small(width=4, seed=seed) for seed in range(2)])
    )
    reduced = networks.keep_units(model, "members.1.block1.branch.conv2", [0, 2])
    assert_same_state(reduced.members[0], model.members[0].state_dict())
    readers = [f"members.1.{name}" for name in TIED["conv", "block1.branch.conv2"][1]]
    x = images(2, 1, 12, 12)
    expected = without_readings(model, readers, [0, 2], 4)(x)
    assert (reduced(x) - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.parametrize("flatten", ["flatten", "view", "reshape"])
def test_flattening_by_a_method_keeps_a_units_entries_together(flatten):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.fc = nn.Conv2d(1, 4, 3), nn.BatchNorm1d(36), nn.Linear(36, 2)

        def forward(self, x):
            x = self.conv(x).sigmoid()
            shape = {"flatten": (1,), "view": (x.size(0), -1), "reshape": (x.shape[0], -1)}
            return self.fc(self.norm(getattr(x, flatten)(*shape[flatten])))

    model, x = randomised(Net()), images(3, 1, 5, 5)
    reduced = networks.keep_units(model, "conv", [1, 3])
    expected = without_inputs(model, "fc", [1, 3], 4)(x)
    assert (reduced(x) - expected).abs().max() <= 1e-12


class Attention(nn.Module):
    """One head that cuts its features by a view."""

    def __init__(self):
        super().__init__()
        self.query, self.out = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.out(self.query(x).view(x.shape[0], 2, 2).transpose(1, 2).flatten(1))


class Repeated(nn.Module):
    """Calls one layer of its ``nn.Sequential`` once more."""

    def __init__(self):
        super().__init__()
        self.block, self.last = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), nn.Conv2d(4, 1, 3)

    def forward(self, x):
        return self.last(self.block(x) + self.block[0](x))


class Reader(nn.Module):
    """Reads the weight of a layer instead of calling it."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return nn.functional.linear(self.first(x), self.second.weight)


class OwnForward(nn.Linear):
    """A layer that is no plain one."""

    def forward(self, x):
        return super().forward(x).flip(-1)


def hooked(model, name):
    """The network, with a hook that turns the units of a module around."""
    model.get_submodule(name).register_forward_hook(lambda module, inputs, output: output.flip(1))
    return model


def tied(model):
    model[2].weight = model[0].weight
    return model


@pytest.mark.parametrize(
    ("model", "name", "message"),
    [
        (ConcatNet(), "conv1", "'conv1': its outputs are concatenated with others, by 'cat'"),
        (Attention(), "query", "'query': 'view' .* not known to treat each unit by itself"),
        (Repeated(), "block.0", "'block.0' is called 2 times"),
        (Reader(), "first", "'first': 'linear' .* not known to treat each unit by itself"),
        (Reader(), "second", "'second' has a tensor that the module around it reads"),
        (
            nn.Sequential(networks.Residual(nn.Linear(4, 4)), nn.Linear(4, 2)),
            "0.branch",
            "'0.branch': its outputs are added to the network's input",
        ),
        (
            nn.Sequential(Gated(nn.Linear(4, 4)), nn.Linear(4, 2)),
            "0.body",
            "'0.body' is inside '0', which torch.fx cannot trace .TraceError: .* control flow",
        ),
        (
            nn.Sequential(nn.Linear(4, 4), Gated(nn.ReLU()), nn.Linear(4, 2)),
            "0",
            "'0': '1' is not known to treat each unit by itself",
        ),
        (
            Gated(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))),
            "body.0",
            "'body.0' is inside the network, which torch.fx cannot trace",
        ),
        (hooked(networks.lenet300(), "linear1"), "linear1", "'linear1' has a hook"),
        (hooked(networks.lenet300(), "relu1"), "linear1", "'linear1': 'relu1' has a hook"),
        (hooked(networks.lenet300(), "linear2"), "linear1", "'linear1': 'linear2' has a hook"),
        (
            hooked(ResNet(), "layer1"),
            "conv1",
            "'conv1': a hook of a container takes its outputs",
        ),
        (
            nn.Sequential(OwnForward(4, 4), nn.Linear(4, 2)),
            "0",
            "'0' is of the class OwnForward",
        ),
        (
            tied(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))),
            "0",
            "'0' shares a tensor with '2'",
        ),
        (
            nn.Sequential(
                networks.Residual(nn.Conv2d(1, 4, 1), nn.Conv2d(1, 1, 1)), BasicBlock(4, 4)
            ),
            "0.branch",
            "'0.branch': 4 units do not fit the 1 of '0.shortcut'",
        ),
    ],
)
def test_what_cannot_lose_units_says_why(model, name, message):
    before = state_of(model)
    with pytest.raises(ValueError, match=message):
        networks.keep_units(model, name, [0])
    assert_same_state(model, before)


def test_a_hook_of_a_container_hides_only_what_passes_through_it():
    model = randomised(hooked(ResNet(), "layer1"))
    reduced = networks.keep_units(model, "layer1.0.conv1", [0, 2])
    expected = without_inputs(model, "layer1.0.conv2", [0, 2], 4)
    x = images(2, 1, 20, 20)
    assert (reduced(x) - expected(x)).abs().max() <= 1e-12


def test_what_a_forward_leaves_on_its_module_is_not_left_by_looking():
    class Remembers(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.seen = nn.Linear(3, 4), nn.Linear(4, 2), None

        def forward(self, x):
            self.seen = self.first(x)
            return self.second(self.seen)

    model = Remembers()
    assert networks.keep_units(model, "first", [0, 1]).seen is None
    assert model.seen is None
