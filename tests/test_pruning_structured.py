"""Whole units go: a network in which they are silent and the smaller one compute the same."""

import copy

import pytest
import torch
from foreign import MobileNet, ResNet, assert_same_state, images, randomised, state_of
from torch import nn

from uecompress import networks, pruning, training
from uecompress.vision import torchvision

NETWORKS = {
    "mlp": (lambda: networks.mlp(784, 20, 3), (4, 1, 28, 28)),
    "cnn": (networks.cnn, (4, 1, 28, 28)),
    "lenet5": (networks.lenet5, (4, 1, 28, 28)),
    "resnet_small": (networks.resnet_small, (4, 1, 12, 12)),
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=10), (2, 3, 64, 64)),
    "ResNet of functions": (ResNet, (4, 1, 20, 20)),
    "MobileNet": (MobileNet, (4, 1, 20, 20)),
    "vit_tiny": (lambda: networks.vit_tiny(width=16, depth=1, heads=2), (4, 1, 28, 28)),
    "ensemble": (
        lambda: networks.Ensemble([networks.resnet_small(width=4, seed=s) for s in (0, 1)]),
        (4, 1, 12, 12),
    ),
    "fused cnn": (
        lambda: networks.fuse_batch_norm(randomised(networks.cnn(), torch.float32)),
        (4, 1, 28, 28),
    ),
}


def sizes(model):
    return {name: len(layer.weight) for name, layer in networks.linear_and_conv_layers(model)}


def weights_of(model):
    return {name: layer.weight.abs() for name, layer in networks.plain_layers(model).items()}


