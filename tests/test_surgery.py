"""Surgery on trees: walking, replacing, counting."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

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


# ---------------------------------------------------------------- walking, counting, replacing


def test_linear_and_conv_layers_in_order():
    found = networks.linear_and_conv_layers(networks.resnet_small())
    assert [name for name, _ in found] == [
        "conv",
        *("block1.branch.conv1", "block1.branch.conv2"),
        *("block2.branch.conv1", "block2.branch.conv2", "block2.shortcut.conv"),
        *("block3.branch.conv1", "block3.branch.conv2", "block3.shortcut.conv"),
        "linear",
    ]
    linear = nn.Linear(2, 2)
    assert networks.linear_and_conv_layers(linear) == [("", linear)]
    assert networks.linear_and_conv_layers(nn.Sequential(linear, linear)) == [("0", linear)]


def test_parametrized_layer_is_one_leaf():
    model = nn.Sequential(parametrizations.orthogonal(nn.Linear(3, 3)), nn.ReLU())
    assert networks.linear_and_conv_layers(model) == [("0", model[0])]
    names = []
    networks.replace_layers(model, lambda name, _: names.append(name))
    assert names == ["0", "1"]


def test_parameter_count_counts_shared_once_and_no_buffers():
    linear, norm = nn.Linear(3, 3), nn.BatchNorm1d(3)
    assert networks.parameter_count(nn.Sequential(linear, norm, linear)) == 12 + 6
    tied = nn.Linear(3, 3)
    tied.weight = linear.weight
    assert networks.parameter_count(nn.Sequential(linear, tied)) == 9 + 3 + 3
    assert networks.parameter_count(ensemble_of_mlps()) == 2 * networks.parameter_count(
        networks.mlp(9, 6, 2, 3)
    )


def double_linear(name, module):
    """Replaces a Linear by one that computes twice as much."""
    if isinstance(module, nn.Linear):
        twice = nn.Linear(module.in_features, module.out_features, dtype=module.weight.dtype)
        twice.weight = nn.Parameter(2 * module.weight.detach())
        twice.bias = nn.Parameter(2 * module.bias.detach())
        return twice
    return None


def test_replace_layers_in_an_ensemble_of_residual_networks():
    member = nn.Sequential(nn.Flatten(), networks.Residual(nn.Linear(4, 4)), nn.Linear(4, 3))
    model = networks.Ensemble([member.double(), copy.deepcopy(member)])
    before, x = state_of(model), images(5, 1, 2, 2)
    replaced = networks.replace_layers(model, double_linear)
    h = x.flatten(1)
    h = 2 * member[1].branch(h) + h
    assert torch.allclose(replaced(x)[0], 2 * member[2](h), rtol=0, atol=1e-14)
    assert_same_state(model, before)
    assert list(replaced.state_dict()) == list(before)


def test_replace_layers_copies_what_it_leaves_alone():
    model = networks.lenet300()
    copied = networks.replace_layers(model, lambda name, module: None)
    assert_same_state(copied, state_of(model))
    with torch.no_grad():
        copied.linear1.weight.zero_()
    assert model.linear1.weight.abs().sum() > 0


def test_replace_layers_shows_copies_to_the_function():
    model = networks.lenet300()
    before = state_of(model)

    def spoil(name, module):
        if name == "linear1":
            module.weight.data.zero_()
            return nn.Sequential(module, nn.Tanh())  # the replacement may hold the leaf itself

    replaced = networks.replace_layers(model, spoil)
    assert [type(module) for module in replaced.linear1] == [nn.Linear, nn.Tanh]
    assert_same_state(model, before)
    ours = {id(p) for p in model.parameters()}
    assert not ours & {id(p) for p in replaced.parameters()}


def test_replace_layers_keeps_sharing():
    shared, relu = nn.Linear(3, 3), nn.ReLU()
    model = nn.Sequential(shared, relu, networks.Residual(shared, shared), relu)
    asked = []

    def function(name, module):
        asked.append(name)
        return double_linear(name, module)

    replaced = networks.replace_layers(model, function)
    assert asked == ["0", "1"]
    assert replaced[0] is replaced[2].branch is replaced[2].shortcut
    assert replaced[0] is not shared
    assert replaced[1] is replaced[3]


def test_a_list_of_parameters_is_part_of_its_layer():
    model = networks.mlp(depth=1)
    layer = nn.Module()
    layer.cores = nn.ParameterList([torch.ones(2)])
    model.norm1 = layer
    asked = []
    replaced = networks.replace_layers(
        model,
        lambda name, leaf: asked.append(name) or (nn.Identity() if name == "norm1" else None),
    )
    assert "norm1" in asked
    assert not any(name.startswith("norm1.") for name in asked)
    assert isinstance(replaced.norm1, nn.Identity)


def test_replace_layers_takes_over_the_mode_of_each_leaf():
    model = networks.mlp(4, 3, 1, 2).eval()
    model.dropout1.train()
    swap = {nn.Dropout: nn.Dropout2d, nn.Linear: nn.Identity}
    replaced = networks.replace_layers(model, lambda _, m: swap.get(type(m), lambda: None)())
    assert replaced.dropout1.training
    assert not replaced.linear1.training


def test_replace_layers_of_a_single_leaf():
    linear = nn.Linear(3, 2)
    x = torch.ones(1, 3)
    assert torch.allclose(networks.replace_layers(linear, double_linear)(x), 2 * linear(x))
    assert networks.replace_layers(linear, lambda name, module: None) is not linear


def test_replace_layers_refuses_what_is_no_module():
    with pytest.raises(TypeError, match="replacement of 'linear1' is not a module: 3"):
        networks.replace_layers(networks.lenet300(), lambda n, _: 3 if n == "linear1" else None)
