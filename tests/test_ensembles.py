"""Stacked training is the loop over ``fit``, and dropout samples have the moments they should."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from uecompress import ensembles, networks, training, uncertainty


def small_mlp(seed=0, dropout=0.0, **changes):
    return networks.mlp(6, 5, 2, 3, dropout, seed=seed, **changes).double()


def residual(seed=0):
    torch.manual_seed(seed)
    branch = nn.Sequential(nn.Linear(6, 6, bias=False), nn.Tanh())
    return nn.Sequential(networks.Residual(branch), nn.Linear(6, 3)).double()


def clusters(n=50, seed=1):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    x = torch.eye(3, 6, dtype=torch.float64)[y]
    return x + 0.5 * torch.randn(n, 6, generator=generator, dtype=torch.float64), y


SETTINGS = {"epochs": 3, "batch_size": 16, "lr": 1e-2, "progress": False}


def quick(models, data, seeds=(3, 1, 2), **changes):
    return ensembles.fit_ensemble(models, data, seeds=seeds, **SETTINGS | changes)


def alone(models, data, seeds=(3, 1, 2), **changes):
    pairs = zip(models, seeds, strict=True)
    return [training.fit(model, data, seed=s, **SETTINGS | changes) for model, s in pairs]


def assert_equal_networks(members, others, atol):
    for member, other in zip(members, others, strict=True):
        state = member.state_dict()
        for name, tensor in other.state_dict().items():
            torch.testing.assert_close(state[name], tensor, rtol=0, atol=atol)


# --- deep ensembles ----------------------------------------------------------------------------


@pytest.mark.parametrize("network", [small_mlp, residual])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, ensembles.fused_adam])
@pytest.mark.parametrize("n", [50, 49])  # 49 leaves a last batch of one, which fit skips
def test_stacked_members_are_the_networks_trained_alone(network, optimizer, n):
    models, data = [network(seed=m) for m in range(3)], clusters(n)
    before = copy.deepcopy(models)
    assert ensembles.stackable(models, data[0])
    ensemble = quick(models, data, optimizer=optimizer)
    assert_equal_networks(models, before, atol=0)
    assert_equal_networks(ensemble.members, alone(models, data, optimizer=optimizer), atol=1e-10)
    assert isinstance(ensemble, networks.Ensemble)
    assert not any(module.training for module in ensemble.modules())
    assert [str(member) for member in ensemble.members] == [str(model) for model in models]


def test_an_empty_sequential_is_stacked_as_the_identity():
    def network(seed):
        torch.manual_seed(seed)
        block = networks.Residual(nn.Linear(6, 6), nn.Sequential())
        return nn.Sequential(block, nn.Linear(6, 3)).double()

    models = [network(m) for m in range(3)]
    assert ensembles.stackable(models, clusters()[0])
    ensemble = quick(models, clusters())
    assert_equal_networks(ensemble.members, alone(models, clusters()), atol=1e-10)


def test_images_and_a_learning_rate_that_falls():
    models = [small_mlp(m) for m in range(3)]
    x, y = clusters()
    x = x.view(50, 1, 2, 3)

    def lr(progress):
        return 0.1 * (1 - progress)

    trained = quick(models, (x, y), lr=lr)
    assert_equal_networks(trained.members, alone(models, (x, y), lr=lr), atol=1e-10)


def test_training_can_go_on_from_members():
    data = clusters()
    first = quick([small_mlp(m) for m in range(3)], data)
    again = quick(first.members, data)
    assert_equal_networks(again.members, alone(first.members, data), atol=1e-10)
    assert again.members[0].norm1.num_batches_tracked == 2 * 3 * 4


def test_stacked_predicts_what_its_members_do():
    models = [small_mlp(m) for m in range(3)]
    models = quick(models, clusters()).members
    x = clusters(seed=5)[0]
    log_probs = uncertainty.predict(ensembles.Stacked(models), x)
    expected = uncertainty.predict(networks.Ensemble(models), x)
    torch.testing.assert_close(log_probs, expected, rtol=0, atol=1e-12)


def test_with_dropout_members_differ_in_their_masks_only():
    # One full batch and one step of SGD: the weight moves by a gradient linear in the mask.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3)).double()
    nn.init.zeros_(model[1].weight)
    x, y = clusters(4)
    step = {"epochs": 1, "batch_size": 4, "lr": 1.0, "optimizer": torch.optim.SGD}
    members = quick([model] * 400, (x, y), seeds=range(400), **step).members
    # With zero weights the probabilities do not depend on the mask.
    wrong = model[1].bias.softmax(0) - nn.functional.one_hot(y, 3)  # (N, C)
    terms = wrong[:, :, None] * x[:, None, :] / 4  # (N, C, F)
    moved = -torch.stack([member[1].weight for member in members])  # (M, C, F)
    variance = terms.square().sum(0)  # p / (1 − p) = 1
    error = (moved.mean(0) - terms.sum(0)) / (variance / 400).sqrt()
    assert error.abs().max() < 4
    torch.testing.assert_close(moved.var(0), variance, rtol=0.35, atol=1e-3)
    again = quick([model] * 400, (x, y), seeds=range(400), **step).members
    assert torch.equal(again[7][1].weight, members[7][1].weight)


def test_frozen_weights_stay():
    models = [small_mlp(m) for m in range(3)]
    for model in models:
        model.linear1.requires_grad_(False)
    data = clusters()
    trained = quick(models, data)
    assert torch.equal(trained.members[1].linear1.weight, models[1].linear1.weight)
    assert not trained.members[1].linear1.weight.requires_grad
    assert_equal_networks(trained.members, alone(models, data), atol=1e-10)


def tied():
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)).double()
    model[1].weight = model[0].weight
    return model


@pytest.mark.parametrize(
    "models",
    [
        [small_mlp(0), networks.mlp(6, 7, 2, 3, 0.0).double()],
        [nn.Sequential(nn.Linear(6, 3), nn.Softsign()).double() for _ in range(2)],
        [tied(), tied()],
        [nn.Sequential(nn.BatchNorm1d(6, momentum=None), nn.Linear(6, 3)).double()] * 2,
        [nn.Sequential(nn.BatchNorm1d(6, affine=False), nn.Linear(6, 3)).double()] * 2,
        [nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 3))).double()] * 2,
    ],
    ids=["widths", "unknown", "tied", "momentum", "affine", "parametrized"],
)
def test_what_cannot_be_stacked_is_trained_in_a_loop(models):
    data = clusters()
    assert not ensembles.stackable(models, data[0])
    trained = quick(models, data, seeds=(4, 5))
    assert_equal_networks(trained.members, alone(models, data, seeds=(4, 5)), atol=1e-10)


def trunk_and_heads(count=3):
    trunk = nn.Linear(6, 6).double()
    return [nn.Sequential(trunk, nn.ReLU(), nn.Linear(6, 3).double()) for _ in range(count)]


def test_members_that_share_weights_are_refused_and_fit_of_their_ensemble_keeps_them():
    models, data = trunk_and_heads(), clusters()
    with pytest.raises(ValueError, match=r"models\[1\] shares '0.weight' .*networks.Ensemble"):
        quick(models, data)
    trained = training.fit(networks.Ensemble(models), data, seed=0, **SETTINGS)
    assert networks.parameter_count(trained) == 42 + 3 * 21
    assert trained.members[0][0] is trained.members[2][0]
    norm = nn.BatchNorm1d(6, affine=False).double()  # its statistics would part as well
    with pytest.raises(ValueError, match=r"models\[1\] shares '0.running_mean'"):
        quick([nn.Sequential(norm, nn.Linear(6, 3).double()) for _ in range(2)], data, seeds=(0, 1))


def test_weights_shared_inside_a_member_stay_shared():
    trained = quick([tied(), tied(), tied()], clusters())
    assert all(member[0].weight is member[1].weight for member in trained.members)


def test_a_network_with_a_hook_cannot_be_stacked_and_keeps_it():
    for hooked in ("0", "1", ""):
        models = [nn.Sequential(nn.Linear(6, 3), nn.ReLU()).double() for _ in range(2)]
        for model in models:
            model.get_submodule(hooked).register_forward_hook(lambda module, x, y: 2 * y)
        data = clusters()
        assert not ensembles.stackable(models, data[0])
        trained = quick(models, data, seeds=(0, 1))
        assert_equal_networks(trained.members, alone(models, data, seeds=(0, 1)), atol=1e-10)
        x = data[0]
        plain = (x @ trained.members[0][0].weight.T + trained.members[0][0].bias).relu()
        torch.testing.assert_close(trained.members[0](x), 2 * plain)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.relu1.register_buffer("note", torch.ones(1)),
        lambda model: setattr(model.norm1, "eps", 1e-5 + 1e-12),
        lambda model: setattr(model, "forward", model.forward),
        lambda model: setattr(model.linear2, "weight", nn.Parameter(model.linear2.weight.float())),
        lambda model: setattr(model.dropout1, "p", 1e-9),
    ],
    ids=["buffer", "eps", "forward", "dtype", "dropout"],
)
def test_networks_that_differ_in_more_than_numbers_cannot_be_stacked(change):
    models = [small_mlp(m) for m in range(2)]
    assert ensembles.stackable(models, clusters()[0])
    models[1].eval()  # the mode is not part of a network
    assert ensembles.stackable(models, clusters()[0])
    change(models[1])
    assert not ensembles.stackable(models, clusters()[0])


def test_the_same_examples_for_all_members():
    models = [small_mlp(m) for m in range(2)]
    x, y = clusters()
    with pytest.raises(ValueError, match="the same examples for all members"):
        quick(models, (x.view(1, 50, 1, 2, 3).expand(2, -1, -1, -1, -1), y), seeds=(0, 1))


def test_stacked_members_may_get_a_batch_each():
    models = [small_mlp(m).eval() for m in range(3)]
    x = clusters()[0].view(50, 1, 2, 3)
    each = torch.stack([x, 2 * x, 3 * x])
    rows = uncertainty.predict(ensembles.Stacked(models), each, batch_size=7)
    expected = uncertainty.predict(networks.Ensemble(models), each)
    torch.testing.assert_close(rows, expected, rtol=0, atol=1e-12)


def test_frozen_in_one_member_only_cannot_be_stacked():
    models = [residual(0), residual(1)]
    models[1][1].requires_grad_(False)
    assert not ensembles.stackable(models, clusters()[0])


def test_images_that_are_not_flattened_cannot_be_stacked():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Flatten(), nn.Linear(6, 3)).double()
    x, y = clusters()
    x = x.view(50, 2, 3)
    assert not ensembles.stackable([model] * 2, x)
    trained = quick([model] * 2, (x, y), seeds=(0, 1))
    assert_equal_networks(trained.members, alone([model] * 2, (x, y), seeds=(0, 1)), atol=1e-10)


@pytest.mark.parametrize(
    ("models", "seeds", "message"),
    [([], [], "0 models"), ([small_mlp()], [1, 2], "1 models need one seed each, and 2")],
)
def test_one_seed_for_each_model(models, seeds, message):
    with pytest.raises(ValueError, match=message):
        quick(models, clusters(), seeds=seeds)


def test_batches_of_one_are_those_of_fit():
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Linear(6, 3)).double() for _ in range(3)]  # no batch norm
    ensemble = quick(models, clusters(8), batch_size=1)
    assert_equal_networks(ensemble.members, alone(models, clusters(8), batch_size=1), atol=1e-10)


def test_bad_data_are_refused_as_by_fit():
    models, (x, y) = [small_mlp(m) for m in range(3)], clusters()
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.2, but y holds 1\.\.3"):
        quick(models, (x, y + 1))
    with pytest.raises(ValueError, match="batch_size must be a whole number"):
        quick(models, (x, y), batch_size=0)
    with pytest.raises(TypeError, match="x must be a torch tensor, not list"):
        quick(models, (x.tolist(), y))
    with pytest.raises(TypeError, match="labels must be a torch tensor, not ndarray"):
        quick(models, (x, y.numpy()))
    with pytest.raises(TypeError, match="data must be a pair of inputs and labels, not NoneType"):
        quick(models, None)
    with pytest.raises(TypeError, match="seed must be a number, not None"):
        quick(models, (x, y), seeds=(0, 1, None))
    with pytest.raises(ValueError, match="no parameters to train"):
        quick([nn.ReLU()] * 3, (x, y))
    models[1].linear2.bias.data.fill_(torch.inf)
    with pytest.raises(FloatingPointError, match="in epoch 1"):
        quick(models, (x, y))


def test_whole_numbers_of_any_type_are_the_same_settings():
    models = [small_mlp(m) for m in range(3)]
    expected = quick(models, clusters(), epochs=2, batch_size=16)
    for two, sixteen in [(2.0, 16.0), (np.int64(2), np.int64(16))]:
        seeds = np.array([3, 1, 2])
        ensemble = quick(models, clusters(), epochs=two, batch_size=sixteen, seeds=seeds)
        assert_equal_networks(ensemble.members, expected.members, atol=0)


# --- Monte Carlo dropout -----------------------------------------------------------------------


def toy(p=0.5, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Dropout(p), nn.Linear(4, 2)).double()


def difference(log_probs):
    """The logit of class 0 against class 1, which is linear in the mask."""
    return log_probs[..., 0] - log_probs[..., 1]


@pytest.mark.parametrize("p", [0.5, 0.1])
@pytest.mark.parametrize("many", ["examples", "samples"])
def test_samples_have_the_moments_of_the_closed_form(p, many):
    model, x = toy(p), torch.tensor([[1.0, -2.0, 0.5, 3.0]], dtype=torch.float64)
    w, b = model[1].weight[0] - model[1].weight[1], model[1].bias[0] - model[1].bias[1]
    count = 4000
    examples, samples = (x.expand(count, 4), 1) if many == "examples" else (x, count)
    stochastic = ensembles.mc_dropout(model)
    drawn = difference(uncertainty.predict(stochastic, examples, samples=samples)).flatten()
    mean, variance = (w * x[0]).sum() + b, (w * x[0]).square().sum() * p / (1 - p)
    assert len(drawn) == count
    assert abs(drawn.mean() - mean) < 4 * (variance / count).sqrt()
    torch.testing.assert_close(drawn.var(), variance, rtol=0.15, atol=0)


def test_masks_of_examples_samples_and_units_are_independent():
    x = torch.ones(500, 4, dtype=torch.float64)
    drawn = difference(uncertainty.predict(ensembles.mc_dropout(toy()), x, samples=2))  # (2, 500)
    assert abs(torch.corrcoef(drawn)[0, 1]) < 0.2
    assert all(len(row.round(decimals=9).unique()) == 16 for row in drawn)  # every mask of 4 units


def test_without_samples_it_is_the_network_itself():
    model, x = small_mlp(dropout=0.3), clusters()[0]
    stochastic = ensembles.mc_dropout(model)
    assert torch.equal(uncertainty.predict(stochastic, x), uncertainty.predict(model, x))
    assert not any(isinstance(module, ensembles.MCDropout) for module in model.modules())
    with pytest.raises(ValueError, match="no random weights"):
        uncertainty.predict(model, x, samples=2)
    # and it trains as the network does
    same = [training.fit(m, clusters(), seed=0, **SETTINGS) for m in (stochastic, model)]
    assert_equal_networks(same[:1], same[1:], atol=0)


def test_batch_norm_stays_in_evaluation_mode():
    stochastic, x = ensembles.mc_dropout(small_mlp(dropout=0.5)), clusters()[0]
    before = copy.deepcopy(stochastic.state_dict())
    all_at_once = uncertainty.predict(stochastic, x, samples=3)
    assert all(torch.equal(before[k], v) for k, v in stochastic.state_dict().items())
    # The first example does not feel what the others are, only the draws.
    shifted = torch.cat([x[:1], x[1:] + 100])
    again = uncertainty.predict(stochastic, shifted, samples=3)
    assert torch.equal(again[:, 0], all_at_once[:, 0])


def test_seeds_of_samples():
    stochastic, x = ensembles.mc_dropout(small_mlp(dropout=0.5)), clusters()[0]
    first, same, other = (uncertainty.predict(stochastic, x, samples=2, seed=s) for s in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


def test_an_ensemble_gives_a_row_for_each_member_and_sample():
    members = [toy(seed=m) for m in range(2)]
    x = torch.ones(2000, 4, dtype=torch.float64)
    stochastic = ensembles.mc_dropout(networks.Ensemble(members))
    drawn = difference(uncertainty.predict(stochastic, x, samples=3))  # (6, 2000)
    expected = torch.stack([difference(member.eval()(x[:1]))[0] for member in members])
    assert drawn.shape == (6, 2000)
    rows = drawn.mean(1)  # the member is slowest
    torch.testing.assert_close(rows, expected.detach().repeat_interleave(3), rtol=0, atol=0.12)


@pytest.mark.parametrize("model", [networks.lenet300(), networks.mlp(4, 3, 1, 2, dropout=0)])
def test_a_network_without_dropout_is_refused(model):
    with pytest.raises(ValueError, match=r"no plain Dropout layer|no nn\.Dropout with p > 0"):
        ensembles.mc_dropout(model)


@pytest.mark.parametrize("p", [math.nan, -0.1, 1.1])
def test_a_probability_is_from_0_to_1(p):
    with pytest.raises(ValueError, match=r"p must be in \[0, 1\]"):
        ensembles.MCDropout(p)


def test_config_rebuilds_the_module():
    module = ensembles.MCDropout(0.3)
    assert module.config() == {"p": 0.3}
    assert str(ensembles.MCDropout(**module.config())) == str(module)
