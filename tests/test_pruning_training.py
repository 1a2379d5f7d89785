"""Zeros that come while a network is trained, or between two trainings."""

import copy
import math
from functools import partial

import pytest
import torch
from pruning_networks import chain, digits, total
from torch import nn

from uecompress import data, networks, pruning, training, uncertainty
from uecompress.pruning import scores

SETTINGS = {"batch_size": 64, "lr": 1e-3, "seed": 0, "progress": False}


def small(seed=0):
    """784-30-20-10."""
    torch.manual_seed(seed)
    layers = [nn.Linear(784, 30), nn.ReLU(), nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 10)]
    return nn.Sequential(nn.Flatten(), *layers)


def layers(model):
    return networks.plain_layers(model)


def zeros(model):
    return {name: layer.weight == 0 for name, layer in layers(model).items()}


def train(network, epochs=2, **settings):
    """Training that holds the zeros."""
    hold = networks.hold_zeros(network)
    return training.fit(network, digits(), epochs=epochs, after_step=hold, **SETTINGS | settings)


# --- L1 ------------------------------------------------------------------------------------------


def test_the_proximal_step_finds_the_minimum_of_the_lasso():
    # Orthonormal inputs: the minimum is the soft threshold of the least-squares solution.
    draw = torch.Generator().manual_seed(0)
    inputs = torch.linalg.qr(torch.randn(32, 8, generator=draw, dtype=torch.float64))[0]
    goal = torch.tensor([2.0, -1, 0.5, -0.2, 0.1, 0, 3, -0.02]).double()
    targets = (inputs @ goal)[:, None]
    model = nn.Sequential(nn.Linear(8, 1, bias=False)).double()
    found = training.fit(
        model, (inputs, targets), epochs=200, batch_size=32, lr=0.3, seed=0, progress=False,
        optimizer=torch.optim.SGD, after_step=pruning.l1(model, 0.3),
        loss=lambda model, x, y, progress: (model(x) - y).square().sum() / 2,
    )  # fmt: skip
    expected = goal.sign() * (goal.abs() - 0.3).clamp(min=0)
    torch.testing.assert_close(found[0].weight[0].detach(), expected, rtol=0, atol=1e-9)
    assert torch.equal(found[0].weight[0] == 0, expected == 0)  # exactly


def test_each_weight_shrinks_by_the_rate_of_its_group_and_biases_and_frozen_ones_do_not():
    model = small()
    model[1].weight.requires_grad_(False)
    groups = [
        {"params": [model[3].weight, model[1].bias, model[3].bias], "lr": 0.1},
        {"params": [model[5].weight, model[5].bias], "lr": 0.5},
    ]
    before, step = copy.deepcopy(model), pruning.l1(model, 0.2)
    with torch.no_grad():
        step(model, 0.1, torch.optim.SGD(groups, lr=1.0))
    for index, shrunk in ((1, 0), (3, 0.02), (5, 0.1)):
        size = (before[index].weight.abs() - shrunk).clamp(min=0)
        torch.testing.assert_close(model[index].weight.abs(), size)
        assert torch.equal(model[index].bias, before[index].bias)


def test_l1_trains_weights_to_exact_zeros_and_a_gradient_of_l1_does_not():
    model = small()
    found = training.fit(model, digits(), epochs=3, after_step=pruning.l1(model, 2.0), **SETTINGS)
    assert networks.nonzero_weights(found) < 0.5 * total(model)

    def loss(model, x, y, progress):
        size = sum(layer.weight.abs().sum() for layer in layers(model).values())
        return training.cross_entropy(model, x, y, progress) + size

    wrong = training.fit(model, digits(), epochs=3, loss=loss, **SETTINGS)
    assert networks.nonzero_weights(wrong) > 0.99 * total(model)


@pytest.mark.parametrize("penalty", [-1, math.inf])
def test_a_penalty_that_is_none_is_refused(penalty):
    with pytest.raises(ValueError, match="penalty must be at least 0"):
        pruning.l1(small(), penalty)


# --- gradual -------------------------------------------------------------------------------------


def test_gradual_pruning_follows_its_schedule_and_holds_its_zeros():
    model, seen = small(), []
    step = pruning.gradual(model, density=0.05, start=0.25, end=0.75, every=2)

    def after_step(trained, progress):
        step(trained, progress)
        seen.append((progress, zeros(trained)))

    found = training.fit(model, digits(), epochs=8, after_step=after_step, **SETTINGS)
    counts = [total(model) - sum(int(z.sum()) for z in each.values()) for _, each in seen]
    assert counts[0] == total(model)
    for k, (progress, now) in enumerate(seen):
        t = min(max((progress - 0.25) / 0.5, 0), 1)
        if (k + 1) % 2 == 0 or progress >= 0.75:
            assert counts[k] == round(total(model) * pruning.cubic(0.05, t))
        elif k:
            assert counts[k] == counts[k - 1]
        if k:
            assert all(now[name][zero].all() for name, zero in seen[k - 1][1].items())
    assert networks.nonzero_weights(found) == round(0.05 * total(model))
    assert networks.nonzero_weights(model) == total(model)


