import copy
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from uecompress import ensembles, networks, uncertainty
from uecompress.training import batches, cross_entropy, fit


def line(seed=0):
    torch.manual_seed(seed)
    return nn.Linear(3, 4).double()


def clusters(n=64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 4
    x = torch.eye(4, 3, dtype=torch.float64)[y]
    return x + 0.1 * torch.randn(n, 3, generator=generator, dtype=torch.float64), y


def quick(model, data, **changes):
    settings = {"epochs": 3, "batch_size": 16, "lr": 1e-2, "seed": 0, "progress": False}
    return fit(model, data, **settings | changes)


def test_learns_and_leaves_the_input_alone():
    model, data = line(), clusters()
    before = copy.deepcopy(model.state_dict())
    trained = quick(model, data, epochs=60, lr=0.1)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert model.training
    assert not trained.training
    assert (trained(data[0]).argmax(-1) == data[1]).all()


def test_one_full_batch_of_sgd_is_one_step_of_gradient_descent():
    model, (x, y) = line(), clusters()
    trained = quick(model, (x, y), epochs=1, batch_size=64, lr=0.5, optimizer=torch.optim.SGD)
    onehot = nn.functional.one_hot(y, 4).double()
    gradient = (model(x).softmax(-1) - onehot).T @ x / len(x)  # of the mean cross-entropy
    torch.testing.assert_close(trained.weight, model.weight - 0.5 * gradient, rtol=0, atol=1e-14)


def test_same_seed_same_bits_other_seed_other_bits():
    model, data = nn.Sequential(line(), nn.Dropout(0.5)), clusters()
    torch.manual_seed(7)
    first, state = quick(model, data), torch.get_rng_state()
    torch.manual_seed(8)
    second, other = quick(model, data), quick(model, data, seed=1)
    assert torch.equal(first[0].weight, second[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)
    torch.manual_seed(7)
    assert torch.equal(torch.get_rng_state(), state)  # the caller's random state is untouched


def test_lr_may_follow_progress_and_hooks_see_it():
    seen, after, rates = [], [], []

    def loss(model, x, y, progress):
        seen.append(progress)
        return cross_entropy(model, x, y, progress)

    def after_step(model, progress):
        assert not torch.is_grad_enabled()
        after.append(progress)
        model.weight.clamp_(-0.1, 0.1)

    def lr(progress):
        rates.append(progress)
        return 0.1 * (1 - progress)

    trained = quick(
        line(), clusters(), epochs=2, batch_size=32, lr=lr, loss=loss, after_step=after_step
    )
    assert seen == [0, 0.25, 0.5, 0.75]
    assert after == [0.25, 0.5, 0.75, 1]
    assert rates[-4:] == seen
    assert trained.weight.abs().max() <= 0.1


def test_cross_entropy_averages_over_members():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = line(0), line(1)

        def forward(self, x):
            return torch.stack([self.a(x), self.b(x)])

    two, (x, y) = Two(), clusters()
    each = [nn.functional.cross_entropy(m(x), y) for m in (two.a, two.b)]
    torch.testing.assert_close(cross_entropy(two, x, y, 0.0), (each[0] + each[1]) / 2)


def test_a_last_batch_of_one_does_not_break_batch_norm():
    x, y = clusters(33)
    model = nn.Sequential(nn.BatchNorm1d(3).double(), line())
    trained = quick(model, (x, y), batch_size=16)
    assert trained[0].num_batches_tracked == 6  # two of three batches in each of three epochs


def test_frozen_parameters_stay():
    model = nn.Sequential(line(), nn.Linear(4, 4).double())
    model[0].requires_grad_(False)
    trained = quick(model, clusters())
    assert torch.equal(trained[0].weight, model[0].weight)
    assert not torch.equal(trained[1].weight, model[1].weight)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x, y: (x[:0], y[:0]), "empty"),
        (lambda x, y: (x, y[:-1]), "64 examples but y has 63"),
        (lambda x, y: (x.clone().fill_(torch.nan), y), "NaN or infinity"),
        (lambda x, y: (x.clone().fill_(torch.inf), y), "NaN or infinity"),
        (lambda x, y: (x, y + 1), r"labels must be in 0..3, but y holds 1..4"),
        (lambda x, y: (x, y - 1), r"labels must be in 0..3"),
    ],
)
def test_bad_data(spoil, message):
    with pytest.raises(ValueError, match=message):
        quick(line(), spoil(*clusters()))


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"batch_size": 1.5},
        {"epochs": float("inf")},
        {"epochs": float("nan")},
    ],
)
def test_bad_settings(bad):
    with pytest.raises(ValueError, match="at least 1"):
        quick(line(), clusters(), **bad)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ({"seed": None}, TypeError, "seed must be a number, not None"),
        ({"seed": -1}, ValueError, "seed must be a whole number from 0"),
        ({"epochs": True}, TypeError, "epochs must be a number"),
        ({"lr": "fast"}, TypeError, "lr must be a number"),
        ({"lr": -0.1}, ValueError, "lr must be in"),
        ({"lr": lambda progress: 0.5 - progress}, ValueError, "lr must be in"),
        ({"loss": lambda m, x, y, p: m(x)}, TypeError, "a tensor of one number"),
        ({"loss": lambda m, x, y, p: 0.0}, TypeError, "a tensor of one number"),
    ],
)
def test_settings_that_make_no_sense(bad, error, message):
    with pytest.raises(error, match=message):
        quick(line(), clusters(), **bad)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x, y: (x.numpy(), y), "must be a torch tensor, not ndarray"),
        (lambda x, y: (x.float(), y), "x is of torch.float32, but the network needs torch.float64"),
        (lambda x, y: ((10 * x).to(torch.uint8), y), "x is of torch.uint8"),
        (lambda x, y: (x, y.int()), "labels must be int64"),
        (lambda x, y: (x, y.numpy()), "labels must be a torch tensor, not ndarray"),
        (lambda x, y: (x, y[:, None]), r"labels must be int64 of shape \(N,\)"),
        (lambda x, y: (x, y.double()), r"labels must be int64 of shape \(N,\).* loss of their own"),
        (lambda x, y: (x, nn.functional.one_hot(y, 4)), r"labels must be int64 of shape \(N,\)"),
        (lambda x, y: (x, (y, y)), "labels must be a torch tensor, not tuple"),
        (lambda x, y: (x, y.tolist()), "labels must be a torch tensor, not list"),
        (lambda x, y: None, "data must be a pair of inputs and labels, not NoneType"),
        (lambda x, y: x[:2], "data must be a pair of inputs and labels, not Tensor"),
        (lambda x, y: (x, y, y), "data must be a pair of inputs and labels, not tuple"),
    ],
)
def test_data_of_a_wrong_type(spoil, message):
    with pytest.raises(TypeError, match=message):
        quick(line(), spoil(*clusters()))


