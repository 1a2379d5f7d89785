"""Scores of weights against closed forms, finite differences and loops."""

import copy
import inspect

import pytest
import torch
from pruning_networks import batch, chain, digits, loss_on, total
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune as torch_prune

from uecompress import networks, pruning
from uecompress.pruning import scores

SETTINGS = {"random": {"seed": 3}, "synflow": {"input_shape": (1, 28, 28)}}
SCORES = [name for name in scores.__all__ if name != "absolute"]


def small(seed=0):
    """Convolution, batch norm, dropout and linear layer on digits, in train mode."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 5, stride=3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(256, 10),
    )  # fmt: skip


# --- what all of them promise --------------------------------------------------------------------


@pytest.mark.parametrize("name", SCORES)
def test_a_score_leaves_the_network_as_it_was_and_needs_no_dropout(name):
    model, score = small(), getattr(scores, name)
    model[0].weight.requires_grad_(False)  # frozen weights have scores, too
    before = copy.deepcopy(model.state_dict())
    found, again = (score(model, digits(40), **SETTINGS.get(name, {})) for _ in range(2))
    assert list(found) == ["0", "5"]
    for key, value in found.items():
        assert value.shape == model.get_submodule(key).weight.shape
        assert torch.equal(value, again[key])
        assert not value.requires_grad
        assert (value != 0).float().mean() > 0.5
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert model.training
    assert model[3].training
    assert [p.grad for p in model.parameters()] == [None] * 6
    assert not model[0].weight.requires_grad
    assert list(inspect.signature(score).parameters)[:2] == ["model", "batch"]


@pytest.mark.parametrize("name", SCORES)
def test_weights_that_torch_has_pruned_are_scored_by_the_values_that_they_have(name):
    model, settings = small().eval(), SETTINGS.get(name, {})
    torch_prune.l1_unstructured(model[5], "weight", amount=0.5)
    found = getattr(scores, name)(model, digits(40), **settings)
    expected = getattr(scores, name)(networks.plain(model), digits(40), **settings)
    assert torch.equal(found["5"], expected["5"])
    if name != "random":
        assert not found["5"][model[5].weight == 0].any()


@pytest.mark.parametrize("name", SCORES)
def test_a_network_without_plain_layers_is_refused(name):
    settings = SETTINGS.get(name, {})
    with pytest.raises(ValueError, match="no plain Linear or Conv2d layer"):
        getattr(scores, name)(nn.Flatten(), digits(4), **settings)


@pytest.mark.parametrize("name", ["snip", "skeletonization", "grasp"])
def test_a_batch_that_is_none_is_refused(name):
    score, model, (x, y) = getattr(scores, name), small(), digits(20)
    for given, error, match in (
        (None, TypeError, "data must be a pair"),
        ((x, y + 3), ValueError, r"labels must be in 0..9, but y holds 3..12"),
        ((x, y - 100), ValueError, "labels must be in 0..9"),
        ((x, y.float()), TypeError, "labels must be int64"),
        ((x.double(), y), TypeError, "the network needs torch.float32"),
        ((x[:0], y[:0]), ValueError, "empty"),
    ):
        with pytest.raises(error, match=match):
            score(model, given)


def test_members_of_an_ensemble_are_scored_by_the_mean_of_their_losses():
    members, data = [small(0), small(1)], digits(40)
    found = scores.snip(networks.Ensemble(members), data)
    alone = scores.snip(members[1], data)
    assert list(found) == ["members.0.0", "members.0.5", "members.1.0", "members.1.5"]
    torch.testing.assert_close(found["members.1.5"], alone["5"] / 2)
    curved = scores.grasp(networks.Ensemble(members), data)["members.1.5"]
    torch.testing.assert_close(curved, scores.grasp(members[1], data)["5"] / 4)


# --- without data --------------------------------------------------------------------------------


def test_random_scores_are_one_permutation_of_all_weights():
    model = small()
    found = scores.random(model, seed=3)
    flat = torch.cat([score.flatten() for score in found.values()])
    assert torch.equal(flat.sort().values, torch.arange(total(model)).double())
    assert torch.equal(found["5"], scores.random(small(1), seed=3)["5"])
    assert not torch.equal(found["5"], scores.random(model, seed=4)["5"])
    with pytest.raises(TypeError, match="seed must be a number"):
        scores.random(model, seed=None)


def test_lamp_divides_by_all_that_is_not_smaller():
    model = chain(6, 5, 3)
    model[0].weight.data[0, :2] = 0
    model[2].weight.data[0, :2] = 0.25  # equal ones: the first counts as larger
    found = scores.lamp(model)
    for name in ("0", "2"):
        squares = (model.get_submodule(name).weight.detach() ** 2).flatten().tolist()
        for i, square in enumerate(squares):
            larger = [s for j, s in enumerate(squares) if s > square or (s == square and j <= i)]
            assert found[name].flatten()[i].item() == pytest.approx(square / sum(larger), rel=1e-12)
        assert found[name].max() == 1


def test_lamp_leaves_every_layer_one_weight_at_the_maximal_critical_compression():
    model = chain(20, 16, 12, 5)
    ratio = pruning.maximal_critical_compression(model)
    pruned = pruning.prune(model, scores.lamp(model), ratio=ratio)
    assert [int(pruned[k].weight.count_nonzero()) for k in (0, 2, 4)] == [1, 1, 1]
    with pytest.warns(UserWarning, match="no weight is left in '0'"):
        pruning.prune(model, scores.magnitude(model), ratio=ratio)


def test_a_layer_of_zeros_has_the_lamp_scores_zero():
    model = chain(6, 5, 3)
    model[0].weight.data.zero_()
    assert not scores.lamp(model)["0"].any()


# --- of a loss -----------------------------------------------------------------------------------


def test_snip_of_one_layer_is_its_closed_form():
    model, (x, y) = chain(20, 5, bias=True), batch()
    errors = model(x).softmax(-1) - F.one_hot(y, 5)  # (N, 5)
    expected = (model[0].weight * (errors.T @ x) / len(x)).abs()
    torch.testing.assert_close(scores.snip(model, (x, y))["0"], expected.detach())


def test_relevance_is_the_loss_that_a_weight_saves():
    model, (x, y) = chain(20, 8, 5, bias=True), batch()
    found = scores.skeletonization(model, (x, y))
    torch.testing.assert_close(scores.snip(model, (x, y))["0"], found["0"].abs())
    assert (found["0"] < 0).any()
    less = copy.deepcopy(model)
    less[0].weight.data[3, 7] *= 1 - 1e-6
    saved = (F.cross_entropy(less(x), y) - F.cross_entropy(model(x), y)) / 1e-6
    assert found["0"][3, 7].item() == pytest.approx(saved.item(), rel=1e-3)


def test_the_relevance_of_a_unit_is_the_slope_of_the_loss_in_a_gate_on_it():
    model, (x, y) = chain(20, 8, 5, bias=True), batch()
    units = pruning.neuron_saliency(model, scores.skeletonization(model, (x, y)))["0"].outgoing
    gate = torch.ones(8, dtype=torch.float64, requires_grad=True)
    loss = F.cross_entropy(model[2](gate * model[1](model[0](x))), y)
    torch.testing.assert_close(units, -torch.autograd.grad(loss, gate)[0])


def test_the_relevance_by_squared_errors_vanishes_where_the_network_is_right():
    model, (x, _) = chain(20, 8, 5, bias=True), batch()
    right = model(x).detach()
    squared = scores.skeletonization(
        model, (x, right), loss=lambda model, x, y, progress: (model(x) - y).square().sum()
    )
    absolute = scores.skeletonization(
        model, (x, right + 1e-9), loss=lambda model, x, y, progress: (model(x) - y).abs().sum()
    )
    assert squared["0"].abs().max() < 1e-12
    assert absolute["0"].abs().max() > 1e-2


def test_a_loss_may_take_several_targets():
    model, (x, y) = chain(20, 5), batch()

    def loss(model, x, y, progress):
        return (F.cross_entropy(model(x), y[0], reduction="none") * y[1]).mean()

    found = scores.snip(model, (x, (y, torch.full((30,), 2.0))), loss=loss)
    torch.testing.assert_close(found["0"], 2 * scores.snip(model, (x, y))["0"])


# --- GraSP ---------------------------------------------------------------------------------------


def flow(model, x, y, temperature):
    """The squared norm of the gradient by the weights that are not zero, for each layer."""
    weights = [layer.weight for layer in networks.plain_layers(model).values()]
    gradients = torch.autograd.grad(F.cross_entropy(model(x) / temperature, y), weights)
    return [float((g[w != 0] ** 2).sum()) for g, w in zip(gradients, weights, strict=True)]


@pytest.mark.parametrize("density", [1.0, 0.4])
def test_a_smaller_weight_changes_the_gradient_flow_by_minus_twice_its_grasp_score(density):
    model, (x, y) = chain(20, 8, 5, bias=True), batch()
    model = pruning.prune(model, scores.random(model, seed=0), density=density)
    found = scores.grasp(model, (x, y), temperature=1)
    flows, numbers = [], []
    left = [("0", *place) for place in model[0].weight.nonzero().tolist()[::9]]
    for name, row, column in [*left, ("2", *model[2].weight.nonzero()[3].tolist())]:
        less = copy.deepcopy(model)
        less.get_submodule(name).weight.data[row, column] *= 1 - 1e-6
        flows.append((sum(flow(less, x, y, 1)) - sum(flow(model, x, y, 1))) / 1e-6)
        numbers.append(-2 * found[name][row, column].item())
    assert numbers == pytest.approx(flows, rel=1e-3, abs=1e-8)
    assert min(numbers) < 0 < max(numbers)


def test_the_lowest_scores_are_those_without_which_more_gradient_flows():
    model, (x, y) = chain(20, 16, 12, 5), batch()
    found = scores.grasp(model, (x, y), temperature=1)
    kept = sum(flow(pruning.prune(model, found, density=0.9), x, y, 1))
    wrong = {name: -score for name, score in found.items()}
    assert (
        kept
        > sum(flow(model, x, y, 1))
        > sum(flow(pruning.prune(model, wrong, density=0.9), x, y, 1))
    )


def test_at_high_temperature_layers_of_grasp_scores_sum_to_the_flow_of_the_other_layers():
    model, (x, y) = chain(20, 16, 12, 8, 5), batch()
    sums = pruning.layer_saliency(scores.grasp(model, (x, y), temperature=1e4))
    flows = flow(model, x, y, 1e4)
    expected = [sum(flows) - one for one in flows]
    assert list(sums.values()) == pytest.approx(expected, rel=1e-5)
    usual = pruning.layer_saliency(scores.grasp(model, (x, y)))  # T = 200
    flows = flow(model, x, y, 200)
    assert sum(usual.values()) / sum(flows) == pytest.approx(3, abs=1e-3)
    hot = pruning.layer_saliency(scores.grasp(model, (x, y), temperature=1))
    assert sum(hot.values()) / sum(flow(model, x, y, 1)) > 3.05


@pytest.mark.parametrize("temperature", [0, -1, float("inf")])
def test_a_temperature_that_is_none_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be positive"):
        scores.grasp(chain(20, 5), batch(), temperature=temperature)


# --- SynFlow -------------------------------------------------------------------------------------


def test_synflow_is_the_product_of_what_comes_before_and_behind():
    model = chain(7, 6, 5, 4)
    found = scores.synflow(model, input_shape=(7,))
    sizes = [model[k].weight.detach().abs() for k in (0, 2, 4)]
    for layer, name in enumerate(("0", "2", "4")):
        before = torch.ones(7, dtype=torch.float64)
        for matrix in sizes[:layer]:
            before = matrix @ before
        behind = torch.ones(4, dtype=torch.float64)
        for matrix in reversed(sizes[layer + 1 :]):
            behind = matrix.T @ behind
        expected = behind[:, None] * sizes[layer] * before[None, :]  # eq. (12), to L
        torch.testing.assert_close(found[name], expected, rtol=1e-14, atol=0)
    whole = (sizes[2] @ sizes[1] @ sizes[0]).sum().item()
    assert list(pruning.layer_saliency(found).values()) == pytest.approx([whole] * 3, rel=1e-14)


def test_synflow_sees_neither_data_nor_what_trained_statistics_subtract():
    model, (x, y) = small(), digits(40)
    found = scores.synflow(model, **SETTINGS["synflow"])
    model[1].running_mean.fill_(5.0)
    for given in ((x, y), (x.flip(0), y.flip(0)), None):
        again = scores.synflow(model, given, **SETTINGS["synflow"])
        assert all(torch.equal(found[name], again[name]) for name in found)
    assert all((score >= 0).all() and score.dtype == torch.float64 for score in found.values())


def test_synflow_with_biases_is_conserved_with_them():
    model = chain(7, 6, 5, 4, bias=True)

    def functional(network):
        return network(torch.ones(1, 7, dtype=torch.float64)).sum()

    found = scores.synflow(model, input_shape=(7,))
    biases = pruning.bias_saliency(scores.absolute(model), functional)
    for name, each in pruning.neuron_saliency(model, found).items():
        flow = each.incoming + biases[name]
        torch.testing.assert_close(flow, each.outgoing, rtol=1e-13, atol=0)
        assert (biases[name] > 0).all()


def test_synflow_holds_flows_that_single_precision_cannot():
    model = nn.Sequential(*[nn.Linear(8, 8, bias=False) for _ in range(10)])
    for layer in model:
        layer.weight.data.fill_(1e6)
    found = scores.synflow(model, input_shape=(8,))
    assert list(pruning.layer_saliency(found).values()) == pytest.approx([1e60 * 8**11] * 10)
    for layer in model:
        layer.weight.data.fill_(1e35)
    with pytest.raises(ValueError, match="the functional is inf"):
        scores.synflow(model, input_shape=(8,))


@pytest.mark.parametrize("shape", [(0, 28), (1.5,)])
def test_an_input_shape_that_is_none_is_refused(shape):
    with pytest.raises(ValueError, match="input_shape must be a whole number"):
        scores.synflow(chain(20, 5), input_shape=shape)


def test_a_functional_of_several_batches_is_a_score_too():
    model, (x, y) = chain(20, 5), batch()
    whole = pruning.saliency(model, loss_on(x, y))["0"]
    halves = [pruning.saliency(model, loss_on(x[k::2], y[k::2]))["0"] for k in (0, 1)]
    torch.testing.assert_close(whole, (halves[0] + halves[1]) / 2)