def test_gradual_pruning_takes_densities_of_layers_and_keeps_zeros_that_are_there():
    model = small()
    sparse = pruning.prune(model, scores.random(model, seed=0), density=0.5)
    shares = {"1": 0.02, "3": 0.25, "5": 0.5}
    step = pruning.gradual(sparse, density=shares, every=1, end=0.5)
    found = training.fit(sparse, digits(), epochs=2, after_step=step, **SETTINGS)
    assert pruning.densities(found) == pytest.approx(shares, abs=1e-3)
    for name, zero in zeros(sparse).items():
        assert zeros(found)[name][zero].all()


def test_a_layer_that_gradual_pruning_empties_is_named():
    model = small()
    model[3].weight.data *= 1e-6
    step = pruning.gradual(model, density=0.05, every=1)
    with pytest.warns(UserWarning, match="no weight is left in '3'") as caught:
        training.fit(model, digits(), epochs=1, after_step=step, **SETTINGS | {"lr": 1e-9})
    assert len(caught) == 1


@pytest.mark.parametrize("make", [partial(pruning.gradual, density=0.5), pruning.rigl])
def test_an_after_step_serves_one_training(make):
    model = small()
    step = make(model)
    training.fit(model, digits(128), epochs=1, after_step=step, **SETTINGS)
    with pytest.raises(ValueError, match="serves one training"):
        training.fit(model, digits(128), epochs=1, after_step=step, **SETTINGS)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"density": 0}, "density must be in"),
        ({"density": 0.5, "start": 1}, "start must be in"),
        ({"density": 0.5, "end": 1}, "end must be in"),
        ({"density": 0.5, "start": 0.5, "end": 0.5}, "end must be in"),
        ({"density": 0.5, "every": 0}, "every must be"),
    ],
)
def test_gradual_settings_that_are_none_are_refused(settings, match):
    with pytest.raises(ValueError, match=match):
        pruning.gradual(small(), **settings)


# --- RigL ----------------------------------------------------------------------------------------


def test_rigl_drops_the_smallest_and_grows_where_the_gradient_is_largest():
    model = nn.Sequential(nn.Linear(4, 2, bias=False))
    model[0].weight.data = torch.tensor([[4.0, -3, 2, -1], [0, 0, 0, 0]])
    step = pruning.rigl(model, fraction=0.9, every=1, end=1.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0)
    weight = model[0].weight
    weight.grad = torch.tensor([[0.0, 0, 0, 5], [1, -7, 2, -3]])
    optimizer.step()
    with torch.no_grad():
        weight[1] += 0.5  # what an optimizer does to the others
        step(model, 1e-9, optimizer)  # f = 0.9 of 4 weights: 3 drop
    # Of the dropped −3, 2 and −1, the last returns as it was; −7 and −3 are the next largest.
    assert torch.equal(weight.data, torch.tensor([[4.0, 0, 0, -1], [0, 0, 0, 0]]))
    moments = optimizer.state[weight]["exp_avg"]
    assert moments[0, 3] != 0
    assert moments[1, 1] == moments[1, 3] == 0
    assert moments[1, 0] != 0
    with torch.no_grad():
        weight += 1.0
        step(model, 1.0, optimizer)  # f = 0: nothing moves
    assert torch.equal(weight.data, torch.tensor([[5.0, 0, 0, 0], [0, 1, 0, 1]]))


def test_rigl_keeps_the_number_of_weights_of_each_layer_and_moves_them():
    model = pruning.random_erk(small(), density=0.1, seed=0)
    step = pruning.rigl(model, every=3)
    found = training.fit(model, digits(), epochs=4, after_step=step, **SETTINGS)
    for name, layer in layers(found).items():
        before, after = layers(model)[name].weight != 0, layer.weight != 0
        # A weight that has grown where no ink is stays at zero.
        assert 0 <= before.sum() - after.sum() < 0.02 * before.sum() + 1
    moved = (zeros(model)["1"] & ~zeros(found)["1"]).sum()
    assert moved > 0.1 * (~zeros(model)["1"]).sum()
    still = training.fit(
        model, digits(), epochs=4, after_step=networks.hold_zeros(model), **SETTINGS
    )
    assert not (zeros(model)["1"] & ~zeros(still)["1"]).any()


