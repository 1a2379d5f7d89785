"""Exact evidence, Laplace's approximation and description lengths."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from uecompress import bayes, divergences

PRECISIONS = {"prior_precision": 0.7, "noise_precision": 9.0}


def polynomial(degree, n=15, seed=0):
    """Features 1, x, ..., x^degree and noisy values of a cubic."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.linspace(-1, 1, n, dtype=torch.float64)
    noise = torch.randn(n, generator=generator, dtype=torch.float64)
    return x[:, None] ** torch.arange(degree + 1), 0.5 + x - 2 * x**3 + 0.2 * noise


def log_likelihood(features, y, w):
    return Normal(features @ w, 9.0**-0.5).log_prob(y).sum()


def log_prior(w):
    return Normal(torch.zeros_like(w), 0.7**-0.5).log_prob(w).sum()


@pytest.mark.parametrize("degree", [0, 3, 9, 20])
def test_evidence_in_four_ways(degree):
    features, y = polynomial(degree)
    ours = bayes.log_evidence(features, y, **PRECISIONS)

    # The marginal distribution of y is Gaussian.
    covariance = torch.eye(len(y)).double() / 9.0 + features @ features.T / 0.7
    marginal = MultivariateNormal(torch.zeros(len(y)).double(), covariance).log_prob(y)
    assert ours == pytest.approx(marginal.item(), abs=1e-9)

    # Bayes' theorem, ln p(D) = ln p(D | w) + ln p(w) − ln p(w | D), at any w.
    mean, covariance = bayes.linear_posterior(features, y, **PRECISIONS)
    posterior = MultivariateNormal(mean, covariance)
    for w in (mean, mean + 0.1, torch.zeros(degree + 1).double()):
        identity = log_likelihood(features, y, w) + log_prior(w) - posterior.log_prob(w)
        assert ours == pytest.approx(identity.item(), abs=1e-6)

    # The chain rule: every target predicted from those before it.
    total = 0.0
    mean, covariance = torch.zeros(degree + 1).double(), torch.eye(degree + 1).double() / 0.7
    for n in range(len(y)):
        variance = 1 / 9.0 + features[n] @ covariance @ features[n]
        total += Normal(features[n] @ mean, variance.sqrt()).log_prob(y[n]).item()
        before = features[: n + 1], y[: n + 1]
        mean, covariance = bayes.linear_posterior(*before, **PRECISIONS)
    assert ours == pytest.approx(total, abs=1e-9)

    # The ELBO of the exact posterior.
    fit = log_likelihood(features, y, mean) - 4.5 * (features.T @ features * covariance).sum()
    prior = torch.zeros(degree + 1).double(), torch.eye(degree + 1).double() / 0.7
    elbo = fit - divergences.gaussian_kl(mean, covariance, *prior)
    assert ours == pytest.approx(elbo.item(), abs=1e-6)


def test_the_gap_of_the_best_diagonal_gaussian():
    features, y = polynomial(5)
    mean, covariance = bayes.linear_posterior(features, y, **PRECISIONS)
    precision = torch.linalg.inv(covariance)
    variance = 1 / precision.diagonal()  # the optimum; the mean is the exact one
    fit = log_likelihood(features, y, mean) - 4.5 * (features.square().sum(0) * variance).sum()
    elbo = fit - divergences.diagonal_gaussian_kl(mean, variance, 0, 1 / 0.7)
    gap = bayes.log_evidence(features, y, **PRECISIONS) - elbo
    expected = (precision.diagonal().log().sum() - torch.logdet(precision)) / 2
    torch.testing.assert_close(gap, expected, rtol=0, atol=1e-8)
    assert gap > 1
    assert (gap - divergences.gaussian_kl(mean, variance.diag(), mean, covariance)).abs() < 1e-8


