import itertools
import math

import numpy as np
import pytest
import scipy.special
import torch
from sklearn.covariance import EmpiricalCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import auc, average_precision_score, roc_curve
from torch import nn

from uecompress import bayes, data, ensembles, networks, training
from uecompress import uncertainty as u


def scores(n, k, seed=0, levels=None):
    """Scores of n familiar and k foreign examples; ``levels`` rounds them, which makes ties."""
    rng = np.random.default_rng(seed)
    inside, outside = rng.normal(0, 1, n), rng.normal(1, 1, k)
    if levels:
        return np.round(inside * levels), np.round(outside * levels)
    return inside, outside


# --- foreign against familiar ------------------------------------------------------------------


@pytest.mark.parametrize("levels", [None, 1, 3])
@pytest.mark.parametrize("k", [1, 19, 20, 21, 100, 137])
def test_aupr_and_fpr95_agree_with_scikit_learn(k, levels):
    inside, outside = scores(150, k, seed=k, levels=levels)
    foreign = np.repeat([0, 1], [150, k])
    together = np.concatenate([inside, outside])
    expected = average_precision_score(foreign, together)
    assert u.aupr(inside, outside) == pytest.approx(expected, abs=1e-12)
    fpr, tpr, _ = roc_curve(foreign, together, drop_intermediate=False)
    assert u.fpr95(inside, outside) == pytest.approx(fpr[tpr >= 0.95].min(), abs=1e-12)
    assert u.auroc(inside, outside) == pytest.approx(auc(fpr, tpr), abs=1e-12)


def test_by_hand():
    inside, outside = [0.1, 0.4, 0.6], [0.5, 0.8]
    # from the top: 0.8 is foreign (precision 1), 0.6 is not, 0.5 is (precision 2/3)
    assert u.aupr(inside, outside) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert u.fpr95(inside, outside) == pytest.approx(1 / 3)  # threshold 0.5 flags 0.6
    assert u.fpr95([0.5, 0.4], [0.5]) == 0.5  # a tie is flagged
    assert u.fpr95(torch.tensor([0.0]), torch.tensor([1.0])) == 0
    assert u.aupr(torch.tensor([0.0]), torch.tensor([1.0])) == 1


def test_five_per_cent_may_be_missed_and_no_more():
    inside = np.array([0.0])
    assert u.fpr95(inside, np.r_[-1.0, np.ones(19)]) == 0  # 1 of 20 below
    assert u.fpr95(inside, np.r_[-1.0, np.ones(18)]) == 1  # 1 of 19 below
    assert u.fpr95(inside, np.r_[-np.ones(2), np.ones(38)]) == 0
    assert u.fpr95(inside, np.r_[-np.ones(3), np.ones(38)]) == 1


def test_a_score_that_knows_nothing():
    same = np.zeros(30), np.zeros(10)
    assert u.auroc(*same) == 0.5
    assert u.aupr(*same) == pytest.approx(0.25)
    assert u.fpr95(*same) == 1


def test_only_the_order_of_scores_matters():
    inside, outside = scores(60, 40)
    order = np.random.default_rng(1).permutation
    for metric in (u.auroc, u.aupr, u.fpr95):
        expected = metric(inside, outside)
        assert metric(np.exp(inside), np.exp(outside)) == pytest.approx(expected, abs=1e-14)
        assert metric(order(inside), order(outside)) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("bad", [[], [[0.1]], [math.nan]])
@pytest.mark.parametrize("metric", [u.aupr, u.fpr95])
def test_bad_scores(metric, bad):
    with pytest.raises(ValueError, match="out_scores"):
        metric([0.1], bad)
    with pytest.raises(ValueError, match="in_scores"):
        metric(bad, [0.1])


METRICS = [u.auroc, u.aupr, u.fpr95]


