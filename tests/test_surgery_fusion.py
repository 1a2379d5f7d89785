"""Batch-norm fusion: exact in both orders, with padding, and left alone where it is not."""

import copy
from collections import OrderedDict

import pytest
import torch
from foreign import images, randomised
from fused import assert_fused_exactly, relative_difference
from torch import nn
from torch.nn.utils import parametrizations

from uecompress import networks


def sequential_with(norm, conv):
    return randomised(nn.Sequential(norm, conv))


NETWORKS = {
    "mlp": networks.mlp,
    "cnn": networks.cnn,
    "lenet300": networks.lenet300,
    "lenet5": networks.lenet5,
    "resnet_small": networks.resnet_small,
    "ensemble": lambda: networks.Ensemble([networks.mlp(), networks.cnn()]),
    "shared": lambda: networks.SharedEnsemble(networks.resnet_small(), 2),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_fuses_exactly_and_completely(name):
    model = randomised(NETWORKS[name]())
    fused = assert_fused_exactly(model, images(8, 1, 28, 28))
    assert not fused.training
    single = randomised(NETWORKS[name](), torch.float32)
    x = images(8, 1, 28, 28, dtype=torch.float32)
    assert relative_difference(networks.fuse_batch_norm(single)(x), single(x)) <= 1e-5


def test_names_and_parameters_after_fusion():
    assert list(networks.fuse_batch_norm(networks.mlp(depth=1))._modules) == [
        *("flatten", "linear1", "relu1", "dropout1", "linear2"),
    ]
    fused = networks.fuse_batch_norm(networks.cnn())
    assert list(fused._modules)[:6] == ["pad", "conv1_pad", "conv1", "relu1", "pool1", "conv2_pad"]
    # the CNN loses gamma and beta of its seven norms, nothing else
    widths = [1, 16, 32, 64, 128, 256, 64]
    assert networks.parameter_count(fused) == 410_540 - 2 * sum(widths)
    resnet = networks.fuse_batch_norm(networks.resnet_small())
    assert not any(isinstance(module, networks.ChannelPad2d) for module in resnet.modules())
    assert resnet.block2.shortcut.conv.bias.shape == (32,)


def test_ignoring_the_padding_is_wrong_at_the_border_only():
    model = randomised(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, padding=1)))
    norm, conv = model
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - scale * norm.running_mean
    naive = copy.deepcopy(conv)
    with torch.no_grad():
        naive.weight.mul_(scale[:, None, None])
        naive.bias.add_(torch.einsum("ocij,c->o", conv.weight, shift))
    x = images(2, 3, 8, 8)
    difference = (naive(x) - model(x)).abs()
    assert difference[..., 1:-1, 1:-1].max() <= 1e-12
    assert difference[..., 0, :].max() > 1e-3
    assert difference[..., :, -1].max() > 1e-3
    assert_fused_exactly(model, x)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(
    "options",
    [
        {"padding": 0},
        {"padding": (0, 2), "stride": (1, 2)},
        {"padding": "same", "dilation": (2, 1)},
        {"padding": "valid"},
        {"padding": 1, "bias": False},
        {"padding": 1, "padding_mode": "reflect"},
        {"padding": (2, 1), "padding_mode": "circular"},
        {"padding": "same", "padding_mode": "replicate"},
    ],
    ids=str,
)
def test_batch_norm_before_any_convolution(options, groups):
    conv = nn.Conv2d(4, 8, (2, 3), groups=groups, **options)
    fused = assert_fused_exactly(
        randomised(nn.Sequential(nn.BatchNorm2d(4), conv)), images(2, 4, 9, 10)
    )
    padded = options["padding"] not in (0, "valid") and conv.padding_mode == "zeros"
    assert list(fused._modules) == (["1_pad", "1"] if padded else ["1"])


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(("kernel", "border"), [((2, 5), (2, 2, 0, 1)), ((3, 4), (1, 2, 1, 1))])
def test_same_padding_of_an_even_kernel_is_lopsided(kernel, border):
    conv = nn.Conv2d(2, 3, kernel, padding="same")
    fused = assert_fused_exactly(sequential_with(nn.BatchNorm2d(2), conv), images(2, 2, 6, 7))
    assert fused[0].padding == border


