import math
import threading

import numpy as np
import pytest
import torch
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss
from torch import nn

from uecompress import networks
from uecompress import uncertainty as u


def random_log_probs(m=3, n=50, c=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(m, n, c, generator=generator, dtype=torch.float64).log_softmax(-1)


@pytest.fixture
def log_probs():
    return random_log_probs()


@pytest.fixture
def y():
    return torch.arange(50) % 4


# --- metrics against other libraries -----------------------------------------------------------


def test_metrics_agree_with_scikit_learn_and_scipy(log_probs, y):
    p = log_probs.exp().mean(0).numpy()
    assert u.accuracy(log_probs, y) == accuracy_score(y, p.argmax(-1))
    assert u.nll(log_probs, y) == pytest.approx(log_loss(y, p), abs=1e-12)
    assert u.brier(log_probs, y) == pytest.approx(brier_score_loss(y, p), abs=1e-12)
    np.testing.assert_allclose(u.entropy(log_probs), scipy_entropy(p, axis=-1), atol=1e-12)


def test_mutual_information_is_the_mean_divergence_of_the_members(log_probs):
    p, mean = log_probs.exp().numpy(), log_probs.exp().mean(0).numpy()
    divergence = np.mean([scipy_entropy(member, mean, axis=-1) for member in p], axis=0)
    np.testing.assert_allclose(u.mutual_information(log_probs), divergence, atol=1e-12)


def test_probabilities_are_averaged_not_logits():
    log_probs = torch.tensor([[[0.9, 0.1]], [[0.2, 0.8]]]).log()
    torch.testing.assert_close(u.mean_log_probs(log_probs).exp(), torch.tensor([[0.55, 0.45]]))
    assert u.max_probability_score(log_probs).item() == pytest.approx(0.45)


def test_closed_forms():
    uniform = torch.full((2, 3, 10), 0.1).log()
    y = torch.tensor([0, 1, 2])
    assert u.nll(uniform, y) == pytest.approx(math.log(10))
    assert u.brier(uniform, y) == pytest.approx(0.9**2 + 9 * 0.1**2)
    np.testing.assert_allclose(u.entropy(uniform), math.log(10), rtol=1e-6)
    np.testing.assert_allclose(u.mutual_information(uniform), 0, atol=1e-6)
    opposed = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]).log()  # two members, both certain
    assert u.mutual_information(opposed).item() == pytest.approx(math.log(2))
    assert u.expected_entropy(opposed).item() == 0


def test_member_order_and_batches_do_not_matter(log_probs, y):
    turned = log_probs[[2, 0, 1]]
    for metric in (u.accuracy, u.nll, u.brier):
        assert metric(turned, y) == pytest.approx(metric(log_probs, y), abs=1e-14)
    for score in (u.entropy, u.expected_entropy, u.mutual_information, u.max_probability_score):
        torch.testing.assert_close(score(turned), score(log_probs))
        halves = torch.cat([score(log_probs[:, :20]), score(log_probs[:, 20:])])
        torch.testing.assert_close(score(log_probs), halves, rtol=0, atol=0)


def test_certain_predictions_are_safe():
    certain = torch.tensor([[[1.0, 0.0, 0.0]]]).log()  # holds −inf
    assert u.nll(certain, torch.tensor([0])) == 0
    assert u.nll(certain, torch.tensor([1])) == math.inf
    assert u.brier(certain, torch.tensor([1])) == 2
    assert u.entropy(certain).item() == 0
    assert u.mutual_information(certain).item() == 0


def test_one_example_one_class():
    alone = torch.zeros(1, 1, 1)
    assert u.accuracy(alone, torch.tensor([0])) == 1
    assert u.nll(alone, torch.tensor([0])) == 0
    assert u.entropy(alone).item() == 0


@pytest.mark.parametrize("members", [1, 3])
def test_the_max_probability_score_of_the_most_certain_has_an_order(members):
    gaps = torch.tensor([0.5, 10, 36, 37, 40, 45, 50, 300, 700], dtype=torch.double)
    logits = torch.stack([gaps, torch.zeros_like(gaps), -gaps], -1)
    log_probs = logits.log_softmax(-1).expand(members, -1, -1)
    expected = (torch.exp(-gaps) + torch.exp(-2 * gaps)) * log_probs[0, :, 0].exp()
    np.testing.assert_allclose(u.max_probability_score(log_probs), expected, rtol=1e-12)
    scores = u.max_probability_score(log_probs)
    assert u.auroc(scores[5:], scores[2:5]) == 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda lp: lp[0], "non-empty"),
        (lambda lp: lp[:, :0], "non-empty"),
        (lambda lp: lp + 1, "sum to 1"),
        (lambda lp: lp * torch.nan, "sum to 1"),
    ],
)
def test_bad_log_probs(log_probs, y, spoil, message):
    with pytest.raises(ValueError, match=message):
        u.nll(spoil(log_probs), y)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda y: y[:-1], r"shape \(50,\)"),
        (lambda y: y + 1, r"0\.\.3"),
        (lambda y: y - 1, r"0\.\.3"),
        (lambda y: y.float(), "whole numbers"),
    ],
)
def test_bad_labels(log_probs, y, bad, message):
    with pytest.raises(ValueError, match=message):
        u.accuracy(log_probs, bad(y))


