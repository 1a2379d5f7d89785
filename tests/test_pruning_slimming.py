"""Network Slimming: γ and β to zero are the channel gone, before and behind the convolution."""

import copy
from collections import OrderedDict

import pytest
import torch
from foreign import assert_same_state, images, randomised
from torch import nn
from torch.nn import functional as F

from uecompress import data, networks, pruning, training


def vgg():
    """conv-norm-ReLU twice, as in the paper: the norm stands behind the layer."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 6, 3, padding=1),
            norm1=nn.BatchNorm2d(6),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(6, 8, 3, padding=1),
            norm2=nn.BatchNorm2d(8),
            relu2=nn.ReLU(),
            pool=nn.AdaptiveAvgPool2d(2),
            flatten=nn.Flatten(),
            linear=nn.Linear(32, 3),
        )
    )


NETWORKS = {  # and where the norms stand
    "mlp, before": (lambda: networks.mlp(784, 20, 3), (4, 1, 28, 28)),
    "cnn, before": (networks.cnn, (4, 1, 28, 28)),
    "vgg, behind": (vgg, (4, 1, 12, 12)),
    "resnet_small, behind": (networks.resnet_small, (4, 1, 12, 12)),
}


def without_scales(model, masks, *, shifts=True):
    """The network with γ, and β, of these channels zero, and nothing else changed."""
    result = copy.deepcopy(model)
    for name, group in pruning.unit_groups(model).items():
        for norm_name, unit_of in group.norms.items():
            norm = result.get_submodule(norm_name)
            norm.weight.data[~masks[name][unit_of]] = 0
            if shifts:
                norm.bias.data[~masks[name][unit_of]] = 0
    return result


@pytest.mark.parametrize("case", NETWORKS)
def test_zero_scales_and_shifts_are_the_channel_gone(case):
    make, shape = NETWORKS[case]
    model, x = randomised(make()), images(*shape)
    scores = pruning.gamma_scores(model)
    masks = pruning.top_units(scores, 0.5, "layer")
    silent = pruning.prune_units(model, scores, density=0.5, scope="layer")
    for name, module in without_scales(model, masks).named_modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert_same_state(silent.get_submodule(name), module.state_dict())
    small = networks.shrink(silent)
    assert networks.parameter_count(small) < 0.6 * networks.parameter_count(model)
    scale = small(x).abs().max()
    assert (without_scales(model, masks)(x) - small(x)).abs().max() <= 1e-12 * scale
    by_itself = networks.shrink(without_scales(model, masks))  # shrink finds these channels
    assert networks.parameter_count(by_itself) == networks.parameter_count(small)


@pytest.mark.parametrize("case", NETWORKS)
def test_with_zero_scales_alone_the_channel_still_gives_a_constant(case):
    make, shape = NETWORKS[case]
    model, x = randomised(make()), images(*shape)
    scores = pruning.gamma_scores(model)
    masks = pruning.top_units(scores, 0.5, "layer")
    small = networks.shrink(pruning.prune_units(model, scores, density=0.5, scope="layer"))
    wrong = without_scales(model, masks, shifts=False)
    assert (wrong(x) - small(x)).abs().max() > 1e-2 * small(x).abs().max()
    assert networks.parameter_count(networks.shrink(wrong)) > networks.parameter_count(small)


def test_the_scale_is_merged_after_the_removal():
    model, x = randomised(networks.cnn()), images(4, 1, 28, 28)
    slim = pruning.prune_units(model, pruning.gamma_scores(model), density=0.5, scope="layer")
    small = networks.shrink(slim)
    merged = networks.fuse_batch_norm(small)
    assert not any(
        isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d) for module in merged.modules()
    )
    assert (merged(x) - slim(x)).abs().max() <= 1e-12 * slim(x).abs().max()
    with pytest.warns(UserWarning, match="'norm2' .*no finite number stands before it"):
        networks.fuse_batch_norm(slim)  # −β/γ has no value where γ is zero


def test_scores_are_the_scales_of_each_channel():
    model = randomised(networks.cnn())
    scores = pruning.gamma_scores(model)
    assert list(scores) == ["conv1", "conv2", "conv3", "conv4", "conv5", "linear1"]
    for layer, norm in zip(
        scores, ("norm2", "norm3", "norm4", "norm5", "norm6", "norm7"), strict=True
    ):
        assert torch.equal(scores[layer], model.get_submodule(norm).weight.abs())
    tied = randomised(networks.resnet_small())
    norms = [tied.norm.weight.abs(), tied.block1.branch.norm2.weight.abs()]
    torch.testing.assert_close(pruning.gamma_scores(tied)["conv"], torch.stack(norms).mean(0))


def test_scores_are_those_of_torch_pruning():
    tp = pytest.importorskip("torch_pruning")
    model = randomised(vgg(), torch.float32)
    graph = tp.DependencyGraph().build_dependency(model, torch.zeros(1, 1, 12, 12))
    theirs = tp.importance.BNScaleImportance(normalizer=None)
    for name, scores in pruning.gamma_scores(model).items():
        every = [*range(len(scores))]
        group = graph.get_pruning_group(getattr(model, name), tp.prune_conv_out_channels, every)
        assert torch.equal(theirs(group).double(), scores)


def test_the_loss_has_the_sum_of_all_scales_but_those_of_pixels():
    model, (x, y) = (
        randomised(networks.mlp(9, 6, 2, 3)).train(),
        (images(8, 9), torch.arange(8) % 3),
    )
    model.dropout1.p = model.dropout2.p = 0
    loss = pruning.slimming_loss(model, 0.1)
    found = loss(model, x, y, 0.5)
    found.backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    plain = F.cross_entropy(model(x), y)
    plain.backward()
    penalty = sum(norm.weight.abs().sum() for norm in (model.norm2, model.norm3))
    torch.testing.assert_close(found, plain + 0.1 * penalty)
    for name, parameter in model.named_parameters():
        extra = 0.1 * parameter.sign() if name in ("norm2.weight", "norm3.weight") else 0
        torch.testing.assert_close(gradients[name], parameter.grad + extra)


def test_the_penalty_makes_scales_small_and_none_of_them_zero():
    x, y = data.load("digits", "train")
    x, y = x[:200, :, ::2, ::2].contiguous(), y[:200]  # (200, 1, 14, 14)
    model = networks.mlp(196, 20, 2)
    settings = {"epochs": 4, "batch_size": 50, "lr": 1e-2, "seed": 0, "progress": False}

    def trained(**further):
        return training.fit(model, (x, y), **settings, **further)

    plain = trained()
    without, little, much = (
        trained(loss=pruning.slimming_loss(model, strength)) for strength in (0, 0.01, 1)
    )
    assert_same_state(without, plain.state_dict())
    sizes = [
        torch.cat(list(pruning.gamma_scores(network).values())) for network in (plain, little, much)
    ]
    assert sizes[0].sum() > sizes[1].sum() > sizes[2].sum()
    assert sizes[2].min() > 0  # a gradient of the absolute value steps over the zero
    assert (
        much.norm1.weight - plain.norm1.weight
    ).abs().max() < 0.2  # of the pixels: not penalized


def test_a_change_of_gauge_changes_the_global_ranks_and_not_the_network():
    model, x = randomised(vgg()), images(4, 1, 12, 12)
    for norm, (low, high) in ((model.norm1, (0.5, 1.5)), (model.norm2, (0.6, 1.4))):
        norm.weight.data.copy_(torch.linspace(low, high, norm.num_features))
    other = copy.deepcopy(model)
    for parameter in (other.norm2.weight, other.norm2.bias):
        parameter.data *= 0.05
    other.linear.weight.data /= 0.05
    torch.testing.assert_close(other(x), model(x), rtol=0, atol=1e-11)
    before, after = pruning.gamma_scores(model), pruning.gamma_scores(other)
    with pytest.warns(UserWarning, match="all units but one are gone from 'conv2'"):
        kept = pruning.top_units(after, 0.43)  # 6 of 14
    assert int(kept["conv2"].sum()) == 1 < int(pruning.top_units(before, 0.43)["conv2"].sum())
    for name, mask in pruning.top_units(before, 0.5, "layer").items():
        assert torch.equal(pruning.top_units(after, 0.5, "layer")[name], mask)


@pytest.mark.parametrize("make", [networks.lenet5, lambda: nn.Sequential(
    nn.Linear(3, 4), nn.BatchNorm1d(4, affine=False), nn.Linear(4, 2))])  # fmt: skip
def test_a_network_without_scales_is_refused(make):
    for function in (pruning.gamma_scores, lambda model: pruning.slimming_loss(model, 1e-4)):
        with pytest.raises(ValueError, match="no batch norm with scales whose channels could go"):
            function(make())


@pytest.mark.parametrize(
    ("strength", "error"), [(-1e-4, ValueError), (float("nan"), ValueError), ("1e-4", TypeError)]
)
def test_a_strength_that_is_none(strength, error):
    with pytest.raises(error, match="strength must be"):
        pruning.slimming_loss(networks.mlp(), strength)
