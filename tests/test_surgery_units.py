"""Physical removal of units, one layer's or those that sums tie together, in any network."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from foreign import assert_same_state, images, randomised, state_of, without_inputs
from torch import nn
from torch.nn.utils import parametrizations, prune

from uecompress import networks


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
    "members in the batch": (
        lambda: networks.SharedEnsemble(networks.lenet5(), 2),
        "network.conv2",
        "network.linear1",
        50,
    ),
    "fused cnn, channel padding on the way": (
        lambda: networks.fuse_batch_norm(randomised(networks.cnn())),
        "conv2",
        "conv3",
        32,
    ),
}


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