@pytest.mark.parametrize("metric", METRICS)
def test_scores_of_other_kinds(metric):
    inside, outside = (torch.tensor(each) for each in scores(20, 10))
    expected = metric(inside, outside)
    assert metric(inside.requires_grad_(), outside) == expected
    assert metric(inside.tolist(), outside.numpy()) == expected
    assert metric(torch.arange(5), np.arange(5, dtype=np.uint8)) == metric(range(5), range(5))
    with pytest.raises(TypeError, match=r"in_scores must be real numbers, not torch\.complex64"):
        metric(inside.cfloat(), outside)
    with pytest.raises(TypeError, match="out_scores is a masked array"):
        metric(inside, np.ma.masked_invalid([0.1, math.nan]))
    with pytest.raises(TypeError, match="out_scores must be numbers, not NoneType"):
        metric(inside, None)


# --- risk and coverage -------------------------------------------------------------------------


def guesses(correct):
    """Predictions of class 0 and the labels that make them right or wrong."""
    log_probs = torch.tensor([0.75, 0.25]).log().expand(1, len(correct), 2)
    return log_probs, 1 - torch.tensor(correct)


def test_risk_by_hand():
    log_probs, y = guesses([1, 0, 1, 0])
    coverage, risk = u.risk_coverage(log_probs, y, [0.1, 0.4, 0.2, 0.3])
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose(risk, [0, 0, 1 / 3, 1 / 2])
    assert u.aurc(log_probs, y, [0.1, 0.4, 0.2, 0.3]) == pytest.approx((1 / 3 + 1 / 2) / 4)
    _, worst = u.risk_coverage(log_probs, y, [0.3, 0.1, 0.4, 0.2])
    np.testing.assert_allclose(worst, [1, 1, 2 / 3, 1 / 2])


def test_ties_count_with_the_mean_over_all_orders():
    correct, uncertainty = [1, 0, 0, 1, 0], np.array([0.2, 0.2, 0.1, 0.2, 0.5])
    expected = u.risk_coverage(*guesses(correct), uncertainty)[1]
    orders = [
        u.risk_coverage(*guesses(correct), uncertainty + np.array(order) / 100)[1].numpy()
        for order in itertools.permutations(range(5))
    ]
    np.testing.assert_allclose(expected, np.mean(orders, 0))
    np.testing.assert_allclose(expected, [1, 2 / 3, 5 / 9, 1 / 2, 3 / 5])
    np.testing.assert_allclose(u.risk_coverage(*guesses(correct), np.zeros(5))[1], 0.6)


def test_risk_is_the_mean_error_of_the_most_certain():
    rng = np.random.default_rng(0)
    correct, uncertainty = rng.integers(0, 2, 50), rng.random(50)
    log_probs, y = guesses(correct)
    _, risk = u.risk_coverage(log_probs, y, uncertainty)
    wrong = (1 - correct)[np.argsort(uncertainty)]
    np.testing.assert_allclose(risk, [wrong[: k + 1].mean() for k in range(50)])
    assert risk[-1].item() == pytest.approx(1 - u.accuracy(log_probs, y))
    order = rng.permutation(50)
    turned = u.aurc(log_probs[:, order], y[order], uncertainty[order])
    assert turned == pytest.approx(u.aurc(log_probs, y, uncertainty), abs=1e-14)
    assert turned == pytest.approx(risk.mean().item(), abs=1e-14)


def test_risk_reads_the_mean_of_the_members():
    p = torch.tensor([[[0.9, 0.1], [0.4, 0.6]], [[0.2, 0.8], [0.3, 0.7]]])  # means .55 and .35
    y, uncertainty = torch.tensor([0, 0]), [0.1, 0.2]
    for log_probs in (p.log(), p[[1, 0]].log()):
        assert u.risk_coverage(log_probs, y, uncertainty)[1].tolist() == [0, 0.5]


def test_risk_of_one_certain_example():
    certain = torch.tensor([[[1.0, 0.0]]]).log()  # holds −inf
    assert u.aurc(certain, torch.tensor([0]), u.entropy(certain)) == 0
    assert u.aurc(certain, torch.tensor([1]), [math.inf]) == 1
    assert u.aurc(torch.zeros(1, 1, 1), torch.tensor([0]), [0.0]) == 0


