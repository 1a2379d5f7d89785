"""Surgery on the networks that torchvision offers, with random weights."""

import copy

import pytest
import torch
from foreign import randomised
from torch import nn

from uecompress import networks
from uecompress.vision import torchvision


@pytest.fixture(scope="module")
def models():
    """torchvision's networks."""
    return torchvision.models


def images(size=64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, size, size, generator=generator, dtype=torch.float64)


def count(model, kind):
    return sum(isinstance(module, kind) for module in model.modules())


def relative_difference(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


@pytest.mark.parametrize(("name", "norms"), [("resnet18", 20), ("mobilenet_v3_small", 34)])
def test_all_batch_norms_fold(models, name, norms):
    model, x = randomised(getattr(models, name)()), images()
    assert count(model, nn.BatchNorm2d) == norms
    fused = networks.fuse_batch_norm(model)
    assert count(fused, nn.BatchNorm2d) == 0
    assert count(fused, nn.Identity) == count(model, nn.Identity) + norms
    assert relative_difference(fused(x), model(x)) <= 1e-12


TIED = {  # network, layer -> all that read its units, and those that lose units with it
    ("resnet18", "conv1"): (
        ("layer1.0.conv1", "layer1.1.conv1", "layer2.0.conv1", "layer2.0.downsample.0"),
        ("layer1.0.conv2", "layer1.1.conv2"),
    ),
    ("resnet18", "layer4.0.downsample.0"): (
        ("layer4.1.conv1", "fc"),
        ("layer4.0.conv2", "layer4.1.conv2"),
    ),
    ("mobilenet_v3_small", "features.4.block.0.0"): (
        ("features.4.block.2.fc1", "features.4.block.3.0"),
        ("features.4.block.1.0", "features.4.block.2.fc2"),
    ),
}


@pytest.mark.parametrize("case", TIED)
def test_units_go_together(models, case):
    name, layer = case
    readers, tied = TIED[case]
    model, x = randomised(getattr(models, name)()), images()
    units = len(model.get_submodule(layer).weight)
    keep = torch.arange(units) % 3 > 0
    reduced, expected = networks.keep_units(model, layer, keep), copy.deepcopy(model)
    for reader in readers:
        expected.get_submodule(reader).weight.data[:, ~keep] = 0
    for each in (layer, *tied):
        assert len(reduced.get_submodule(each).weight) == keep.sum()
    assert relative_difference(reduced(x), expected(x)) <= 1e-12
    assert relative_difference(reduced(x), model(x)) > 1e-6


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_every_layer_but_the_last_can_lose_a_unit(models, name):
    model = getattr(models, name)()
    *layers, last = [layer for layer, _ in networks.linear_and_conv_layers(model)]
    for layer in layers[::5]:
        smaller = networks.keep_units(
            model, layer, range(len(model.get_submodule(layer).weight) - 1)
        )
        assert networks.parameter_count(smaller) < networks.parameter_count(model)
    with pytest.raises(ValueError, match=f"'{last}': no layer follows"):
        networks.keep_units(model, last, [0])


def test_resnet18_without_dead_channels_computes_the_same(models):
    model, x = randomised(models.resnet18()), images()
    norm = model.layer3[1].bn1
    with torch.no_grad():
        norm.weight[:200], norm.bias[:200] = 0, 0
        for reader in ("layer4.1.conv1", "fc"):
            model.get_submodule(reader).weight[:, ::2] = 0
    small = networks.shrink(model)
    assert small.layer3[1].conv1.out_channels == 56
    assert small.layer4[0].downsample[0].out_channels == small.fc.in_features == 256
    assert relative_difference(small(x), model(x)) <= 1e-12


def test_concatenated_channels_stay(models):
    model = randomised(models.shufflenet_v2_x0_5())
    with pytest.raises(ValueError, match=r"'stage2\.0\.branch1\.2': .*concatenated .* 'cat'"):
        networks.keep_units(model, "stage2.0.branch1.2", [0])