@pytest.mark.parametrize(
    "metric", [u.accuracy, u.nll, u.brier, lambda log_probs, _: u.entropy(log_probs)]
)
def test_what_is_no_real_number_is_refused(metric, log_probs, y):
    with pytest.raises(TypeError, match=r"log_probs must be real numbers, not torch\.complex64"):
        metric(log_probs.cfloat(), y)
    with pytest.raises(TypeError, match="log_probs is a masked array: choose the entries"):
        metric(np.ma.array(log_probs.numpy(), mask=False), y)
    with pytest.raises(TypeError, match="log_probs must be numbers, not str"):
        metric("log_probs", y)


@pytest.mark.parametrize("metric", [u.accuracy, u.nll, u.brier])
def test_labels_that_are_no_real_numbers_are_refused(metric, log_probs, y):
    with pytest.raises(TypeError, match=r"y must be real numbers, not torch\.complex64"):
        metric(log_probs, y.cfloat())
    with pytest.raises(TypeError, match="y is a masked array"):
        metric(log_probs, np.ma.array(y.numpy(), mask=False))
    assert metric(log_probs.requires_grad_(), y.tolist()) == metric(log_probs, y)


# --- out of distribution -----------------------------------------------------------------------


def test_auroc_is_the_chance_that_a_foreign_example_scores_higher():
    rng = np.random.default_rng(0)
    inside, outside = rng.integers(0, 5, 40), rng.integers(2, 7, 30)  # with ties
    wins = (outside[:, None] > inside).mean() + 0.5 * (outside[:, None] == inside).mean()
    assert u.auroc(inside, outside) == pytest.approx(wins, abs=1e-12)
    assert u.auroc(outside, inside) == pytest.approx(1 - wins, abs=1e-12)
    assert u.auroc(torch.tensor([0.1]), torch.tensor([0.2])) == 1


@pytest.mark.parametrize("bad", [[], [[0.1]], [math.nan]])
def test_bad_scores(bad):
    with pytest.raises(ValueError, match="out_scores"):
        u.auroc([0.1], bad)


# --- predict -----------------------------------------------------------------------------------


class Noisy(nn.Module):
    """A layer with one random weight: what a variational layer looks like to ``predict``."""

    def __init__(self):
        super().__init__()
        self.sampling = False
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return x * self.weight * (1 + self.sampling * torch.randn(()))


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 4)).double()


@pytest.fixture
def x():
    return torch.randn(25, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_predict_gives_log_softmax_in_evaluation_mode(x):
    model = network().train()
    model[1].eval()
    statistics = model[0].running_mean.clone()
    log_probs = u.predict(model, x, batch_size=7)
    expected = model[2](x / (1 + 1e-5) ** 0.5).log_softmax(-1)[None]
    torch.testing.assert_close(log_probs, expected.detach())
    assert [m.training for m in model.modules()] == [True, True, False, True]  # as before
    assert torch.equal(model[0].running_mean, statistics)
    assert not log_probs.requires_grad


def test_predict_does_not_depend_on_the_batch_size(x):
    whole = u.predict(network(), x)
    for batch_size in (1, 4):
        parts = u.predict(network(), x, batch_size=batch_size)
        torch.testing.assert_close(whole, parts, rtol=0, atol=1e-14)


def test_predict_an_ensemble(x):
    first, second = network(), nn.Linear(3, 4).double()

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.members = nn.ModuleList([first, second])

        def forward(self, x):
            return torch.stack([member(x) for member in self.members])

    log_probs = u.predict(Pair(), x, batch_size=10)
    assert log_probs.shape == (2, 25, 4)
    torch.testing.assert_close(log_probs[1:], u.predict(second, x))


def test_samples_are_rows_and_follow_the_seed(x):
    model = nn.Sequential(network(), Noisy().double())
    mean = u.predict(model, x)
    state = torch.get_rng_state()
    drawn = u.predict(model, x, samples=3, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert drawn.shape == (3, 25, 4)
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn, u.predict(model, x, samples=3, seed=1))
    assert not torch.equal(drawn, u.predict(model, x, samples=3, seed=2))
    torch.testing.assert_close(mean, u.predict(network(), x))
    assert model[1].sampling is False


def test_samples_of_an_ensemble_put_the_member_slowest(x):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.noisy = Noisy().double()

        def forward(self, x):
            quiet = torch.zeros(len(x), 3, dtype=x.dtype)
            return torch.stack([quiet, self.noisy(x)])  # the first member has no noise

    rows = u.predict(Pair(), x, samples=2)
    uniform = torch.full((25, 3), math.log(1 / 3), dtype=torch.float64)
    torch.testing.assert_close(rows[0], uniform)
    torch.testing.assert_close(rows[1], uniform)
    assert not torch.equal(rows[2], rows[3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"samples": 2}, "no random weights"), ({"samples": 0}, "at least 1")],
)
def test_bad_samples(x, arguments, message):
    with pytest.raises(ValueError, match=message):
        u.predict(network(), x, **arguments)


