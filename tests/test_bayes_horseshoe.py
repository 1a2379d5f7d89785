import math

import bayes_digits
import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn

from uecompress import networks
from uecompress.bayes.horseshoe import (
    HorseshoeConv2d,
    HorseshoeLinear,
    log_normal_gamma_kl,
    log_normal_inverse_gamma_kl,
)
from uecompress.bayes.prune import group_scores, prune_groups
from uecompress.networks import shrink

KLS = {
    "gamma": (log_normal_gamma_kl, lambda a, b: stats.gamma(a, scale=b)),
    "inverse gamma": (log_normal_inverse_gamma_kl, lambda a, b: stats.invgamma(a, scale=b)),
}
CASES = [(0.3, -2.0, 0.5, 1.0), (-1.5, 0.4, 0.5, 2.0), (2.0, -6.0, 0.5, 1.0), (0.1, -1.0, 1.7, 0.3)]


def double(number):
    return torch.tensor(number, dtype=torch.float64)


@pytest.mark.parametrize("kind", KLS)
@pytest.mark.parametrize(("mu", "log_sigma2", "shape", "scale"), CASES)
def test_closed_forms_against_quadrature_and_draws(kind, mu, log_sigma2, shape, scale):
    closed, prior = KLS[kind]
    prior, sigma = prior(shape, scale), math.exp(log_sigma2 / 2)
    ours = closed(double(mu), double(log_sigma2), shape, scale).item()

    def integrand(t):  # over t = log x, where the posterior is Gaussian and p(t) = p(x) x
        log_q = stats.norm.logpdf(t, mu, sigma)
        return np.exp(log_q) * (log_q - prior.logpdf(np.exp(t)) - t)

    exact, _ = integrate.quad(integrand, mu - 12 * sigma, mu + 12 * sigma, epsabs=1e-11, limit=200)
    assert ours == pytest.approx(exact, abs=1e-8)

    # Antithetic draws
    half = np.random.default_rng(0).standard_normal(500_000)
    t = mu + sigma * np.concatenate([half, -half])
    values = stats.norm.logpdf(t, mu, sigma) - prior.logpdf(np.exp(t)) - t
    assert ours == pytest.approx(values.mean(), abs=1e-2, rel=4e-3)


def test_gamma_by_rate_is_another_prior():
    mu, log_sigma2 = torch.tensor(0.3).double(), torch.tensor(-2.0).double()
    by_scale = log_normal_gamma_kl(mu, log_sigma2, 0.5, 3.0)
    assert abs(by_scale - log_normal_gamma_kl(mu, log_sigma2, 0.5, 1 / 3.0)) > 0.5


@pytest.mark.parametrize("tau_0", [1.0, 0.3])
def test_the_prior_is_half_cauchy(tau_0):
    rng = np.random.default_rng(1)
    n = 20_000
    s_a = stats.gamma(0.5, scale=tau_0**2).rvs(n, random_state=rng)
    s_b = stats.invgamma(0.5, scale=1).rvs(n, random_state=rng)
    half_cauchy = stats.halfcauchy(scale=tau_0)
    assert stats.kstest(np.sqrt(s_a * s_b), half_cauchy.cdf).pvalue > 0.01
    if tau_0 != 1:  # τ₀ in place of τ₀², and the rate in place of the scale
        for wrong in (s_a / tau_0, s_a / tau_0**4):
            assert stats.kstest(np.sqrt(wrong * s_b), half_cauchy.cdf).pvalue < 1e-6


def test_the_log_uniform_prior_is_the_limit():
    # z² is a Gamma variable over another of the same shape; 1/z means that z² p(z²) is constant.
    z2 = np.logspace(-6, 6, 25)
    spread = {}
    for shape in (0.5, 0.01, 1e-4):
        flat = z2 * stats.betaprime(shape, shape).pdf(z2)
        spread[shape] = flat.min() / flat.max()
    assert spread[0.5] < 0.01
    assert spread[0.01] == pytest.approx(0.88, abs=0.02)
    assert spread[1e-4] > 0.998


@pytest.mark.parametrize("layer", [HorseshoeLinear(5, 3), HorseshoeConv2d(2, 5, 3)])
def test_scale_kl_sums_the_four_terms(layer):
    layer = layer.double()
    with torch.no_grad():
        for i, parameter in enumerate(layer.parameters()):
            parameter.add_(0.1 * i)
    expected = 0
    for name in ("s_a", "alpha", "s_b", "beta"):
        mu, log_sigma2 = getattr(layer, f"{name}_mu"), getattr(layer, f"{name}_log_sigma2")
        if name in ("s_a", "alpha"):
            scale = 1e-10 if name == "s_a" else 1.0
            expected += log_normal_gamma_kl(mu, log_sigma2, 0.5, scale).sum()
        else:
            expected += log_normal_inverse_gamma_kl(mu, log_sigma2, 0.5, 1.0).sum()
    torch.testing.assert_close(layer.scale_kl(), expected)