@pytest.mark.parametrize("seed", [0, 3, 5])
def test_the_evidence_sees_a_cubic_where_the_residual_sees_ever_more(seed):
    scores, residuals = [], []
    for degree in range(8):
        features, y = polynomial(degree, n=60, seed=seed)
        alpha, beta = bayes.maximize_evidence(features, y)
        best = {"prior_precision": alpha, "noise_precision": beta}
        scores.append(bayes.log_evidence(features, y, **best))
        w = torch.linalg.lstsq(features, y).solution
        residuals.append((y - features @ w).square().sum().item())
    assert residuals == sorted(residuals, reverse=True)
    assert scores.index(max(scores)) == 3
    assert scores[3] > max(scores[:3]) + 10
    assert scores[3] > scores[4] + 0.5


def test_maximal_evidence_has_no_slope_and_no_better_neighbour():
    features, y = polynomial(4, n=40)
    alpha, beta = bayes.maximize_evidence(features, y)
    top = bayes.log_evidence(features, y, prior_precision=alpha, noise_precision=beta)
    for a, b in [(1.01, 1), (0.99, 1), (1, 1.01), (1, 0.99), (3, 1), (1, 3), (0.3, 0.3)]:
        other = bayes.log_evidence(features, y, prior_precision=a * alpha, noise_precision=b * beta)
        assert other < top
        if 0.98 < a * b < 1.02:
            assert top - other < 0.02  # quadratic, not linear
    assert 0.7 < beta * 0.2**2 < 1.5  # the noise was 0.2


def test_evidence_that_has_no_maximum():
    features, _ = polynomial(3)
    with pytest.raises(ValueError, match="grows without limit"):
        bayes.maximize_evidence(features, features @ torch.ones(4).double())
    with pytest.raises(ValueError, match="grows without limit"):
        bayes.maximize_evidence(features, torch.zeros(len(features)))


@pytest.mark.parametrize("unit", [1e-100, 1e-7, 1e7, 1e100])
def test_maximal_evidence_in_other_units(unit):
    features, y = polynomial(4, n=40)
    alpha, beta = bayes.maximize_evidence(features, y)
    of_y = bayes.maximize_evidence(features, y * unit)
    assert of_y == pytest.approx((alpha / unit**2, beta / unit**2), rel=1e-6)
    of_features = bayes.maximize_evidence(features * unit, y)
    assert of_features == pytest.approx((alpha * unit**2, beta), rel=1e-6)
    with pytest.raises(ValueError, match="grows without limit"):
        bayes.maximize_evidence(features, features @ torch.ones(5).double() * unit)


def test_bad_regressions():
    features, y = polynomial(3)
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="noise_precision must be positive"):
            bayes.log_evidence(features, y, prior_precision=1.0, noise_precision=wrong)
        with pytest.raises(ValueError, match="prior_precision must be positive"):
            bayes.linear_posterior(features, y, prior_precision=wrong, noise_precision=1.0)
    with pytest.raises(ValueError, match="expected features"):
        bayes.log_evidence(features, y[:-1], **PRECISIONS)
    with pytest.raises(ValueError, match="expected features"):
        bayes.log_evidence(features[:0], y[:0], **PRECISIONS)
    with pytest.raises(ValueError, match="y contains NaN or infinity"):
        bayes.log_evidence(features, y * math.nan, **PRECISIONS)
    for wrong in (0, -1, 1.5, math.nan):
        with pytest.raises(ValueError, match="iterations must be a whole number of at least 1"):
            bayes.maximize_evidence(features, y, iterations=wrong)
    for wrong in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="tolerance must be positive and finite"):
            bayes.maximize_evidence(features, y, tolerance=wrong)
    for complex_ones in ((features + 0j, y), (features, y + 0j)):
        with pytest.raises(TypeError, match="features and y must be real"):
            bayes.linear_posterior(*complex_ones, **PRECISIONS)
        with pytest.raises(TypeError, match="features and y must be real"):
            bayes.maximize_evidence(*complex_ones)
    with pytest.raises(ValueError, match="no convergence in 1 iterations"):
        bayes.maximize_evidence(features, y, iterations=1)