@pytest.mark.parametrize(
    ("spoil", "message"), [(lambda x: x[:0], "empty"), (lambda x: x * torch.nan, "NaN")]
)
def test_bad_inputs(x, spoil, message):
    with pytest.raises(ValueError, match=message):
        u.predict(network(), spoil(x))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x.numpy(), "must be a torch tensor"),
        (lambda x: x.float(), "the network needs torch.float64"),
    ],
)
def test_inputs_of_a_wrong_type(x, spoil, message):
    with pytest.raises(TypeError, match=message):
        u.predict(network(), spoil(x))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"batch_size": 0}, ValueError),
        ({"batch_size": 1.5}, ValueError),
        ({"batch_size": None}, TypeError),
        ({"seed": None}, TypeError),
        ({"seed": -1}, ValueError),
    ],
)
def test_bad_numbers(x, arguments, error):
    with pytest.raises(error, match=f"{min(arguments)} must be"):
        u.predict(network(), x, **arguments)


def test_numbers_of_numpy_are_the_same_settings(x):
    model = nn.Sequential(network(), Noisy().double())
    expected = u.predict(model, x, samples=2, seed=1, batch_size=5)
    numbers = {"samples": np.int64(2), "seed": np.int64(1), "batch_size": np.float64(5)}
    assert torch.equal(u.predict(model, x, **numbers), expected)


def test_a_network_that_returns_a_tuple_is_refused(x):
    class Two(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(ValueError, match="returned tuple for 25 examples"):
        u.predict(Two(), x)


def test_threads_predict_as_if_they_were_alone(x):
    model = nn.Sequential(network(), Noisy().double())
    expected, drawn = u.predict(model, x, samples=20, batch_size=2), {}

    def draw(i):
        drawn[i] = u.predict(model, x, samples=20, batch_size=2)

    threads = [threading.Thread(target=draw, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(drawn[i], expected) for i in range(4))
    assert model[1].sampling is False
    assert all(module.training for module in model.modules())


def test_very_confident_predictions_still_have_an_order():
    model = nn.Identity()  # the inputs are the logits
    logits = torch.tensor([[0.0, -18.0], [0.0, -17.6]])  # both are certain in float32
    scores = u.max_probability_score(u.predict(model, logits))
    assert 0 < scores[0] < scores[1]


def test_a_network_that_returns_nan_is_refused(x):
    model = network()
    model[2].weight.data.fill_(torch.nan)
    with pytest.raises(ValueError, match="returned NaN"):
        u.predict(model, x)


@pytest.mark.parametrize(
    ("network", "shape", "returned"),
    [
        (nn.Linear(6, 3), (5, 4, 6), r"\(5, 4, 3\) for 5 examples"),  # 5 members of 4 examples?
        (nn.Linear(6, 3), (5, 5, 2, 6), r"\(5, 5, 2, 3\) for 5 examples"),
        (nn.Flatten(0, 1), (5, 2, 6), r"\(1, 10, 6\) for 5 examples"),
    ],
)
def test_a_network_that_returns_no_logits_for_each_example_is_refused(network, shape, returned):
    with pytest.raises(ValueError, match=returned):
        u.predict(network, torch.ones(shape))


def test_an_ensemble_may_be_given_a_batch_for_each_member():
    ensemble = networks.Ensemble([networks.lenet5(seed=seed) for seed in range(2)])
    x = torch.rand(2, 3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for batch_size in (1000, 2, 1):
        log_probs = u.predict(ensemble, x, batch_size=batch_size)
        for member, batch, each in zip(ensemble.members, x, log_probs, strict=True):
            assert torch.equal(u.predict(member, batch, batch_size=batch_size)[0], each)
    with pytest.raises(ValueError, match="empty"):
        u.predict(ensemble, x[:, :0])