def test_no_network():
    for model in (None, nn.Linear, line().state_dict()):
        with pytest.raises(TypeError, match="model must be a network"):
            quick(model, clusters())


def test_nothing_to_train():
    for model in (nn.ReLU(), line().requires_grad_(False)):
        with pytest.raises(ValueError, match="no parameters to train"):
            quick(model, clusters())


def test_a_batch_size_of_one_trains_where_there_is_no_batch_norm():
    trained = quick(line(), clusters(8), batch_size=1)
    assert not torch.equal(trained.weight, line().weight)


def test_a_network_that_draws_does_not_touch_the_callers_random_state():
    class Draws(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = line()

        def forward(self, x):
            return self.line(x) + 0.01 * torch.randn(1, dtype=x.dtype)

    model = Draws()
    state = torch.get_rng_state()
    quick(model, clusters())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_diverging_run_stops_and_says_where():
    with pytest.raises(FloatingPointError, match="in epoch"):
        quick(line(), clusters(), loss=lambda m, x, y, p: cross_entropy(m, x, y, p) / 0.0)


def test_soft_targets_reach_the_loss():
    x, y = clusters()
    soft = nn.functional.one_hot(y, 4).double()
    hard = quick(line(), (x, y))
    same = quick(line(), (x, soft), loss=lambda m, x, y, p: nn.functional.cross_entropy(m(x), y))
    torch.testing.assert_close(hard.weight, same.weight)


def test_whole_numbers_of_any_type_are_the_same_settings():
    expected = quick(line(), clusters(), epochs=2, batch_size=16).weight
    for two, sixteen in [(2.0, 16.0), (np.int64(2), np.int64(16))]:
        trained = quick(line(), clusters(), epochs=two, batch_size=sixteen, seed=np.int64(0))
        assert torch.equal(trained.weight, expected)


def test_data_that_ask_for_gradients_get_none():
    x, y = clusters()
    x.requires_grad_()
    soft = nn.functional.one_hot(y, 4) + x.sum() * 0  # a teacher's answers, with their graph
    trained = quick(line(), (x, soft), loss=lambda m, x, y, p: nn.functional.cross_entropy(m(x), y))
    assert x.grad is None
    assert torch.equal(trained.weight, quick(line(), clusters()).weight)


def test_the_data_stay_as_they_are():
    x, y = clusters()
    before = x.clone()
    quick(nn.Sequential(nn.ReLU(inplace=True), line()), (x, y))  # changes what it is given
    assert torch.equal(x, before)


# --- the order of examples -------------------------------------------------------------------


@pytest.mark.parametrize(("n", "batch_size"), [(10, 4), (9, 4), (3, 1), (1, 4), (5, 100)])
def test_batches_are_the_order_of_fit(n, batch_size):
    seen = []

    def loss(model, x, y, progress):
        seen.append(y[1])
        assert torch.equal(x, data[0][y[1]])
        return cross_entropy(model, x, y[0], progress)

    x, y = clusters(n)
    data = x, (y, torch.arange(n))
    quick(line(), data, batch_size=batch_size, loss=loss, seed=5, epochs=2)
    order = [rows for epoch in batches(n, batch_size, 5, epochs=2) for rows in epoch]
    assert len(order) == len(seen)
    assert all(map(torch.equal, order, seen))


def test_an_epoch_is_a_permutation_less_a_last_batch_of_one():
    first, second = (torch.cat(epoch) for epoch in batches(10, 4, seed=0, epochs=2))
    assert first.sort()[0].tolist() == second.sort()[0].tolist() == list(range(10))
    assert not torch.equal(first, second)
    (short,) = batches(9, 4, seed=0)
    assert [len(rows) for rows in short] == [4, 4]
    with pytest.raises(ValueError, match="batch_size must be a whole number of at least 1"):
        batches(10, 0, seed=0)
    with pytest.raises(TypeError, match="seed must be a number"):
        batches(10, 4, seed=None)


# --- targets, outputs, members ---------------------------------------------------------------


def test_targets_are_what_the_loss_makes_of_them():
    x, y = clusters()
    far = y * 1000 - 7  # int64 of shape (N,), but no labels
    target = (far.double(), y)

    def loss(model, x, y, progress):
        numbers, labels = y
        return (model(x).mean(1) - numbers / 1000).square().mean() + cross_entropy(
            model, x, labels, progress
        )

    def same(model, x, y, progress):
        return loss(model, x, (y.double(), (y + 7) // 1000), progress)

    first, second = (
        quick(line(), data, loss=f) for data, f in [((x, target), loss), ((x, far), same)]
    )
    assert torch.equal(first.weight, second.weight)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (lambda y: (y, y[:-1]), ValueError, "64 examples but y has 63"),
        (lambda y: (y, y.numpy()), TypeError, "labels must be a torch tensor, not ndarray"),
        (lambda y: torch.tensor(1.0), ValueError, "64 examples but y has no"),
        (lambda y: y[None], ValueError, "64 examples but y has 1"),
    ],
)
def test_targets_need_a_row_for_each_example(target, error, message):
    x, y = clusters()
    with pytest.raises(error, match=message):
        quick(line(), (x, target(y)), loss=lambda m, x, y, p: m(x).sum())


class TwoExits(nn.Module):
    """Both exits answer in training, the second one in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.first, self.second = line(0), line(1)

    def forward(self, x):
        return (self.first(x), self.second(x)) if self.training else self.second(x)


def test_a_network_with_exits_needs_a_loss_that_knows_them():
    def loss(model, x, y, progress):
        return sum(nn.functional.cross_entropy(logits, y) for logits in model(x))

    trained = quick(TwoExits(), clusters(), loss=loss)
    for exit_, seed in ((trained.first, 0), (trained.second, 1)):
        assert torch.equal(exit_.weight, quick(line(seed), clusters()).weight)
    with pytest.raises(TypeError, match=r"the default loss needs logits .* returned a tuple"):
        quick(TwoExits(), clusters())


def test_one_batch_of_images_for_each_member():
    members = [nn.Sequential(nn.Flatten(), line(seed)) for seed in (0, 1)]
    x, y = clusters()
    each = torch.stack([x, x.flip(0)]).view(2, 64, 1, 1, 3)
    ensemble = quick(networks.Ensemble(members), (each, y), optimizer=torch.optim.SGD, lr=0.1)
    for member, start, inputs in zip(ensemble.members, members, each, strict=True):
        alone = quick(start, (inputs, y), optimizer=torch.optim.SGD, lr=0.05)  # a mean over two
        torch.testing.assert_close(member[1].weight, alone[1].weight, rtol=0, atol=1e-14)


# --- weights that are computed ---------------------------------------------------------------


def test_a_pruned_network_is_refused_whatever_it_did_before():
    model = nn.Sequential(line())
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"'0' .* networks.plain\(model\) .*hold_zeros"):
            quick(model, clusters())
        with torch.no_grad():
            model(clusters()[0])  # a copy would succeed now
    resolved = networks.plain(model)
    trained = quick(resolved, clusters(), after_step=networks.hold_zeros(resolved))
    assert torch.equal(trained[0].weight == 0, resolved[0].weight == 0)
    assert (trained[0].weight == 0).sum() == 6


def test_a_parametrized_weight_is_trained_through_its_parametrization():
    class Normalized(nn.Module):
        def __init__(self):
            super().__init__()
            weight, self.bias = line().weight.detach(), nn.Parameter(line().bias.detach())
            self.size = nn.Parameter(weight.norm(dim=1, keepdim=True))
            self.direction = nn.Parameter(weight.clone())

        def forward(self, x):
            weight = self.size * self.direction / self.direction.norm(dim=1, keepdim=True)
            return nn.functional.linear(x, weight, self.bias)

    model, data = parametrizations.weight_norm(line()), clusters()
    before = quick(model, data)
    uncertainty.predict(model, data[0])
    after, by_hand = quick(model, data), quick(Normalized(), data)
    assert torch.equal(before.weight, after.weight)
    torch.testing.assert_close(before(data[0]), by_hand(data[0]), rtol=0, atol=1e-12)
    assert not torch.equal(before.weight, model.weight)


# --- the optimizer ---------------------------------------------------------------------------


@pytest.mark.parametrize("lr", [0.1, lambda progress: 0.1 * (1 - progress), lambda p: 0.1 * p])
def test_groups_of_the_optimizer_keep_the_ratios_of_their_rates(lr):
    made, seen = [], []

    def optimizer(parameters, lr):
        groups = [{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.25 * lr}]
        made.append(torch.optim.SGD(groups, lr=lr))
        return made[0]

    def after_step(model, progress):
        seen.append([group["lr"] for group in made[0].param_groups])

    quick(line(), clusters(), lr=lr, optimizer=optimizer, after_step=after_step)
    expected = [lr(i / 12) if callable(lr) else lr for i in range(12)]
    assert seen == [[rate, 0.25 * rate] for rate in expected]


def test_after_step_may_reset_the_moments():
    def after_step(model, progress, optimizer):
        for state in optimizer.state.values():
            for tensor in state.values():
                tensor.zero_()

    (x, y), model = clusters(), line()
    trained = quick(model, (x, y), batch_size=64, after_step=after_step, lr=0.1)
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    for _ in range(3):  # Adam's first step goes along g / (|g| + ε)
        error = ((x @ weight.T + bias).softmax(-1) - nn.functional.one_hot(y, 4)) / len(x)
        for tensor, g in ((weight, error.T @ x), (bias, error.sum(0))):
            tensor -= 0.1 * g / (g.abs() + 1e-8)
    torch.testing.assert_close(trained.weight, weight, rtol=0, atol=1e-10)
    torch.testing.assert_close(trained.bias, bias, rtol=0, atol=1e-10)


def test_a_third_argument_with_a_default_is_left_alone():
    given = []

    def after_step(model, progress, scale=0.5, *more, **named):
        given.append((scale, more, named))

    quick(line(), clusters(), epochs=1, after_step=after_step)
    assert given == [(0.5, (), {})] * 4


def test_weights_that_overflow_in_the_last_step_are_no_result():
    with pytest.raises(FloatingPointError, match="after the last step"):
        quick(line(), clusters(), epochs=1, batch_size=64, lr=float("inf"))


def test_weights_that_after_step_spoils_are_no_result():
    def after_step(model, progress):
        model.bias[0] = torch.nan if progress == 1 else 0

    with pytest.raises(FloatingPointError, match="after the last step"):
        quick(line(), clusters(), after_step=after_step)


# --- threads ---------------------------------------------------------------------------------


def test_threads_train_and_predict_as_if_they_were_alone():
    model = ensembles.mc_dropout(nn.Sequential(nn.Dropout(0.5), line()))
    x, y = clusters()
    results = {}

    def train(i):
        results[i] = quick(model, (x, y))[1].weight

    def draw(i):
        results[i] = uncertainty.predict(model, x, samples=5, seed=3)

    jobs = [(train, 0), (draw, 1)] * 3
    expected = {}
    for job, i in jobs[:2]:
        job(i)
        expected[job] = results[i]
    threads = [threading.Thread(target=job, args=(k,)) for k, (job, _) in enumerate(jobs)]
    state = torch.get_rng_state()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(results[k], expected[job]) for k, (job, _) in enumerate(jobs))
    assert torch.equal(torch.get_rng_state(), state)
    assert model[0].sampling is False
    assert all(module.training for module in model.modules())