def test_batch_norm_behind_any_layer():
    for groups in (1, 2):
        conv = nn.Conv2d(
            4, 6, 3, padding="same", groups=groups, bias=False, padding_mode="circular"
        )
        model = randomised(nn.Sequential(conv, nn.BatchNorm2d(6)))
        assert_fused_exactly(model, images(2, 4, 7, 7))
    model = randomised(nn.Sequential(nn.Linear(4, 5, bias=False), nn.BatchNorm1d(5)))
    assert_fused_exactly(model, images(3, 4))


def test_layer_in_front_is_preferred_and_chains_of_norms_collapse():
    conv1, conv2 = nn.Conv2d(2, 3, 3), nn.Conv2d(3, 2, 3, padding=1)
    between = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3))
    model = randomised(nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(2), conv1, between, conv2))
    fused = assert_fused_exactly(model, images(2, 2, 8, 8))
    assert torch.equal(fused[-1].weight, model[-1].weight)
    assert not any(isinstance(module, networks.ChannelPad2d) for module in fused.modules())


def test_neighbours_across_nested_sequentials():
    first = nn.Sequential(OrderedDict(relu=nn.ReLU(), norm=nn.BatchNorm2d(2)))
    second = nn.Sequential(OrderedDict(conv=nn.Conv2d(2, 3, 3, padding=1)))
    model = randomised(nn.Sequential(OrderedDict(first=first, second=second)))
    fused = assert_fused_exactly(model, images(2, 2, 6, 6))
    assert (list(fused.first._modules), list(fused.second._modules)) == (
        ["relu"],
        ["conv_pad", "conv"],
    )


def test_mc_dropout_predicts_the_same_after_fusion():
    model = randomised(networks.mlp())
    fused, outputs = networks.fuse_batch_norm(model), []
    for each in (model, fused):
        for module in each.modules():
            if isinstance(module, nn.Dropout):
                module.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            outputs.append(each(images(4, 784)))
    assert relative_difference(*outputs) <= 1e-12
    across = randomised(nn.Sequential(nn.Linear(784, 5), nn.Dropout(0.5), nn.BatchNorm1d(5)))
    assert_fused_exactly(across, images(4, 784), left=["2"], reason="no Linear runs right before")


def test_scales_without_a_padding_value_are_left():
    for gamma, padding, left in [(0.0, 1, ["0"]), (1e-320, 1, ["0"]), (0.0, 0, []), (1e-9, 1, [])]:
        model = sequential_with(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3, padding=padding))
        model[0].weight.data[1] = gamma
        assert_fused_exactly(model, images(2, 2, 6, 6), left=left)
    model = sequential_with(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3, padding=1))
    model[0].weight.data[1] = 0.0
    model[0].bias.data[1] = 0.0  # -t / s is 0 / 0
    assert_fused_exactly(model, images(2, 2, 6, 6), left=["0"])


@pytest.mark.parametrize(
    ("norm", "reason"),
    [
        (nn.BatchNorm2d(2, affine=False), "'0' has no affine parameters"),
        (nn.BatchNorm2d(2, track_running_stats=False), "'0' has no running statistics"),
        (parametrizations.weight_norm(nn.BatchNorm2d(2), dim=None), "'0' is parametrized"),
        (nn.SyncBatchNorm(2), "'0' is a SyncBatchNorm, which no layer takes over"),
    ],
)
def test_unusual_batch_norms_are_left(norm, reason):
    model = sequential_with(norm, nn.Conv2d(2, 3, 3))
    assert_fused_exactly(model, images(2, 2, 6, 6), left=["0"], reason=reason)


