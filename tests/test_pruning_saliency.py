"""Synaptic, neuron and layer saliency: identities of homogeneous networks, and what breaks them."""

import copy

import pytest
import torch
from pruning_networks import batch, chain, loss_on, with_statistics
from torch import nn
from torch.nn import functional as F

from uecompress import networks, pruning
from uecompress.vision import torchvision

IMAGES = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.arange(4)


def test_saliency_is_the_slope_of_the_loss_along_each_weight():
    model, (x, y) = chain(20, 8, 5, bias=True), batch()
    before = copy.deepcopy(model.state_dict())
    found = pruning.saliency(model, loss_on(x, y))
    for name, row, column in (("0", 3, 7), ("2", 1, 4)):
        values = []
        for factor in (1 + 1e-6, 1 - 1e-6):
            moved = copy.deepcopy(model)
            moved.get_submodule(name).weight.data[row, column] *= factor
            values.append(F.cross_entropy(moved(x), y).item())
        slope = (values[0] - values[1]) / 2e-6
        assert found[name][row, column].item() == pytest.approx(slope, rel=1e-4)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("act", [nn.ReLU, nn.LeakyReLU, nn.Identity])
def test_homogeneous_networks_conserve_saliency(act):
    model, data = chain(20, 16, 12, 8, 5, act=act), batch()
    found = pruning.saliency(model, loss_on(*data))
    sums = list(pruning.layer_saliency(found).values())
    assert sums == pytest.approx([sums[0]] * 4, rel=1e-12)
    for neurons in pruning.neuron_saliency(model, found).values():
        torch.testing.assert_close(neurons.incoming, neurons.outgoing, rtol=0, atol=1e-15)


@pytest.mark.parametrize("act", [nn.Tanh, nn.GELU, nn.SiLU])
def test_other_activations_do_not(act):
    model, data = chain(20, 16, 12, 8, 5, act=act), batch()
    sums = list(pruning.layer_saliency(pruning.saliency(model, loss_on(*data))).values())
    assert max(sums) - min(sums) > 0.02 * max(map(abs, sums))


def test_scores_of_magnitude_snip_and_grasp_are_not_conserved():
    model, data = chain(20, 16, 12, 8, 5), batch()
    for score in (pruning.scores.magnitude, pruning.scores.snip, pruning.scores.grasp):
        neurons = pruning.neuron_saliency(model, score(model, data))["0"]
        worst = (neurons.incoming - neurons.outgoing).abs().max()
        assert worst > 0.3 * neurons.incoming.abs().max()


def test_biases_make_up_the_difference_between_layers():
    model, data = chain(20, 16, 12, 5, bias=True), batch()
    functional = loss_on(*data)
    found = pruning.saliency(model, functional)
    neurons, biases = (
        pruning.neuron_saliency(model, found),
        pruning.bias_saliency(model, functional),
    )
    sums = pruning.layer_saliency(found)
    assert list(neurons) == list(biases) == ["0", "2"]
    for name, after in (("0", "2"), ("2", "4")):
        flow = neurons[name].incoming + biases[name]
        torch.testing.assert_close(flow, neurons[name].outgoing, rtol=0, atol=1e-15)
        assert sums[name] + biases[name].sum().item() == pytest.approx(sums[after], rel=1e-12)
        assert biases[name].abs().max() > 1e-4


@pytest.mark.parametrize("make", [networks.mlp, networks.cnn, networks.resnet_small])
def test_batch_norms_paddings_and_residual_sums_are_accounted_for(make):
    # Before the layer (mlp, cnn) and after it, with a zero border, and across tied layers.
    model, functional = with_statistics(make()), loss_on(IMAGES, LABELS)
    neurons = pruning.neuron_saliency(model, pruning.saliency(model, functional))
    added = pruning.bias_saliency(model, functional)
    assert len(neurons) == len(added) >= 3
    for name, each in neurons.items():
        incoming, outgoing = each.incoming, each.outgoing
        scale = outgoing.abs().max()
        assert (incoming + added[name] - outgoing).abs().max() < 1e-12 * scale
        assert (incoming - outgoing).abs().max() > 1e-3 * scale
    if make is networks.resnet_small:
        assert neurons["conv"].layers == ("conv", "block1.branch.conv2")


def test_the_residual_network_of_torchvision_conserves_too():
    model = with_statistics(torchvision.models.resnet18(num_classes=10))
    functional = loss_on(IMAGES.expand(-1, 3, -1, -1), LABELS)
    neurons = pruning.neuron_saliency(model, pruning.saliency(model, functional))
    added = pruning.bias_saliency(model, functional)
    assert neurons["conv1"].layers == ("conv1", "layer1.0.conv2", "layer1.1.conv2")
    assert len(neurons) == 12
    for name, each in neurons.items():
        error = (each.incoming + added[name] - each.outgoing).abs().max()
        assert error < 1e-12 * each.outgoing.abs().max()