@torch.no_grad()
def test_scales_are_log_normal_with_a_common_factor():
    layer = HorseshoeLinear(3, 2).double()
    for name in ("s_a", "s_b", "alpha", "beta"):
        getattr(layer, f"{name}_log_sigma2").fill_(-1.0)
    layer.alpha_mu.copy_(torch.tensor([0.0, 1.0, -2.0]))
    torch.manual_seed(0)
    log_z = layer.draw_scales(200_000).log()
    mean, variance = layer.log_scale()
    assert (log_z.mean(dim=0) - mean).abs().max() < 0.01
    covariance = log_z.T.cov()
    assert (covariance.diag() - variance).abs().max() < 0.01
    torch.testing.assert_close(variance, torch.full((3,), math.exp(-1.0)).double())
    # s has half of the variance, and all groups share it
    torch.testing.assert_close(covariance[0, 1], variance[0] / 2, rtol=0.02, atol=0)
    torch.testing.assert_close(layer.negative_log_mode(), variance - mean)


@torch.no_grad()
def test_the_mean_of_a_log_normal_is_not_its_median():
    layer = HorseshoeLinear(2, 1).double()
    layer.alpha_log_sigma2.fill_(1.5)
    torch.manual_seed(0)
    z = layer.draw_scales(400_000)
    torch.testing.assert_close(z.mean(dim=0), layer.scale_mean(), rtol=0.02, atol=0)
    median = layer.log_scale()[0].exp()
    assert (median / layer.scale_mean() < 0.6).all()


@torch.no_grad()
def test_prune_score_does_not_depend_on_who_holds_the_scale():
    torch.manual_seed(0)
    layer = HorseshoeLinear.from_linear(nn.Linear(6, 4).double())
    before = layer.prune_score()
    mode = layer.negative_log_mode()
    layer.weight_mu.mul_(10)  # w̃ 10 times larger ...
    layer.weight_log_sigma2.add_(2 * math.log(10))
    layer.s_b_mu.sub_(2 * math.log(10))  # ... and s 10 times smaller: the same w
    torch.testing.assert_close(layer.prune_score(), before)
    assert (layer.negative_log_mode() - mode - math.log(10)).abs().max() < 1e-9
    layer.weight_mu[:, 2] = 0
    assert layer.prune_score().argmax() == 2
    assert layer.prune_score().isfinite().all()


@pytest.mark.parametrize("layer", [HorseshoeLinear(5, 3), HorseshoeConv2d(2, 5, 3)])
@torch.no_grad()
def test_prune_score_is_noise_over_signal_of_the_whole_group(layer):
    torch.manual_seed(0)
    layer = layer.double()
    for parameter in layer.parameters():
        parameter.add_(torch.randn_like(parameter))
    mu, sigma2 = layer.weight_mu, layer.weight_log_sigma2.exp()
    if isinstance(layer, HorseshoeLinear):
        mu, sigma2 = mu.T, sigma2.T
    z_mean, z_variance = layer.scale_mean(), layer.scale_variance()
    for i, score in enumerate(layer.prune_score().tolist()):
        noise = z_variance[i] * (sigma2[i] + mu[i] ** 2) + sigma2[i] * z_mean[i] ** 2
        signal = (z_mean[i] * mu[i]) ** 2
        assert score == pytest.approx(math.log(noise.sum() / signal.sum()), abs=1e-9)


@pytest.mark.parametrize("tau_0", [0, -1.0, float("nan"), float("inf")])
def test_bad_tau_0(tau_0):
    with pytest.raises(ValueError, match="tau_0 must be positive"):
        HorseshoeLinear(3, 2, tau_0=tau_0)


def test_tau_0_is_kept_in_the_config():
    layer = HorseshoeLinear.from_linear(nn.Linear(3, 2), tau_0=1e-3)
    assert layer.config()["tau_0"] == 1e-3
    assert HorseshoeLinear(**layer.config()).tau_0 == 1e-3
    # Starting at the prior's own scales costs little: s_a ~ G(½, τ₀²), s_b ~ IG(½, 1).
    assert layer.scale_kl() < 60


def test_digits_prune_themselves():
    rows = []
    for seed in range(3):
        model = bayes_digits.variational(
            bayes_digits.mlp(seed), HorseshoeLinear, initial_log_sigma2=-5.0
        )
        model = bayes_digits.train(model, seed=seed, epochs=20, lr=2e-2, after_step=None)
        masked = prune_groups(model, 3.0)
        small = shrink(masked)
        units = group_scores(model)["3"]  # the 64 hidden units
        between = ((units > 1.5) & (units < 4)).double().mean().item()
        rows.append([
            bayes_digits.accuracy(model),
            bayes_digits.accuracy(masked),
            bayes_digits.accuracy(small),
            networks.parameter_count(bayes_digits.mlp(0)) / networks.parameter_count(small),
            between,
        ])  # fmt: skip
    mean, masked, small, ratios, between = np.array(rows).T
    assert (masked == small).all()
    assert masked.min() > 0.88
    assert abs(mean - masked).max() < 0.06
    assert ratios.min() > 7
    assert between.max() < 0.2  # two heaps