def some_scores(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    groups = pruning.unit_groups(model).items()
    return {name: torch.rand(group.units, generator=generator) for name, group in groups}


@pytest.mark.parametrize("case", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_silent_and_shrunken_networks_are_equal(case, dtype):
    make, shape = NETWORKS[case]
    model = randomised(make(), dtype)
    before, x = state_of(model), images(*shape, dtype=dtype)
    scores = some_scores(model)
    silent = pruning.prune_units(model, scores, density=0.5, scope="layer")
    small = networks.shrink(silent)
    assert_same_state(model, before)
    assert networks.nonzero_weights(silent) == networks.nonzero_weights(small)
    expected, kept = silent(x), sizes(small)
    scale = expected.abs().max().clamp(min=1)
    assert (small(x) - expected).abs().max() <= (1e-5 if dtype == torch.float32 else 1e-12) * scale
    assert (model(x) - expected).abs().max() > 1e-3 * scale  # the units did matter
    for group in pruning.unit_groups(model).values():
        assert {kept[maker] for maker in group.makers} == {round(group.units / 2)}


def test_silencing_is_what_keep_units_removes():
    model, x = randomised(networks.resnet_small()), images(3, 1, 12, 12)
    masks = {name: scores > 0.4 for name, scores in some_scores(model).items()}
    expected = model
    for name, mask in masks.items():
        expected = networks.keep_units(expected, name, mask)
    silent = pruning.silence_units(model, masks)
    assert (silent(x) - expected(x)).abs().max() <= 1e-12 * expected(x).abs().max()
    assert sizes(networks.shrink(silent)) == sizes(expected)


@pytest.mark.parametrize("step", [nn.Sigmoid(), nn.Softplus()])
def test_a_unit_is_silent_whatever_the_activation_makes_of_a_zero(step):
    model, x = randomised(nn.Sequential(nn.Linear(3, 4), step, nn.Linear(4, 2))), images(5, 3)
    mask = torch.tensor([True, False, True, True])
    silent = pruning.silence_units(model, {"0": mask})
    assert (silent(x) - networks.keep_units(model, "0", mask)(x)).abs().max() <= 1e-14


def test_silent_units_stay_silent_in_training():
    x, y = torch.rand(48, 1, 12, 12), torch.arange(48) % 10
    model = randomised(networks.resnet_small(width=4), torch.float32)
    silent = pruning.prune_units(model, some_scores(model), density=0.5, scope="layer")
    settings = {"epochs": 2, "batch_size": 16, "lr": 1e-2, "seed": 0, "progress": False}
    hold = networks.hold_zeros(silent)
    trained = training.fit(silent, (x, y), after_step=hold, **settings)
    assert sizes(networks.shrink(trained)) == sizes(networks.shrink(silent))
    alone = training.fit(networks.shrink(silent), (x, y), **settings)
    torch.testing.assert_close(alone(x), trained(x), rtol=0, atol=1e-3)  # the same training, too


def test_groups_of_a_residual_network_are_those_of_its_sums():
    groups = pruning.unit_groups(networks.resnet_small())
    stream = groups["conv"]
    assert list(stream.makers) == ["conv", "block1.branch.conv2"]
    assert set(stream.readers) == {
        "block1.branch.conv1",
        "block2.branch.conv1",
        "block2.shortcut.conv",
    }
    assert set(stream.norms) == {"norm", "block1.branch.norm2"}
    assert "linear" not in groups  # the classes


def test_behind_a_flattening_a_unit_has_several_columns():
    group = pruning.unit_groups(networks.lenet5())["conv2"]
    assert torch.equal(group.readers["linear1"], torch.arange(50).repeat_interleave(16))


# --- scores -------------------------------------------------------------------------------------


def test_norms_of_units_by_hand():
    model = networks.lenet5().double()
    absolute = weights_of(model)
    rows = pruning.unit_scores(model, absolute)
    columns = pruning.unit_scores(model, absolute, side="out")
    both = pruning.unit_scores(model, absolute, side="both")
    largest = pruning.unit_scores(model, absolute, side="both", reduce="max")
    mean = pruning.unit_scores(model, absolute, side="both", reduce="mean")
    first, second = absolute["conv2"].flatten(1), absolute["linear1"].view(500, 50, 16)
    torch.testing.assert_close(rows["conv2"], first.sum(1))
    torch.testing.assert_close(columns["conv2"], second.sum((0, 2)))
    torch.testing.assert_close(both["conv2"], first.sum(1) + second.sum((0, 2)))
    torch.testing.assert_close(largest["conv2"], first.amax(1).maximum(second.amax((0, 2))))
    torch.testing.assert_close(mean["conv2"], both["conv2"] / (500 + 500 * 16))


def test_the_saliency_of_a_neuron_is_equal_from_both_sides_without_biases():
    model = networks.resnet_small().double().eval()  # no bias but the last, which is none of a unit
    x = images(4, 1, 12, 12)
    for norm in model.modules():  # which would be biases
        if isinstance(norm, nn.BatchNorm2d):
            norm.bias.data.zero_(), norm.running_mean.zero_()
    model(x).square().sum().backward()
    scores = {
        n: layer.weight * layer.weight.grad for n, layer in networks.plain_layers(model).items()
    }
    incoming = pruning.unit_scores(model, scores)
    outgoing = pruning.unit_scores(model, scores, side="out")
    branch = (
        "block2.branch.conv1"  # of the others a part goes by the identity, which has no weights
    )
    torch.testing.assert_close(incoming[branch], outgoing[branch], rtol=1e-10, atol=1e-12)
    wrong = scores | {branch: scores[branch].flip(0)}
    assert not torch.allclose(pruning.unit_scores(model, wrong)[branch], outgoing[branch])


def test_a_unit_of_noise_alone_goes_by_alpha_and_not_by_variance():
    # Chapter 13's α = σ²/μ²: unit 0 is large and sure relative to its size, unit 1 small and unsure
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    mu = torch.tensor([[3.0, 2.0], [0.01, 0.02]], dtype=torch.float64)
    sigma2 = torch.tensor([[0.5, 0.5], [0.1, 0.1]], dtype=torch.float64)
    log_alpha = {"0": -(sigma2 / mu.square()).log()}
    by_alpha = pruning.unit_scores(model, log_alpha, reduce="max")
    by_variance = pruning.unit_scores(model, {"0": -sigma2}, reduce="max")
    assert pruning.top_units(by_alpha, 0.5)["0"].tolist() == [True, False]
    assert pruning.top_units(by_variance, 0.5)["0"].tolist() == [False, True]


def test_scores_agree_with_torch_pruning():
    tp = pytest.importorskip("torch_pruning")
    model = randomised(networks.resnet_small(), torch.float32)
    layers = networks.plain_layers(model)
    squares = {name: layer.weight.square() for name, layer in layers.items()}
    scores = pruning.unit_scores(model, squares, side="both")
    graph = tp.DependencyGraph().build_dependency(model, images(1, 1, 12, 12, dtype=torch.float32))
    kinds = [nn.Conv2d, nn.Linear]
    theirs = tp.importance.GroupMagnitudeImportance(
        p=2, group_reduction="sum", normalizer=None, target_types=kinds
    )
    names, x = (
        {module: name for name, module in model.named_modules()},
        images(4, 1, 12, 12).float(),
    )
    for name, group in pruning.unit_groups(model).items():
        every = range(group.units)
        removal = graph.get_pruning_group(layers[name], tp.prune_conv_out_channels, [*every])
        found = {names[dep.target.module] for dep, _ in removal if dep.target.module in names}
        assert found == {*group.makers, *group.readers, *group.norms}
        torch.testing.assert_close(theirs(removal).double(), scores[name], rtol=1e-5, atol=0)
    # Their removal of every other channel of the stream is our silence.
    other = copy.deepcopy(model)
    graph = tp.DependencyGraph().build_dependency(other, images(1, 1, 12, 12).float())
    graph.get_pruning_group(other.conv, tp.prune_conv_out_channels, [*range(0, 16, 2)]).prune()
    silent = pruning.silence_units(model, {"conv": torch.arange(16) % 2 == 1})
    torch.testing.assert_close(
        other(x), silent(x), rtol=0, atol=1e-5 * silent(x).abs().max().item()
    )


# --- which units stay ---------------------------------------------------------------------------


def test_exactly_as_many_stay_as_asked_for_and_of_equal_scores_the_first():
    scores = {"a": torch.zeros(7), "b": torch.zeros(5)}
    for density in (0.7, 0.75, 1.0):
        kept = pruning.top_units(scores, density)
        assert sum(int(mask.sum()) for mask in kept.values()) == round(12 * density)
    assert kept["a"].all()
    kept = pruning.top_units(scores, 0.75)
    assert kept["a"].all()
    assert kept["b"].tolist() == [True] * 2 + [False] * 3
    assert pruning.top_units(scores, 0.6, "layer")["b"].tolist() == [True] * 3 + [False] * 2


def test_global_ranks_go_across_layers_and_those_of_a_layer_do_not():
    scores = {"a": torch.tensor([9.0, 8, 7, 6]), "b": torch.tensor([5.0, 4, 3, 2])}
    kept = pruning.top_units(scores, 0.625)
    assert [int(mask.sum()) for mask in kept.values()] == [4, 1]
    kept = pruning.top_units(scores, 0.5, "layer")
    assert [int(mask.sum()) for mask in kept.values()] == [2, 2]
    kept = pruning.top_units(scores, {"a": 0.25, "b": 0.75})
    assert [int(mask.sum()) for mask in kept.values()] == [1, 3]


def test_a_layer_keeps_its_best_unit_and_the_warning_names_it():
    scores = {"a": torch.tensor([9.0, 8, 7, 6]), "b": torch.tensor([1.0, 5, 3, 2])}
    with pytest.warns(UserWarning, match="all units but one are gone from 'b'"):
        kept = pruning.top_units(scores, 0.5)
    assert kept["a"].tolist() == [True, True, True, False]  # four in all
    assert kept["b"].tolist() == [False, True, False, False]
    with pytest.warns(UserWarning, match="gone from 'a', 'b'"):
        kept = pruning.top_units(scores, 0.1, "layer")
    assert [int(mask.sum()) for mask in kept.values()] == [1, 1]


@pytest.mark.parametrize(
    ("scores", "density", "scope", "error", "message"),
    [
        ({"a": torch.ones(3)}, 0, "global", ValueError, r"density must be in \(0, 1\], not 0"),
        ({"a": torch.ones(3)}, "half", "global", TypeError, "density must be a number"),
        ({"a": torch.ones(3)}, 0.5, "local", ValueError, 'scope must be "global" or "layer"'),
        ({}, 0.5, "global", ValueError, "there are no scores"),
        ({"a": torch.ones(3, 2)}, 0.5, "global", ValueError, "layer 'a': a score for each unit"),
        ({"a": torch.ones(3).log().log()}, 0.5, "global", ValueError, "layer 'a': .*infinity"),
        ({"a": torch.ones(3).int()}, 0.5, "global", TypeError, "layer 'a': .*floating-point"),
        ({"a": torch.ones(3)}, {"b": 0.5}, "layer", ValueError, r"densities of \['b'\]"),
        (
            {"a": torch.ones(9), "b": torch.ones(1)},
            0.1,
            "global",
            ValueError,
            "1 units would stay, but there are 2 layers",
        ),
    ],
)
def test_choices_that_are_none(scores, density, scope, error, message):
    with pytest.raises(error, match=message):
        pruning.top_units(scores, density, scope)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keep", "error", "message"),
    [
        ({"linear3": torch.ones(10) > 0}, ValueError, "'linear3': no layer follows"),
        ({"relu1": torch.ones(300) > 0}, ValueError, "'relu1' is no plain Linear or Conv2d"),
        ({"linear2": torch.ones(10) > 0}, ValueError, r"has 100 units, the mask is of shape \(10,"),
        ({"linear2": torch.ones(100) > 1}, ValueError, "'linear2' keeps nothing"),
        ({"linear2": torch.ones(100)}, TypeError, "'linear2' must be a tensor of booleans"),
    ],
)
def test_masks_that_are_none(keep, error, message):
    with pytest.raises(error, match=message):
        pruning.silence_units(networks.lenet300(), keep)


def test_tied_units_have_one_mask():
    mask = torch.arange(16) > 3
    with pytest.raises(ValueError, match=r"'block1.branch.conv2' and 'conv' have the same units"):
        pruning.silence_units(networks.resnet_small(), {"conv": mask, "block1.branch.conv2": mask})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"side": "inside"}, ValueError, 'side must be "in", "out" or "both"'),
        ({"reduce": "median"}, ValueError, 'reduce must be "sum", "mean" or "max"'),
        ({"scores": {}}, ValueError, "there are no scores"),
        ({"scores": {"relu1": torch.ones(3)}}, ValueError, "'relu1' is no plain Linear"),
        ({"scores": {"linear3": torch.ones(10, 100)}}, ValueError, "linear3: none of these scores"),
        ({"scores": {"linear1": torch.ones(3)}}, ValueError, "layer 'linear1': expected one shape"),
        ({"scores": {"linear1": "large"}}, TypeError, "layer 'linear1': score must be a tensor"),
    ],
)
def test_scores_that_are_none(change, error, message):
    model = networks.lenet300()
    arguments = {"scores": weights_of(model)} | change
    with pytest.raises(error, match=message):
        pruning.unit_scores(model, **arguments)


def test_half_of_the_scores_of_a_group_are_not_enough():
    model = networks.resnet_small()
    scores = weights_of(model)
    del scores["block1.branch.conv2"]
    with pytest.raises(ValueError, match=r"'conv' need scores of block1\.branch\.conv2 too"):
        pruning.unit_scores(model, scores)


def test_a_network_without_removable_units_is_refused():
    with pytest.raises(ValueError, match="no units can be removed: '0': no layer follows"):
        pruning.unit_groups(nn.Sequential(nn.Linear(3, 2)))


def test_weights_that_torch_prunes_are_resolved():
    model = randomised(networks.lenet300(), torch.float32)
    scores = some_scores(model)
    expected = pruning.prune_units(model, scores, density=0.3)
    nn.utils.prune.identity(model.linear1, "weight")
    result = pruning.prune_units(model, scores, density=0.3)
    assert_same_state(result, expected.state_dict())