@pytest.mark.parametrize("function", [u.risk_coverage, u.aurc])
def test_bad_input_of_risk(function):
    log_probs, y = guesses([1, 0, 1])
    for bad, message in (
        ([0.1, 0.2], r"shape \(3,\), not \(2,\)"),
        ([0.1, 0.2, math.nan], "scores contains NaN"),
        ([], "non-empty"),
    ):
        with pytest.raises(ValueError, match=message):
            function(log_probs, y, bad)
    with pytest.raises(TypeError, match="scores must be real numbers"):
        function(log_probs, y, torch.zeros(3, dtype=torch.complex64))
    with pytest.raises(TypeError, match="scores is a masked array"):
        function(log_probs, y, np.ma.array([0.1, 0.2, 0.3], mask=[1, 0, 0]))
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        function(log_probs, y[:2], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="sum to 1"):
        function(log_probs + 1, y, [0.1, 0.2, 0.3])


# --- energy ------------------------------------------------------------------------------------


class Logits(nn.Module):
    """Answers with the inputs, or with its members' shares of them."""

    def __init__(self, members=None):
        super().__init__()
        self.members = members

    def forward(self, x):
        return x if self.members is None else torch.stack([m * x for m in self.members])


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.double)


def test_energy_is_its_equation():
    logits = 5 * normal(30, 4)
    expected = -np.log(np.exp(logits.numpy()).sum(-1))
    np.testing.assert_allclose(u.energy(Logits(), logits), expected, rtol=1e-13)
    np.testing.assert_allclose(u.energy(Logits(), logits, batch_size=7), expected, rtol=1e-13)
    members = u.energy(Logits((1, 2, 0.5)), logits)  # the mean of their energies
    each = [scipy.special.logsumexp(m * logits.numpy(), -1) for m in (1, 2, 0.5)]
    np.testing.assert_allclose(members, -np.mean(each, 0), rtol=1e-13)


def test_energy_sees_what_the_prediction_does_not():
    logits = normal(30, 4)
    moved = logits + torch.arange(30.0)[:, None]
    torch.testing.assert_close(u.predict(Logits(), moved), u.predict(Logits(), logits))
    torch.testing.assert_close(
        u.energy(Logits(), moved), u.energy(Logits(), logits) - torch.arange(30.0).double()
    )


@pytest.mark.parametrize("size", [-1e4, -50.0, 50.0, 1e4])
def test_energy_of_large_logits(size):
    logits = size + normal(10, 3)
    expected = -scipy.special.logsumexp(logits.numpy(), -1)
    np.testing.assert_allclose(u.energy(Logits(), logits), expected, rtol=1e-13)


def test_energy_of_samples_follows_the_seed():
    model = ensembles.mc_dropout(networks.mlp(width=20))
    x = normal(5, 1, 28, 28).float()
    first = u.energy(model, x, samples=3, seed=1)
    assert torch.equal(first, u.energy(model, x, samples=3, seed=1))
    assert not torch.equal(first, u.energy(model, x, samples=3, seed=2))
    with pytest.raises(ValueError, match="no random weights"):
        u.energy(networks.mlp(), x, samples=3)
    with pytest.raises(TypeError, match="must be a torch tensor"):
        u.energy(networks.mlp(), x.numpy())


# --- distance of features ----------------------------------------------------------------------


def clusters(n=200, d=6, classes=4, seed=0):
    """Features around a mean of their class, with one covariance for all."""
    y = torch.arange(n) % classes
    return 3 * normal(classes, d, seed=seed)[y] + normal(n, d, seed=seed + 1) @ normal(d, d), y


def test_mahalanobis_agrees_with_scikit_learn():
    train, y = clusters()
    test = 4 * normal(50, 6, seed=5)
    means = np.stack([train[y == c].numpy().mean(0) for c in range(4)])
    around = EmpiricalCovariance(assume_centered=True).fit(train.numpy() - means[y])
    expected = np.min([around.mahalanobis(test.numpy() - mean) for mean in means], 0)
    np.testing.assert_allclose(u.mahalanobis(train, y, test), expected, rtol=1e-9)
    lda = LinearDiscriminantAnalysis(solver="lsqr", store_covariance=True).fit(train, y)
    np.testing.assert_allclose(lda.covariance_, around.covariance_, atol=1e-12)


