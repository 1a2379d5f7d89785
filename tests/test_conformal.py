"""Split-conformal sets: the rank is exact, the promise is kept, and the columns of a scorecard."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from uecompress import uncertainty as u


def problem(n, seed, classes=5, over=1.0):
    """Predictions and labels drawn from them; ``over`` > 1 makes the predictions overconfident."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, classes, generator=generator, dtype=torch.double)
    y = logits.softmax(-1).multinomial(1, generator=generator)[:, 0]
    return (over * logits).log_softmax(-1)[None], y


def scored(*scores):
    """Two-class predictions whose labels, class 0, have these scores −log p."""
    p = torch.tensor(scores, dtype=torch.double).neg().exp()
    return torch.stack([p, 1 - p], -1).log()[None], torch.zeros(len(p), dtype=torch.long)


def test_the_threshold_by_hand():
    log_probs, y = scored(0.9, 0.1, 0.5, 0.3, 0.7, 0.2, 0.6, 0.4, 0.8)  # n + 1 = 10
    for alpha, expected in ((0.1, 0.9), (0.11, 0.9), (0.2, 0.8), (0.7, 0.3), (0.9, 0.1)):
        assert u.conformal_quantile(log_probs, y, alpha) == pytest.approx(expected, rel=1e-12)
    assert u.conformal_quantile(log_probs, y, 0.05) == math.inf  # the tenth of nine
    assert u.conformal_quantile(log_probs, y) == u.conformal_quantile(log_probs, y, 0.1)


@pytest.mark.parametrize("n", [9, 10, 57, 199, 999])
def test_the_rank_is_exact(n):
    log_probs, y = scored(*np.linspace(0.001, 0.6, n))
    scores = -log_probs[0, :, 0].numpy()
    for percent in range(1, 100):
        rank = -(-(n + 1) * (100 - percent) // 100)  # in whole numbers
        expected = math.inf if rank > n else np.sort(scores)[rank - 1]
        assert u.conformal_quantile(log_probs, y, percent / 100) == expected, percent


def test_sets_by_hand():
    p = torch.tensor([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25], [0.34, 0.33, 0.33]]).double()
    sets = u.prediction_sets(p.log()[None], -math.log(0.25) + 1e-12)
    assert sets.tolist() == [[True, False, False], [True, True, True], [True, True, True]]
    assert u.coverage(sets, torch.tensor([1, 1, 2])) == pytest.approx(2 / 3)
    assert u.mean_set_size(sets) == pytest.approx(7 / 3)
    assert u.mean_set_size(u.prediction_sets(p.log()[None], math.inf)) == 3
    assert u.mean_set_size(u.prediction_sets(p.log()[None], 0.1)) == 0  # sets may be empty
    pair = torch.tensor([[[0.9, 0.1]], [[0.3, 0.7]]]).double().log()  # the mean is 0.6, 0.4
    assert u.prediction_sets(pair, -math.log(0.5)).tolist() == [[True, False]]


def test_a_class_that_is_impossible_is_in_the_sets_that_hold_everything_only():
    certain = torch.tensor([[[1.0, 0.0]]]).log()  # holds −inf
    assert u.prediction_sets(certain, 1000).tolist() == [[True, False]]
    assert u.prediction_sets(certain, math.inf).tolist() == [[True, True]]
    assert u.conformal_quantile(certain.expand(1, 9, 2), torch.ones(9).long()) == math.inf


@pytest.mark.parametrize("over", [0.3, 1.0, 4.0])
@pytest.mark.parametrize(("n", "alpha"), [(19, 0.1), (49, 0.3)])
def test_sets_hold_the_label_as_often_as_promised(n, alpha, over):
    held, runs = [], 400
    for seed in range(runs):
        log_probs, y = problem(n + 200, seed, over=over)
        threshold = u.conformal_quantile(log_probs[:, :n], y[:n], alpha)
        held.append(u.coverage(u.prediction_sets(log_probs[:, n:], threshold), y[n:]))
    rank = math.ceil((n + 1) * (1 - alpha))
    assert rank == {19: 18, 49: 35}[n]
    expected = stats.beta(rank, n + 1 - rank)  # the coverage of a threshold, no two scores equal
    error = math.sqrt((expected.var() + expected.mean() * (1 - expected.mean()) / 200) / runs)
    assert expected.mean() == pytest.approx(rank / (n + 1))
    assert 1 - alpha <= expected.mean() <= 1 - alpha + 1 / (n + 1)
    assert np.mean(held) == pytest.approx(expected.mean(), abs=4 * error)
    assert np.std(held) == pytest.approx(
        math.sqrt(error**2 * runs), rel=0.15
    )  # so much depends on the n examples


@pytest.mark.parametrize("seed", range(3))
def test_sets_of_a_better_network_are_smaller(seed):
    log_probs, y = problem(4000, seed)
    worse = (log_probs + torch.randn(log_probs.shape, generator=torch.manual_seed(seed))).double()
    sizes = []
    for each in (log_probs, worse.log_softmax(-1)):
        threshold = u.conformal_quantile(each[:, :2000], y[:2000])
        sets = u.prediction_sets(each[:, 2000:], threshold)
        assert u.coverage(sets, y[2000:]) == pytest.approx(0.9, abs=0.03)
        sizes.append(u.mean_set_size(sets))
    assert sizes[0] < sizes[1] - 0.1


def test_bad_input():
    log_probs, y = problem(20, 0)
    for alpha in (0, 1, -0.1, math.nan):
        with pytest.raises(ValueError, match="alpha must be in"):
            u.conformal_quantile(log_probs, y, alpha)
    with pytest.raises(TypeError, match="alpha must be a number"):
        u.conformal_quantile(log_probs, y, None)
    with pytest.raises(ValueError, match="threshold must be in"):
        u.prediction_sets(log_probs, -1)
    with pytest.raises(ValueError, match="threshold must be in"):
        u.prediction_sets(log_probs, math.nan)
    sets = u.prediction_sets(log_probs, 1)
    with pytest.raises(ValueError, match="sets must be non-empty booleans"):
        u.mean_set_size(log_probs)
    with pytest.raises(ValueError, match="sets must be non-empty booleans"):
        u.coverage(sets[:0], y[:0])
    with pytest.raises(ValueError, match=r"labels must be whole numbers in 0\.\.4"):
        u.coverage(sets, y + 5)
    with pytest.raises(ValueError, match=r"y must have shape \(20,\)"):
        u.coverage(sets, y[:5])
