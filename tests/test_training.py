import copy

import numpy as np
import pytest
import torch
from torch import nn

from uecompress.training import cross_entropy, fit


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
    ("spoil", "message"),
    [
        (lambda x, y: (x.numpy(), y), "must be a torch tensor, not ndarray"),
        (lambda x, y: (x.float(), y), "x is of torch.float32, but the network needs torch.float64"),
        (lambda x, y: ((10 * x).to(torch.uint8), y), "x is of torch.uint8"),
        (lambda x, y: (x, y.int()), "labels must be int64"),
        (lambda x, y: (x, y.numpy()), "labels must be a torch tensor, not ndarray"),
        (lambda x, y: (x, y[:, None]), r"labels must be int64 of shape \(N,\)"),
    ],
)
def test_data_of_a_wrong_type(spoil, message):
    with pytest.raises(TypeError, match=message):
        quick(line(), spoil(*clusters()))


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
        trained = quick(line(), clusters(), epochs=two, batch_size=sixteen)
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
