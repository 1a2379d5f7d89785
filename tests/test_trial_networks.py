"""Networks of later chapters pass through everything there is, and compute what they say."""

import pytest
import torch
import trial_networks as trial
from torch import nn
from trial_networks import offered  # noqa: F401 (a fixture)

from uecompress import ensembles, networks, storage, training, uncertainty

NAMES = list(trial.TRIALS)


@pytest.fixture(scope="module")
def trained():
    return {name: trial.train(name) for name in NAMES}


def test_they_learn(trained):
    x, y = trial.digits("test")
    for name, model in trained.items():
        before, after = (
            uncertainty.nll(uncertainty.predict(network, x), y)
            for network in (trial.network(name), model)
        )
        biases_only = name in ("quantized", "frozen_codes")
        assert after < (before if biases_only else 1), name


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bits(name):
    first, second = (trial.train(name, epochs=1, seed=5).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", NAMES)
def test_predictions_do_not_depend_on_the_batch_size(trained, name):
    x, _ = trial.digits("test", 20)
    whole = uncertainty.predict(trained[name], x)
    assert whole.shape == (3 if name in ("packed", "batch_ensemble", "mimo") else 1, 20, 10)
    for batch_size in (1, 7):
        parts = uncertainty.predict(trained[name], x, batch_size=batch_size)
        torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_gives_the_same_predictions(trained, name, tmp_path, offered):  # noqa: F811
    x, path = trial.digits("test", 20)[0], tmp_path / "network"
    written = storage.save(trained[name], path)
    again = storage.load(path)
    assert torch.equal(uncertainty.predict(again, x), uncertainty.predict(trained[name], x))
    state = again.state_dict()
    assert all(torch.equal(state[k], v) for k, v in trained[name].state_dict().items())
    if name == "hashed":  # the buckets and biases, not the indices
        assert written < 4 * (200 + 60 + 24 + 10) + 700


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_the_scorecard(trained, name, tmp_path, offered):  # noqa: F811
    path = tmp_path / "network"
    storage.save(trained[name], path)
    data, ood = trial.digits("test", 50), trial.foreign(50)
    row = uncertainty.scorecard(trained[name], data, ood, path)
    assert row["nll"] == uncertainty.nll(uncertainty.predict(trained[name], data[0]), data[1])
    assert row["bytes"] == path.stat().st_size


def test_a_network_without_parameters_predicts_and_cannot_be_trained():
    model, x = trial.quantized(bias=False), trial.digits("test", 20)[0]
    dense = x.flatten(1) @ model[1].dense_weight.T
    expected = (dense.relu() @ model[3].dense_weight.T).double().log_softmax(-1)
    torch.testing.assert_close(uncertainty.predict(model, x)[0], expected, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="no parameters to train"):
        training.fit(model, trial.digits("train"), epochs=1, batch_size=9, lr=0.1, seed=0)


def test_codes_in_front_of_all_parameters_do_not_decide_the_type(trained):
    model = trained["frozen_codes"]
    assert next(model.parameters()).dtype == torch.int8
    assert torch.equal(model[1].codes, trial.network("frozen_codes")[1].codes)
    x = trial.digits("test", 20)[0]
    same = uncertainty.predict(trained["quantized"], x)
    assert torch.equal(uncertainty.predict(model, x), same)
    with pytest.raises(TypeError, match=r"x is of torch.float64, but the network needs"):
        uncertainty.predict(model, x.double())


def test_a_bucket_gets_the_gradients_of_all_weights_in_it():
    layer, x = trial.HashedLinear(6, 4, 5).double(), torch.rand(3, 6).double()
    layer(x).square().sum().backward()
    weight = layer.dense_weight.detach().requires_grad_()
    nn.functional.linear(x, weight, layer.bias.detach()).square().sum().backward()
    sums = [weight.grad[layer.index == bucket].sum() for bucket in range(5)]
    torch.testing.assert_close(layer.values.grad, torch.stack(sums))


def test_packed_groups_are_members_of_their_own(trained):
    model, x = trained["packed"], trial.digits("test", 20)[0]

    def member(m):
        part = slice(8 * m, 8 * m + 8)  # of 24 units
        logits = slice(10 * m, 10 * m + 10)
        first, middle, last = model[1], model[3], model[5]
        y = (x.flatten(1) @ first.weight[part].T + first.bias[part]).relu()
        y = (y @ middle.weight[m].T + middle.bias[part]).relu()
        return (y @ last.weight[m].T + last.bias[logits]).double().log_softmax(-1)

    expected = torch.stack([member(m) for m in range(3)])
    torch.testing.assert_close(uncertainty.predict(model, x), expected, rtol=0, atol=1e-5)


def test_a_batch_ensemble_is_an_ensemble_of_dense_networks(trained):
    shared = trained["batch_ensemble"].network

    def member(m):
        layers = [
            layer.member(m) if isinstance(layer, trial.RankOneLinear) else layer for layer in shared
        ]
        return nn.Sequential(*layers)

    dense = networks.Ensemble([member(m) for m in range(3)])
    x = trial.digits("test", 20)[0]
    for batch in (x, torch.stack([x, x.flip(0), x.flip(2)])):  # one for all, one for each
        rows = uncertainty.predict(trained["batch_ensemble"], batch)
        torch.testing.assert_close(rows, uncertainty.predict(dense, batch), rtol=0, atol=1e-5)
    assert networks.parameter_count(shared) < 0.6 * networks.parameter_count(dense)


def test_each_member_of_mimo_answers_for_its_own_input(trained):
    x = trial.digits("test")[0]
    each = torch.stack([x, x.roll(7, 0), x.roll(90, 0)])
    apart = uncertainty.predict(trained["mimo"], each, batch_size=64)
    y = trial.digits("test")[1]
    for rows, labels in zip(apart, (y, y.roll(7), y.roll(90)), strict=True):
        assert uncertainty.accuracy(rows[None], labels) > 0.6
    one_by_one = uncertainty.predict(trained["mimo"], each[:, :9], batch_size=1)
    torch.testing.assert_close(one_by_one, apart[:, :9], rtol=0, atol=1e-5)


def test_examples_leave_at_the_first_exit_that_is_sure(trained):
    model, x = trained["early_exit"], trial.digits("test")[0]
    first, last = (logits.double().log_softmax(-1) for logits in model.all_exits(x))
    expected = torch.where((first.exp().amax(-1) >= 0.8)[:, None], first, last)
    torch.testing.assert_close(uncertainty.predict(model, x)[0], expected, rtol=0, atol=1e-5)
    assert not torch.allclose(expected, first, atol=1e-3)
    assert not torch.allclose(expected, last, atol=1e-3)


def test_networks_of_exits_can_be_members(trained):
    x = trial.digits("test", 20)[0]
    together = networks.Ensemble([trained["early_exit"], trained["batch_ensemble"]])
    rows = [uncertainty.predict(trained[name], x) for name in ("early_exit", "batch_ensemble")]
    torch.testing.assert_close(uncertainty.predict(together, x), torch.cat(rows))


def test_two_trained_apart_are_an_ensemble():
    models = [trial.network("hashed", seed) for seed in (0, 1)]
    settings = {"epochs": 1, "batch_size": 32, "lr": 1e-2, "progress": False}
    pair = ensembles.fit_ensemble(models, trial.digits("train"), seeds=[0, 1], **settings)
    for m, member in enumerate(pair.members):
        alone = training.fit(models[m], trial.digits("train"), seed=m, **settings)
        torch.testing.assert_close(member[1].values, alone[1].values, rtol=0, atol=1e-5)