def test_mahalanobis_does_not_depend_on_the_basis_or_the_names_of_classes():
    train, y = clusters()
    test, turn = normal(20, 6, seed=5), normal(6, 6, seed=6)
    expected = u.mahalanobis(train, y, test)
    torch.testing.assert_close(u.mahalanobis(train @ turn + 1, y, test @ turn + 1), expected)
    torch.testing.assert_close(u.mahalanobis(train, 7 * y - 3, test), expected)
    assert u.mahalanobis(train, y, train[y == 0].mean(0)[None]).item() == pytest.approx(0, abs=1e-9)


def test_directions_without_variation_are_left_out():
    train, y = clusters()
    test = normal(20, 6, seed=5)
    more = torch.cat([train, train[:, :1], torch.full((200, 1), 0.1, dtype=torch.double)], 1)
    wide = torch.cat([test, test[:, :1], normal(20, 1, seed=6)], 1)
    precision = np.linalg.pinv(
        np.cov((more - _means(more, y)).numpy().T, bias=True), hermitian=True
    )
    gaps = (wide[:, None] - _means(more, y)[:4]).numpy()  # classes 0, 1, 2, 3
    expected = np.einsum("ncd,de,nce->nc", gaps, precision, gaps).min(1)
    np.testing.assert_allclose(u.mahalanobis(more, y, wide), expected, rtol=1e-8)
    with pytest.raises(ValueError, match="do not vary within any class"):
        u.mahalanobis(torch.full((6, 3), 0.1), torch.tensor([0, 0, 0, 1, 1, 1]), torch.ones(1, 3))


def _means(features, y):
    return torch.stack([features[y == c].mean(0) for c in range(4)])[y]


def test_features_are_what_the_last_layer_sees():
    x = normal(25, 1, 28, 28).float()
    mlp = networks.mlp(width=20).eval()
    expected = mlp[:-1](x).detach().double()
    torch.testing.assert_close(u.features(mlp, x), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(u.features(mlp, x, batch_size=25), u.features(mlp, x))
    torch.testing.assert_close(u.features(mlp, x, batch_size=4), expected, rtol=1e-5, atol=1e-6)
    linear = nn.Linear(784, 10)
    assert torch.equal(u.features(nn.Sequential(nn.Flatten(), linear), x), x.flatten(1).double())
    assert torch.equal(u.features(linear, x.flatten(1)), x.flatten(1).double())
    shared = bayes.variational(networks.mlp(width=20), "mean_field")
    assert u.features(shared, x).shape == (25, 20)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in mlp.modules())


def test_features_of_what_has_none_are_refused():
    x = normal(4, 1, 28, 28).float()
    pair = networks.Ensemble([networks.mlp(width=8), networks.mlp(width=8)])
    with pytest.raises(ValueError, match="an ensemble, or a network whose examples take different"):
        u.features(pair, x)
    assert not pair._forward_hooks
    with pytest.raises(ValueError, match="no layer that holds tensors"):
        u.features(nn.Flatten(), x)


def test_bad_input_of_mahalanobis():
    train, y = clusters(20)
    for arguments, message in (
        ((train, y[:5], train), "y must hold 20 whole numbers"),
        ((train, y.double(), train), "y must hold 20 whole numbers"),
        ((train, y, train[:, :5]), "6 train features, but 5 test features"),
        ((train, y, train[:0]), "test_features must be a non-empty"),
        ((train * math.nan, y, train), "train_features contains NaN"),
        ((train[0], y, train), "train_features must be a non-empty"),
    ):
        with pytest.raises(ValueError, match=message):
            u.mahalanobis(*arguments)
    with pytest.raises(TypeError, match="masked array"):
        u.mahalanobis(np.ma.array(train.numpy(), mask=False), y, train)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noise_is_far_from_the_training_data(seed):
    x, y = data.load("digits", "train")
    start = networks.mlp(width=32, depth=2, seed=seed)
    model = training.fit(start, (x, y), epochs=3, batch_size=64, lr=3e-3, seed=seed, progress=False)
    test, noise = data.load("digits", "test")[0], normal(200, 1, 28, 28, seed=9).float().abs()
    seen = u.features(model, x)
    distances = [u.mahalanobis(seen, y, u.features(model, each)) for each in (test, noise)]
    assert u.auroc(*distances) > 0.95