def test_rigl_refuses_frozen_layers_and_settings_that_are_none():
    model = small()
    model[1].weight.requires_grad_(False)
    step = pruning.rigl(model, every=1)
    with pytest.raises(ValueError, match="layer '1': has no gradient"):
        training.fit(model, digits(64), epochs=2, after_step=step, **SETTINGS | {"batch_size": 8})
    for settings in ({"fraction": 1}, {"fraction": 0}, {"every": 0}, {"end": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(settings))} must be"):
            pruning.rigl(model, **settings)


# --- between trainings ---------------------------------------------------------------------------


def test_one_shot_trains_prunes_and_tunes():
    model = small()
    dense = train(model)
    by_hand = train(pruning.prune(dense, scores.magnitude(dense), density=0.1), epochs=1)
    found = pruning.one_shot(model, train, density=0.1, tune=partial(train, epochs=1))
    for ours, theirs in zip(found.parameters(), by_hand.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    snip = partial(scores.snip, batch=digits(100))
    other = pruning.one_shot(model, train, snip, density=0.1, scope="layer")
    assert not torch.equal(zeros(found)["1"], zeros(other)["1"])
    assert pruning.densities(other) == pytest.approx(dict.fromkeys(layers(model), 0.1))


def test_training_that_loses_zeros_is_reported():
    model = pruning.prune(small(), scores.magnitude(small()), density=0.5)
    forgetful = partial(training.fit, data=digits(64), epochs=1, **SETTINGS)
    with pytest.raises(ValueError, match=r"lost zeros of '1': train with after_step=networks\.ho"):
        pruning.one_shot(model, forgetful, density=0.1)
    with pytest.raises(ValueError, match="lost zeros"):
        list(pruning.lottery_tickets(small(), forgetful, rounds=2, density=0.1))


def test_tickets_have_their_first_weights_and_each_is_part_of_the_one_before():
    model, rounds = small(), 3
    share = {"1": 0.8**rounds, "3": 0.8**rounds, "5": 0.9**rounds}
    asked = []

    def spy(network):
        asked.append(network)
        return train(network, epochs=1)

    found = list(pruning.lottery_tickets(model, spy, rounds=rounds, density=share))
    assert [asked[0], *[ticket for _, ticket in found[:-1]]] == [model, *asked[1:]]
    last = zeros(model)
    for k, (trained, ticket) in enumerate(found, 1):
        for name, layer in layers(ticket).items():
            left = layer.weight != 0
            rate = 0.9 if name == "5" else 0.8
            assert int(left.sum()) == round(rate**k * layer.weight.numel())
            assert torch.equal(layer.weight[left], layers(model)[name].weight[left])
            assert torch.equal(layer.bias, layers(model)[name].bias)
            assert not (left & last[name]).any()
            kept, gone = (layers(trained)[name].weight[m].abs() for m in (left, ~left))
            assert kept.min() >= gone.max()
        last = zeros(ticket)


def test_rewinding_is_to_begin_with_a_network_that_is_trained_a_little():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 20), nn.BatchNorm1d(20), nn.ReLU(),
                          nn.Linear(20, 10))  # fmt: skip
    early = train(model, epochs=1)
    *_, (trained, ticket) = pruning.lottery_tickets(early, train, rounds=2, density=0.3)
    left = ticket[1].weight != 0
    assert torch.equal(ticket[1].weight[left], early[1].weight[left])
    for name, value in early[2].state_dict().items():  # the batch norm has gone back, too
        assert torch.equal(ticket[2].state_dict()[name], value)
        assert name == "num_batches_tracked" or not torch.equal(
            trained[2].state_dict()[name], value
        )
    fresh = pruning.with_zeros_of(nn.Sequential(*[copy.deepcopy(m) for m in model]), ticket)
    assert torch.equal(fresh[1].weight == 0, ~left)


def test_without_a_reset_the_survivors_stay_trained():
    model = small()
    pairs = list(pruning.lottery_tickets(model, train, rounds=2, density=0.3, reset=False))
    for trained, ticket in pairs:
        left = ticket[1].weight != 0
        assert torch.equal(ticket[1].weight[left], trained[1].weight[left])


def test_a_ticket_of_a_tenth_still_learns():
    x, y = data.load("digits", "test")
    learn = partial(train, epochs=12, lr=3e-3)
    share = {"1": 0.1, "3": 0.3, "5": 0.6}
    *_, (dense, ticket) = pruning.lottery_tickets(small(), learn, rounds=1, density=share)
    right, full = (
        uncertainty.accuracy(uncertainty.predict(m, x), y) for m in (learn(ticket), dense)
    )
    assert right > 0.7
    assert right > full - 0.1


def test_rounds_that_are_none_are_refused():
    with pytest.raises(ValueError, match="rounds must be a whole number of at least 1"):
        next(pruning.lottery_tickets(chain(20, 5), train, rounds=0, density=0.5))