def test_norms_without_a_plain_neighbour_are_left():
    conv = parametrizations.orthogonal(nn.Conv2d(2, 3, 3))
    model, x = sequential_with(nn.BatchNorm2d(2), conv), images(2, 2, 6, 6)
    assert_fused_exactly(model, x, left=["0"], reason="'1' behind it is parametrized")
    model = randomised(nn.Sequential(nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 3, 3)))
    reason = "'0' fits no layer: no Conv2d runs right before it, no Conv2d runs right behind it"
    assert_fused_exactly(model, x, left=["0"], reason=reason)
    model = randomised(networks.Residual(nn.BatchNorm2d(2)))
    assert_fused_exactly(model, x, left=["branch"])
    # (N, C, L): the norm acts on C, the layer on L
    model = randomised(nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(4), nn.Linear(6, 6)))
    reason = "before it are 6 outputs for its 4 channels, behind it are 6 inputs"
    assert_fused_exactly(model, images(3, 4, 6), left=["1"], reason=reason)


def test_shared_layers_and_shared_norms_are_left():
    linear, norm = nn.Linear(3, 3), nn.BatchNorm1d(3)
    model = randomised(nn.Sequential(linear, nn.BatchNorm1d(3), nn.ReLU(), linear))
    reason = "'0' before it is called 2 times"
    assert_fused_exactly(model, images(4, 3), left=["1"], reason=reason)
    model = randomised(nn.Sequential(norm, nn.Linear(3, 3), nn.ReLU(), norm))
    assert_fused_exactly(model, images(4, 3), left=["0"], reason="'0' is called 2 times")


def test_tied_weights_stay_tied():
    layers = [nn.Linear(3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 3)]
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.ReLU(), *layers)
    model[6].weight = model[0].weight
    fused = assert_fused_exactly(
        randomised(model), images(4, 3), left=["1"], reason="'0' before it shares a tensor"
    )
    assert fused[-1].weight is fused[0].weight


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_pass_through_the_fused_network(name):
    model = randomised(NETWORKS[name]())
    fused = networks.fuse_batch_norm(model)
    x = images(4, 1, 28, 28).requires_grad_()
    gradients = [torch.autograd.grad(each(x).square().sum(), x)[0] for each in (model, fused)]
    assert relative_difference(*gradients) <= 1e-10
    fused(x).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in fused.parameters())


def test_the_fused_network_trains():
    layers = [nn.BatchNorm2d(1), nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4)]
    fused = networks.fuse_batch_norm(randomised(nn.Sequential(*layers, networks.mlp(392, 50))))
    x, y = images(16, 1, 28, 28), torch.arange(16) % 10
    optimizer = torch.optim.Adam(fused.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        loss = nn.functional.cross_entropy(fused(x), y)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_modes_and_frozen_parameters_are_kept():
    model = networks.resnet_small()
    model.conv.requires_grad_(False)
    model.linear.eval()
    fused = networks.fuse_batch_norm(model)
    assert not fused.conv.weight.requires_grad
    assert not fused.conv.bias.requires_grad
    assert fused.block1.branch.conv1.bias.requires_grad
    assert (fused.conv.training, fused.linear.training) == (True, False)


@pytest.mark.parametrize("place", ["before", "behind"])
def test_the_name_of_the_padding_takes_no_other_modules_place(place):
    other = nn.ZeroPad2d(2)
    layers = OrderedDict(norm=nn.BatchNorm2d(2), conv1=nn.Conv2d(2, 3, 3, padding=1))
    layers |= {"conv1_pad": other}
    if place == "before":
        layers.move_to_end("conv1_pad", last=False)
    fused = assert_fused_exactly(randomised(nn.Sequential(layers)), images(2, 2, 6, 6))
    assert isinstance(fused.conv1_pad, nn.ZeroPad2d)
    assert isinstance(fused.conv1_pad_, networks.ChannelPad2d)