def test_a_fused_network_with_a_border_of_numbers_conserves_too():
    model = with_statistics(networks.cnn())
    fused, functional = networks.fuse_batch_norm(model), loss_on(IMAGES, LABELS)
    neurons = pruning.neuron_saliency(fused, pruning.saliency(fused, functional))
    added = pruning.bias_saliency(fused, functional)
    assert any(isinstance(module, networks.ChannelPad2d) for module in fused.modules())
    for name, each in neurons.items():
        incoming, outgoing = each.incoming, each.outgoing
        assert (incoming + added[name] - outgoing).abs().max() < 1e-12 * outgoing.abs().max()


def test_a_rescaled_relu_layer_keeps_its_saliency_and_loses_its_magnitude():
    model, data = chain(20, 16, 12, 5), batch()
    scaled = copy.deepcopy(model)
    scaled[0].weight.data *= 10
    scaled[2].weight.data /= 10
    torch.testing.assert_close(scaled(data[0]), model(data[0]), rtol=1e-12, atol=0)
    for score in (pruning.scores.snip, pruning.scores.skeletonization):
        one, other = score(model, data), score(scaled, data)
        for name in one:
            torch.testing.assert_close(other[name], one[name], rtol=1e-9, atol=1e-15)
    one, other = pruning.scores.magnitude(model), pruning.scores.magnitude(scaled)
    assert torch.equal(other["0"], 10 * one["0"])


def test_in_train_mode_a_batch_norm_behind_makes_the_saliency_of_a_neuron_vanish():
    model, functional = with_statistics(networks.mlp(dropout=0.0)), loss_on(IMAGES, LABELS)

    wrong = model.train()
    value = functional(wrong)
    for name in ("linear1", "linear2", "linear3"):
        layer = wrong.get_submodule(name)
        slopes = torch.autograd.grad(value, [layer.weight, layer.bias], retain_graph=True)
        parts = (layer.weight * slopes[0]).sum(1), layer.bias * slopes[1]
        assert (parts[0] + parts[1]).abs().max() < 1e-3 * (layer.weight * slopes[0]).abs().sum()
    model = with_statistics(networks.mlp(dropout=0.0))
    right = pruning.saliency(model, functional)["linear1"]
    assert torch.equal(right, pruning.saliency(model.train(), functional)["linear1"])
    assert model.training
    assert right.sum(dim=1).abs().max() > 1e-3 * right.abs().sum()


def test_captum_measures_the_same_flow_through_neurons():
    attr = pytest.importorskip("captum.attr")
    model, (x, y) = chain(20, 16, 12, 8, 5), batch()
    found = pruning.neuron_saliency(model, pruning.saliency(model, loss_on(x, y)))

    def losses(inputs):  # summed over the batch by captum's gradient
        return F.cross_entropy(model(inputs), y, reduction="none") / len(y)

    for name, before, after in (("0", 0, 1), ("2", 2, 3), ("4", 4, 5)):
        for layer, ours in ((before, found[name].incoming), (after, found[name].outgoing)):
            theirs = attr.LayerGradientXActivation(losses, model[layer]).attribute(x).sum(0)
            torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("functional", "error", "match"),
    [
        (lambda network: network(batch()[0]), TypeError, "a tensor of one number"),
        (lambda network: 3.0, TypeError, "a tensor of one number"),
        (lambda network: network(batch()[0]).sum().detach(), TypeError, "with a gradient"),
        (lambda network: network(batch()[0]).sum() * torch.inf, ValueError, "functional is -?inf"),
    ],
)
def test_a_functional_that_is_no_finite_number_is_refused(functional, error, match):
    with pytest.raises(error, match=match):
        pruning.saliency(chain(20, 5), functional)


def test_scores_of_another_network_are_refused():
    model, data = chain(20, 8, 5), batch()
    found = pruning.scores.snip(model, data)
    with pytest.raises(ValueError, match="no scores of layer '2'"):
        pruning.neuron_saliency(model, {"0": found["0"]})
    with pytest.raises(ValueError, match="layer '0': expected one shape"):
        pruning.neuron_saliency(model, {"0": found["2"], "2": found["2"]})


def test_a_batch_norm_without_a_bias_is_refused_by_name():
    model = nn.Sequential(nn.Linear(20, 8), nn.BatchNorm1d(8, affine=False), nn.Linear(8, 5))
    with pytest.raises(ValueError, match="'1' has no bias"):
        pruning.bias_saliency(model.double().eval(), loss_on(*batch()))