# --- Laplace -----------------------------------------------------------------------------------


def test_laplace_is_exact_for_a_gaussian_posterior():
    features, y = polynomial(4)
    mean, covariance = bayes.linear_posterior(features, y, **PRECISIONS)
    value, width = bayes.laplace(lambda w: log_likelihood(features, y, w) + log_prior(w), mean)
    assert value == pytest.approx(bayes.log_evidence(features, y, **PRECISIONS), abs=1e-9)
    torch.testing.assert_close(width, covariance)


def test_laplace_of_a_gamma_function_is_stirlings_formula():
    # ln Γ(n + 1) = ln ∫ exp(n ln w − w) dw ≈ n ln n − n + ½ ln 2πn
    n = 50.0
    mode = torch.tensor([n], dtype=torch.float64)
    value, _ = bayes.laplace(lambda w: (n * w.log() - w).sum(), mode)
    assert value == pytest.approx(n * math.log(n) - n + 0.5 * math.log(2 * math.pi * n), abs=1e-10)
    assert math.lgamma(n + 1) - value == pytest.approx(1 / (12 * n), rel=0.01)


def test_laplace_away_from_a_maximum():
    def log_joint(w):
        return -(w**4 - 2 * w**2).sum()  # maxima at ±1, a minimum at 0

    with pytest.raises(ValueError, match="not positive definite"):
        bayes.laplace(log_joint, torch.zeros(1).double())
    with pytest.raises(ValueError, match="not the maximum: a Newton step would gain"):
        bayes.laplace(log_joint, torch.tensor([1.1]).double())
    with pytest.raises(ValueError, match="vector"):
        bayes.laplace(log_joint, torch.tensor(1.0))
    bayes.laplace(log_joint, torch.ones(1).double())


# --- description length --------------------------------------------------------------------------


def test_description_length_of_known_probabilities():
    y = torch.arange(8) % 4
    uniform = torch.full((1, 8, 4), 0.25).log().double()
    told = bayes.description_length(uniform, y, structure_bytes=3, weight_bytes=10.5)
    assert (told.structure, told.weights, told.data) == (24, 84, pytest.approx(16))
    assert told.total == pytest.approx(124)

    sure = torch.nn.functional.one_hot(y, 4).double() * 0.98 + 0.005
    assert bayes.description_length(
        sure.log()[None], y, structure_bytes=0, weight_bytes=0
    ).total == pytest.approx(-8 * math.log2(0.985))
    # Two members: the length is that of the mean probability.
    pair = torch.cat([uniform, sure.log()[None]])
    told = bayes.description_length(pair, y, structure_bytes=0, weight_bytes=0)
    assert told.data == pytest.approx(-8 * math.log2((0.985 + 0.25) / 2))


def test_bad_sizes():
    uniform, y = torch.full((1, 8, 4), 0.25).log().double(), torch.arange(8) % 4
    for wrong in (-1, math.nan, math.inf):
        with pytest.raises(ValueError, match="weight_bytes"):
            bayes.description_length(uniform, y, structure_bytes=1, weight_bytes=wrong)
    with pytest.raises(TypeError, match="log_probs must be of floating-point numbers"):
        bayes.description_length(uniform + 0j, y, structure_bytes=1, weight_bytes=1)
    for part in ("structure", "weights", "data"):
        for wrong in (-1, math.nan, math.inf, -math.inf):
            with pytest.raises(ValueError, match=f"{part} must be "):
                bayes.DescriptionLength(**dict.fromkeys(("structure", "weights", "data"), 1.0)
                                        | {part: wrong})  # fmt: skip
        with pytest.raises(TypeError, match=f"{part} must be a number"):
            bayes.DescriptionLength(**dict.fromkeys(("structure", "weights", "data"), 1.0)
                                    | {part: 1j})  # fmt: skip
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the metric says of labels
        bayes.description_length(uniform, y + 4, structure_bytes=1, weight_bytes=1)
