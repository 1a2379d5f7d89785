"""The divergences that have derivatives of their own: values, second derivatives, bad input."""

import math

import pytest
import torch
from scipy.special import expit

from uecompress import bayes, divergences

FUNCTIONS = pytest.mark.parametrize(
    "kl",
    [
        lambda w: bayes.log_uniform_kl(w).sum(),
        lambda w: divergences.standard_normal_kl(w[:3], w[3:]),
        lambda w: bayes.multi_spike_kl(0.2 * w[:3], w[3:]).sum(),
    ],
    ids=["log-uniform", "standard normal", "multi-spike"],
)


def point():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, generator=generator, dtype=torch.float64).requires_grad_()


@FUNCTIONS
def test_first_and_second_derivatives(kl):
    assert torch.autograd.gradcheck(kl, point())
    assert torch.autograd.gradgradcheck(kl, point())
    w = point()
    (slope,) = torch.autograd.grad(kl(w), w)
    torch.testing.assert_close(torch.func.grad(kl)(w.detach()), slope, rtol=0, atol=0)


def test_a_gradient_penalty_keeps_the_kl():
    mu = torch.tensor([0.6, -0.8], dtype=torch.float64, requires_grad=True)
    loss = divergences.standard_normal_kl(mu, torch.zeros_like(mu)) + mu.pow(3).sum()
    (slope,) = torch.autograd.grad(loss, mu, create_graph=True)
    (second,) = torch.autograd.grad(slope.sum(), mu)
    torch.testing.assert_close(second, 1 + 6 * mu.detach())


@FUNCTIONS
def test_laplace_with_a_kl(kl):
    mode = point().detach()
    slope = torch.func.grad(kl)(mode)

    def log_joint(w):  # its slope at the mode is 0, its Hessian −10 I − that of the KL
        return slope @ w - kl(w) - 5 * (w - mode).square().sum()

    _, covariance = bayes.laplace(log_joint, mode)
    step = 1e-5 * torch.eye(6, dtype=torch.float64)
    rows = [(torch.func.grad(kl)(mode + s) - torch.func.grad(kl)(mode - s)) / 2e-5 for s in step]
    curvature = torch.stack(rows)
    assert curvature.abs().max() > 0.1
    expected = torch.linalg.inv(10 * torch.eye(6, dtype=torch.float64) + curvature)
    torch.testing.assert_close(covariance, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("theta", [0.05, 0.1, -0.15, 0.25, 0.4])
def test_the_quantizing_kl_has_the_window_of_its_paper(theta):
    """Achterhold et al., eq. 16 and 17, with τ = 0.075 and the constants of Molchanov et al."""

    def one_spike(delta, log_sigma2):
        log_alpha = log_sigma2 - math.log(delta**2)
        gate = expit(1.87320 + 1.48695 * log_alpha)
        return 0.63576 + 0.5 * math.log1p(math.exp(-log_alpha)) - 0.63576 * gate

    center = one_spike(theta, -7.0)
    expected = center
    for c in (-0.2, 0.2):
        window = math.exp(-((theta - c) ** 2) / (2 * 0.075**2))
        expected += window * (one_spike(theta - c, -7.0) - center)
    tensors = torch.tensor([theta, -7.0], dtype=torch.float64).unbind()
    assert bayes.multi_spike_kl(*tensors).item() == pytest.approx(expected, abs=2e-5)


def test_bad_input():
    column, row = torch.zeros(3, 1), torch.zeros(3)
    for kl in (divergences.standard_normal_kl, bayes.multi_spike_kl):
        for wrong in (column, row[:1]):
            with pytest.raises(ValueError, match=r"expected one shape, got .*'log_sigma2'"):
                kl(row, wrong)
    for wrong in (0.0, -0.1, math.nan):
        with pytest.raises(ValueError, match="tau must be positive"):
            bayes.multi_spike_kl(row, row, tau=wrong)
    for kl in (bayes.log_normal_gamma_kl, bayes.log_normal_inverse_gamma_kl):
        for wrong in (row[0], row[None], row[:1]):
            with pytest.raises(ValueError, match=r"expected one shape, got .*'log_sigma2'"):
                kl(row, wrong, 0.5, 1.0)
            with pytest.raises(ValueError, match=r"expected one shape, got .*'log_sigma2'"):
                kl(wrong, row, 0.5, 1.0)
        for wrong in (0.0, -0.5, math.nan, math.inf):
            with pytest.raises(ValueError, match="shape must be positive"):
                kl(row, row, wrong, 1.0)
            with pytest.raises(ValueError, match="scale must be positive"):
                kl(row, row, 0.5, wrong)
