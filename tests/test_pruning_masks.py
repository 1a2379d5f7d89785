"""Zeros by exact top-k, in one layer or all, at once or in rounds."""

import copy
import warnings
from functools import partial
from itertools import pairwise

import pytest
import torch
from pruning_networks import batch, chain, digits, total
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune as torch_prune

from uecompress import networks, pruning, storage, training, uncertainty
from uecompress.pruning import scores
from uecompress.pruning.masks import keep_top

IMAGES = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def alive(model):
    return [int(layer.weight.count_nonzero()) for layer in networks.plain_layers(model).values()]


def zeros(model):
    return {name: layer.weight == 0 for name, layer in networks.plain_layers(model).items()}


# --- top-k ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 7, 1000, 200_003])
def test_exactly_the_highest_stay_and_of_equal_ones_the_first(n):
    draw = torch.Generator().manual_seed(n)
    normal, few = torch.randn(n, generator=draw), torch.randint(3, (n,), generator=draw)
    for values in (normal, few.float(), torch.zeros(n), torch.arange(n) / 7, normal.exp() ** 9):
        order = values.sort(descending=True, stable=True).indices
        for count in {0, 1, n // 3, n - 1, n}:
            expected = torch.zeros(n, dtype=torch.bool)
            expected[order[:count]] = True
            assert torch.equal(keep_top(values, count), expected), (values, count)


def test_a_sample_that_misleads_does_no_harm():
    values = torch.rand(500_000, generator=torch.Generator().manual_seed(0))
    values[::10] += 100  # all that the sample sees
    for count in (20_000, 200_000, 499_999):
        keep = keep_top(values, count)
        assert keep.sum() == count
        assert values[keep].min() >= values[~keep].max()


def test_pixels_without_ink_tie_and_still_the_number_is_exact():
    model, data = networks.lenet300(), digits(100)
    found = scores.snip(model, data)
    assert (found["linear1"] == 0).float().mean() > 0.1
    pruned = pruning.prune(model, found, sparsity=0.05)
    assert sum(alive(pruned)) == round(0.95 * 266_200)
    threshold = torch.cat([f.flatten() for f in found.values()]).quantile(0.05)
    kept_by_threshold = sum(int((score > threshold).sum()) for score in found.values())
    assert kept_by_threshold < sum(alive(pruned)) - 10_000


# --- budgets -------------------------------------------------------------------------------------


def test_the_three_budgets_are_one():
    model = chain(20, 16, 12, 5)
    found, results = scores.magnitude(model), []
    for budget in ({"density": 0.25}, {"sparsity": 0.75}, {"ratio": 4}):
        results.append(pruning.prune(model, found, **budget))
    weights = torch.cat([score.flatten() for score in found.values()]).sort(descending=True).values
    for pruned in results:
        left = torch.cat([pruned[k].weight[pruned[k].weight != 0].abs() for k in (0, 2, 4)])
        assert torch.equal(left.sort(descending=True).values, weights[: round(total(model) / 4)])


def test_a_density_of_one_changes_nothing_and_the_input_stays():
    model = networks.lenet300()
    before = copy.deepcopy(model.state_dict())
    result = pruning.prune(model, scores.magnitude(model), density=1)
    pruning.prune(model, scores.magnitude(model), density=0.1)
    for key, value in before.items():
        assert torch.equal(result.state_dict()[key], value)
        assert torch.equal(model.state_dict()[key], value)


def test_each_layer_keeps_its_share():
    model = chain(20, 16, 12, 5)
    found = scores.magnitude(model)
    assert alive(pruning.prune(model, found, density=0.1, scope="layer")) == [32, 19, 6]
    shares = {"0": 0.5, "2": 1.0, "4": 1 / 60}
    pruned = pruning.prune(model, found, density=shares)
    assert alive(pruned) == [160, 192, 1]
    assert pruning.densities(pruned) == shares


def test_layers_without_scores_stay():
    model = chain(20, 16, 5)
    pruned = pruning.prune(model, {"0": scores.magnitude(model)["0"]}, density=0.1)
    assert alive(pruned) == [32, 80]


def test_zeros_are_never_kept_in_place_of_other_weights():
    model = chain(20, 5)
    once = pruning.prune(model, scores.magnitude(model), density=0.5)
    inverted = {"0": -once[0].weight.detach().abs()}  # the zeros have the highest scores
    twice = pruning.prune(once, inverted, density=0.2)
    left, gone = twice[0].weight[twice[0].weight != 0], once[0].weight[twice[0].weight == 0]
    assert len(left) == 20
    assert left.abs().max() <= gone[gone != 0].abs().min()


def test_more_than_there_is_cannot_stay():
    model = chain(20, 5)
    once = pruning.prune(model, scores.magnitude(model), density=0.5)
    with pytest.raises(ValueError, match="60 weights of 0 shall stay, but 50 are not zero"):
        pruning.prune(once, scores.magnitude(once), density=0.6)


def test_beyond_the_maximal_critical_compression_is_refused_and_an_empty_layer_named():
    model = chain(20, 16, 12, 5)
    assert pruning.maximal_critical_compression(model) == 572 / 3
    found = scores.magnitude(model)
    found["2"] = torch.zeros_like(found["2"])
    with pytest.warns(UserWarning, match="no weight is left in '2'") as caught:
        pruning.prune(model, found, density=0.5)
    assert caught[0].filename == __file__
    with pytest.raises(ValueError, match="2 weights for 3 layers: the compression is beyond N/L"):
        pruning.prune(model, found, ratio=572 / 2)


@pytest.mark.parametrize(
    ("budget", "error", "match"),
    [
        ({}, ValueError, "exactly one of density, sparsity and ratio"),
        ({"density": 0.5, "ratio": 2}, ValueError, "exactly one of"),
        ({"density": 0}, ValueError, r"density must be in \(0, 1\]"),
        ({"sparsity": 1}, ValueError, r"sparsity must be in \[0, 1\)"),
        ({"ratio": 0.5}, ValueError, "ratio must be at least 1"),
        ({"density": "half"}, TypeError, "density must be a number"),
        ({"density": {"0": 2}}, ValueError, "density of '0' must be in"),
        ({"density": {"1": 0.5}}, ValueError, "densities are needed of 0, not 1"),
        ({"density": 0.5, "scope": "local"}, ValueError, "scope must be"),
    ],
)
def test_a_budget_that_is_none_is_refused(budget, error, match):
    model = chain(20, 5)
    with pytest.raises(error, match=match):
        pruning.prune(model, scores.magnitude(model), **budget)


@pytest.mark.parametrize(
    ("found", "error", "match"),
    [
        ({}, ValueError, "there are no scores"),
        ({"1": torch.ones(3)}, ValueError, "scores of '1', but the plain layers are 0"),
        ({"0": torch.ones(3)}, ValueError, "layer '0': expected one shape"),
        ({"0": torch.full((5, 20), torch.nan)}, ValueError, "layer '0': scores contains NaN"),
        ({"0": torch.ones(5, 20, dtype=torch.int64)}, TypeError, "layer '0': scores must be of fl"),
    ],
)
def test_scores_that_are_none_are_refused(found, error, match):
    with pytest.raises(error, match=match):
        pruning.prune(chain(20, 5), found, density=0.5)


def test_what_torch_has_pruned_is_resolved_and_a_tied_layer_left_and_reported():
    model = chain(20, 16, 5)
    torch_prune.l1_unstructured(model[0], "weight", amount=0.5)
    pruned = pruning.prune(model, scores.magnitude(model), density=0.2)
    assert not torch_prune.is_pruned(pruned)
    assert sum(alive(pruned)) == 80
    tied = chain(16, 16, 16, 5)
    tied[2].weight = tied[0].weight
    with pytest.warns(UserWarning, match="shares a tensor"):
        pruned = pruning.prune(tied, {"4": torch.rand(5, 16)}, density=0.5)
    assert pruned[2].weight is pruned[0].weight
    assert torch.equal(pruned[0].weight, tied[0].weight)


@pytest.mark.parametrize(
    "make", [networks.lenet300, networks.cnn, networks.resnet_small, networks.vit_tiny]
)
def test_a_pruned_network_and_the_smaller_one_are_equal(make, tmp_path):
    model = make().double().eval()
    pruned = pruning.prune(model, scores.lamp(model), density=0.02)
    small = networks.shrink(pruned)
    torch.testing.assert_close(small(IMAGES), pruned(IMAGES), rtol=1e-5, atol=1e-8)
    assert networks.parameter_count(small) <= networks.parameter_count(pruned)
    assert networks.nonzero_weights(pruned) == round(0.02 * total(model))
    storage.save(pruned, tmp_path / "pruned")
    loaded = storage.load(tmp_path / "pruned")
    assert torch.equal(uncertainty.predict(loaded, IMAGES), uncertainty.predict(pruned, IMAGES))


# --- one mask on other weights -------------------------------------------------------------------


def test_zeros_move_to_another_network_or_shuffle_within_their_layers():
    model, other = networks.lenet300(seed=0), networks.lenet300(seed=1)
    pruned = pruning.prune(model, scores.magnitude(model), density=0.05)
    moved = pruning.with_zeros_of(other, pruned)
    for name, zero in zeros(pruned).items():
        assert torch.equal(zeros(moved)[name], zero)
        kept = moved.get_submodule(name).weight[~zero]
        assert torch.equal(kept, other.get_submodule(name).weight[~zero])
    shuffled = pruning.prune(model, scores.random(model, seed=1), density=pruning.densities(pruned))
    assert alive(shuffled) == alive(pruned)
    assert not torch.equal(zeros(shuffled)["linear2"], zeros(pruned)["linear2"])
    with pytest.raises(ValueError, match="the zeros of 'linear1' are held, but no such layer"):
        pruning.with_zeros_of(chain(20, 5), pruned)


# --- schedules and rounds ------------------------------------------------------------------------


def test_schedules_fall_from_one_to_the_density():
    for schedule in (pruning.exponential, pruning.linear, pruning.cubic):
        values = [schedule(0.04, k / 20) for k in range(21)]
        assert values[0] == pytest.approx(1)
        assert values[-1] == pytest.approx(0.04)
        assert all(a > b for a, b in pairwise(values))
    assert pruning.exponential(0.04, 0.5) == pytest.approx(0.2)
    assert pruning.linear(0.04, 0.5) == pytest.approx(0.52)
    assert pruning.cubic(0.04, 0.5) == pytest.approx(1 - 0.96 * 7 / 8)


def test_the_right_rate_keeps_a_share_of_what_is_left():
    # 90 % pruned in five rounds: 36.9 % a round, and not .9 ** (1/5) = 97.9 %.
    assert 1 - pruning.exponential(0.1, 1 / 5) == pytest.approx(0.369, abs=1e-3)
    left = (1 - 0.9 ** (1 / 5)) ** 5
    assert left == pytest.approx(3.9e-9, rel=0.02)


def test_magnitudes_in_rounds_are_magnitudes_at_once():
    model = networks.lenet300()
    once = pruning.prune(model, scores.magnitude(model), density=0.05)
    rounds = pruning.prune_in_rounds(model, scores.magnitude, density=0.05, rounds=7)
    assert all(torch.equal(zero, zeros(rounds)[name]) for name, zero in zeros(once).items())


def test_synflow_in_rounds_reaches_half_of_the_critical_compression_and_at_once_does_not():
    model = chain(64, 40, 40, 40, 10)
    score = partial(scores.synflow, input_shape=(64,))
    ratio = pruning.maximal_critical_compression(model)
    pruned = pruning.prune_in_rounds(model, score, density=2 / ratio, rounds=50)
    assert sum(alive(pruned)) == 8
    assert min(alive(pruned)) >= 1
    assert pruning.layer_saliency(score(pruned))["0"] > 0  # a path is left
    with pytest.warns(UserWarning, match="no weight is left in"):
        pruning.prune(model, score(model), ratio=ratio / 10)


def test_re_evaluated_after_every_weight_no_layer_empties_before_all_have_one():
    model = chain(6, 5, 4, 3)
    score = partial(scores.synflow, input_shape=(6,))
    count, n = 3, total(model)
    pruned = pruning.prune_in_rounds(
        model, score, density=count / n, rounds=n - count, schedule=pruning.linear
    )
    assert alive(pruned) == [1, 1, 1]


def test_snip_in_rounds_does_not_collapse_where_it_does_at_once():
    model, data = chain(200, 50, 50, 50, 50, 50, 10), batch(200, 10, n=100)
    score, density = partial(scores.snip, batch=data), 4 * 6 / 20_500  # N/L is 20,500 / 6
    with pytest.warns(UserWarning, match="no weight is left in '0'"):
        pruning.prune(model, score(model), density=density)
    pruned = pruning.prune_in_rounds(model, score, density=density, rounds=50)
    assert min(alive(pruned)) >= 1


def test_grasp_in_rounds_collapses_where_removed_weights_count_in_the_gradient():
    model, data = chain(200, 50, 50, 50, 50, 50, 10), batch(200, 10, n=100)
    settings = {"density": 10 * 6 / 20_500, "rounds": 50}
    pruned = pruning.prune_in_rounds(model, partial(scores.grasp, batch=data), **settings)
    assert min(alive(pruned)) >= 1

    def of_all_weights(network):
        network = networks.plain(network)
        weights = {name: layer.weight for name, layer in networks.plain_layers(network).items()}
        loss = F.cross_entropy(network(data[0]) / 200, data[1])
        slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        flow = sum((slope.detach() * slope).sum() for slope in slopes)
        curved = torch.autograd.grad(flow, list(weights.values()))
        pairs = zip(weights.items(), curved, strict=True)
        return {name: weight.detach() * hg for (name, weight), hg in pairs}

    with pytest.warns(UserWarning, match="no weight is left"):
        pruning.prune_in_rounds(model, of_all_weights, **settings)


def test_rounds_take_densities_of_layers_and_start_where_the_network_is():
    model = chain(20, 16, 5)
    sparse = pruning.prune(model, scores.magnitude(model), density=0.3)
    shares = {"0": 0.05, "2": 0.1}
    pruned = pruning.prune_in_rounds(sparse, scores.magnitude, density=shares, rounds=3)
    assert alive(pruned) == [16, 8]
    for name, zero in zeros(sparse).items():
        assert zeros(pruned)[name][zero].all()
    with pytest.raises(ValueError, match="rounds must be a whole number of at least 1"):
        pruning.prune_in_rounds(model, scores.magnitude, density=0.1, rounds=0)
    with pytest.warns(UserWarning, match="no weight is left in '2'") as caught:
        pruning.prune_in_rounds(
            model, lambda network: {"0": torch.ones(16, 20), "2": torch.zeros(5, 16)}, density=0.1
        )
    assert len(caught) == 1


# --- Erdős–Rényi ---------------------------------------------------------------------------------


@pytest.mark.parametrize("density", [0.01, 0.2, 0.9, 1.0])
def test_erk_has_the_density_that_is_asked_for_and_the_right_proportions(density):
    model = networks.lenet5()
    shapes = {name: layer.weight.shape for name, layer in networks.plain_layers(model).items()}
    found = pruning.erk_densities(model, density=density)
    assert list(found) == list(shapes)
    kept = sum(share * shapes[name].numel() for name, share in found.items())
    assert kept == pytest.approx(density * total(model))
    raw = {name: sum(shape) / shape.numel() for name, shape in shapes.items()}
    scales = [found[name] / raw[name] for name in shapes if found[name] < 1]
    assert scales == pytest.approx(scales[:1] * len(scales))
    dense = [raw[name] for name in shapes if found[name] == 1]
    assert all(scale * low >= 1 - 1e-9 for scale in scales[:1] for low in dense)
    assert max(found.values()) <= 1


def test_random_erk_has_these_densities_and_the_weights_of_the_network():
    model = networks.lenet300()
    pruned = pruning.random_erk(model, density=0.05, seed=0)
    expected = pruning.erk_densities(model, density=0.05)
    assert pruning.densities(pruned) == pytest.approx(expected, abs=1e-3)
    left = pruned.linear1.weight != 0
    assert torch.equal(pruned.linear1.weight[left], model.linear1.weight[left])
    rows = left.sum(dim=1).double()
    assert rows.std() < 2 * rows.mean().sqrt()  # spread over all units
    with pytest.raises(TypeError, match="density must be a number"):
        pruning.erk_densities(model, density={"linear1": 0.5})


def test_a_pruned_network_trains_on_with_its_zeros_held():
    model = networks.lenet300()
    pruned = pruning.prune(model, scores.snip(model, digits(100)), density=0.05)
    settings = {"epochs": 2, "batch_size": 64, "lr": 1e-3, "seed": 0, "progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained = training.fit(pruned, digits(), after_step=networks.hold_zeros(pruned), **settings)
    for name, zero in zeros(pruned).items():
        assert torch.equal(zeros(trained)[name], zero)


def test_layers_of_convolutions_are_counted_by_their_kernels():
    model = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(8, 2))
    assert pruning.maximal_critical_compression(model) == (72 + 16) / 2
    expected = {"0": (8 + 1 + 3 + 3) / 72, "2": 10 / 16}
    found = pruning.erk_densities(model, density=0.1)
    assert found["0"] / found["2"] == pytest.approx(expected["0"] / expected["2"])
