import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import auc, average_precision_score, roc_curve

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
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        function(log_probs, y[:2], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="sum to 1"):
        function(log_probs + 1, y, [0.1, 0.2, 0.3])
