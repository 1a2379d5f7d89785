import math

import pytest
import torch
from scipy import stats
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from uecompress import bayes, divergences


def gaussian(n, seed):
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(n, n, generator=generator, dtype=torch.float64)
    mean = torch.randn(n, generator=generator, dtype=torch.float64)
    return mean, root @ root.T + 0.1 * torch.eye(n, dtype=torch.float64)


@pytest.mark.parametrize("n", [1, 4, 20])
def test_full_kl_agrees_with_torch_distributions(n):
    q, p = gaussian(n, 0), gaussian(n, 1)
    expected = kl_divergence(MultivariateNormal(*q), MultivariateNormal(*p))
    torch.testing.assert_close(divergences.gaussian_kl(*q, *p), expected)
    assert divergences.gaussian_kl(*q, *q).abs() < 1e-12 * n


def test_full_kl_is_the_mean_log_ratio_of_densities():
    q, p = MultivariateNormal(*gaussian(3, 2)), MultivariateNormal(*gaussian(3, 3))
    torch.manual_seed(0)
    w = q.sample((400_000,))
    ratio = q.log_prob(w) - p.log_prob(w)
    kl = divergences.gaussian_kl(q.mean, q.covariance_matrix, p.mean, p.covariance_matrix)
    assert (kl - ratio.mean()).abs() < 4 * ratio.std() / math.sqrt(len(w))
    # A factor of two, as in "KL / 2 = ½ (...)", would be seen.
    assert (kl - ratio.mean()).abs() < 0.01 * kl


def test_diagonal_kl_is_the_full_one():
    (mean_q, full_q), (mean_p, full_p) = gaussian(5, 4), gaussian(5, 5)
    diagonals = full_q.diagonal(), full_p.diagonal()
    expected = divergences.gaussian_kl(mean_q, diagonals[0].diag(), mean_p, diagonals[1].diag())
    ours = divergences.diagonal_gaussian_kl(mean_q, diagonals[0], mean_p, diagonals[1])
    torch.testing.assert_close(ours, expected)
    normals = [Normal(m, v.sqrt()) for m, v in zip((mean_q, mean_p), diagonals, strict=True)]
    torch.testing.assert_close(ours, kl_divergence(*normals).sum())
    standard = divergences.diagonal_gaussian_kl(mean_q, diagonals[0], 0, 1)
    expected = 0.5 * (diagonals[0] + mean_q**2 - 1 - diagonals[0].log()).sum()
    torch.testing.assert_close(standard, expected)


def test_gradients_of_both():
    def arguments(seed):
        mean, covariance = gaussian(3, seed)
        return mean.requires_grad_(), covariance.requires_grad_()

    def symmetric(mean_q, cov_q, mean_p, cov_p):
        return divergences.gaussian_kl(mean_q, (cov_q + cov_q.T) / 2, mean_p, (cov_p + cov_p.T) / 2)

    assert torch.autograd.gradcheck(symmetric, (*arguments(6), *arguments(7)))
    variances = [torch.rand(3, dtype=torch.float64).add(0.5).requires_grad_() for _ in range(2)]
    mean = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        divergences.diagonal_gaussian_kl, (mean, variances[0], mean.detach() + 1, variances[1])
    )


def test_draw_has_the_mean_the_variance_and_their_gradients():
    mean = torch.tensor([1.0, -2.0, 0.0], dtype=torch.float64, requires_grad=True)
    variance = torch.tensor([0.5, 3.0, 0.0], dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    draws = bayes.draw(mean.expand(200_000, 3), variance.expand(200_000, 3))
    assert (draws.mean(0) - mean).abs().max() < 4 * math.sqrt(3 / 200_000)
    assert (draws.var(0) - variance).abs().max() < 4 * 3 * math.sqrt(2 / 200_000)
    # The derivative of E[f(w)]: for f = w² it is 2 mean and 1.
    gradients = torch.autograd.grad(draws.square().mean(0).sum(), (mean, variance))
    torch.testing.assert_close(gradients[0], 2 * mean.detach(), rtol=0, atol=0.03)
    torch.testing.assert_close(gradients[1][:2], torch.ones(2).double(), rtol=0, atol=0.03)
    assert gradients[1].isfinite().all()  # also at variance 0
    assert variance.tolist() == [0.5, 3.0, 0.0]


def test_the_least_variance_is_not_seen():
    zeros = torch.zeros(10_000)
    torch.manual_seed(0)
    draws = bayes.draw(zeros, zeros)
    assert draws.abs().max() < 1e-7
    assert draws.std().item() == pytest.approx(1e-8, rel=0.05)
    mean = torch.tensor([1.0, -2.0])
    assert torch.equal(bayes.draw(mean, zeros[:2]), mean)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_variance_of_0_has_a_gradient_in_every_dtype(dtype):
    mean, variance = (torch.zeros(100, dtype=dtype, requires_grad=True) for _ in range(2))
    torch.manual_seed(0)
    draws = bayes.draw(mean, variance)
    draws.sum().backward()
    assert draws.abs().max() < 0.03
    assert mean.grad.tolist() == [1.0] * 100
    assert variance.grad.isfinite().all()
    assert (variance.grad != 0).all()


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_tensors_of_other_numbers_are_refused(dtype):
    mean, covariance = torch.zeros(3), torch.eye(3)
    arguments = {"mean_q": mean, "covariance_q": covariance, "mean_p": mean}
    arguments |= {"covariance_p": covariance}
    for name, value in arguments.items():
        with pytest.raises(TypeError, match=f"{name} must be of floating-point numbers"):
            divergences.gaussian_kl(**arguments | {name: value.to(dtype)})
    ones = torch.ones(3)
    arguments = {"mean_q": ones, "variance_q": ones, "mean_p": ones, "variance_p": ones}
    for name, value in arguments.items():
        with pytest.raises(TypeError, match=f"{name} must be of floating-point numbers"):
            divergences.diagonal_gaussian_kl(**arguments | {name: value.to(dtype)})
    for name in ("mean_p", "variance_p"):
        with pytest.raises(TypeError, match=f"{name} must be a number"):
            divergences.diagonal_gaussian_kl(**arguments | {name: 1j})


def test_bad_shapes_and_values():
    mean, covariance = gaussian(3, 8)
    numbers = torch.ones(3, dtype=torch.float64)
    for wrong in (numbers[:, None], numbers[:1], numbers[:2]):
        with pytest.raises(ValueError, match=r"expected one shape, got .*mean.*variance"):
            bayes.draw(mean, wrong)
        with pytest.raises(ValueError, match=r"expected one shape, got .*'variance_q'"):
            divergences.diagonal_gaussian_kl(mean, wrong, 0, 1)
        with pytest.raises(ValueError, match=r"expected one shape, got .*'mean_p'"):
            divergences.diagonal_gaussian_kl(mean, numbers, wrong, 1)
        with pytest.raises(ValueError, match=r"expected one shape, got .*'variance_p'"):
            divergences.diagonal_gaussian_kl(mean, numbers, 0, wrong)
    number = torch.tensor(2.0).double()
    full = divergences.diagonal_gaussian_kl(mean, numbers, number * numbers, number * numbers)
    assert torch.equal(divergences.diagonal_gaussian_kl(mean, numbers, number, number), full)
    with pytest.raises(ValueError, match="variance_q must be positive and finite"):
        divergences.diagonal_gaussian_kl(mean, numbers * math.inf, 0, 1)
    with pytest.raises(ValueError, match="variance_p must be positive and finite"):
        divergences.diagonal_gaussian_kl(mean, numbers, 0, math.inf)
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match="mean_q contains NaN or infinity"):
            divergences.diagonal_gaussian_kl(mean * wrong, numbers, 0, 1)
        with pytest.raises(ValueError, match="mean_p contains NaN or infinity"):
            divergences.diagonal_gaussian_kl(mean, numbers, wrong, 1)
        with pytest.raises(ValueError, match="mean_q contains NaN or infinity"):
            divergences.gaussian_kl(mean * wrong, covariance, mean, covariance)
        with pytest.raises(ValueError, match="mean_p contains NaN or infinity"):
            divergences.gaussian_kl(mean, covariance, mean * wrong, covariance)
    tilted = covariance + torch.ones(3, 3).double().triu(1)  # its lower half is that of covariance
    with pytest.raises(ValueError, match="covariance_q is not symmetric"):
        divergences.gaussian_kl(mean, tilted, mean, covariance)
    with pytest.raises(ValueError, match="covariance_p is not symmetric"):
        divergences.gaussian_kl(mean, covariance, mean, tilted)
    rounded = covariance + 1e-9 * torch.ones(3, 3).double().triu(1)
    assert divergences.gaussian_kl(mean, rounded, mean, rounded).abs() < 1e-12


def test_bad_input():
    mean, covariance = gaussian(3, 8)
    with pytest.raises(ValueError, match="covariance_q is not positive definite"):
        divergences.gaussian_kl(mean, -covariance, mean, covariance)
    with pytest.raises(ValueError, match="covariance_p is not positive definite"):
        divergences.gaussian_kl(mean, covariance, mean, covariance * math.nan)
    with pytest.raises(ValueError, match="expected shapes"):
        divergences.gaussian_kl(mean, covariance.diagonal(), mean, covariance)
    with pytest.raises(ValueError, match="expected shapes"):
        divergences.gaussian_kl(mean[:2], covariance, mean, covariance)
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="variance_q must be positive"):
            divergences.diagonal_gaussian_kl(mean, torch.tensor([1.0, wrong, 1.0]), 0, 1)
        with pytest.raises(ValueError, match="variance_p must be positive"):
            divergences.diagonal_gaussian_kl(mean, torch.ones(3), 0, wrong)


@pytest.mark.parametrize("kind", ["contiguous", "channels last", "every second", "one of many"])
def test_draws_are_standard_normal_whatever_the_order_of_the_memory(kind):
    mean = torch.zeros(64, 8, 12, 12, dtype=torch.float64)
    mean = {
        "contiguous": mean,
        "channels last": mean.to(memory_format=torch.channels_last),
        "every second": mean[:, ::2, :, ::2],
        "one of many": mean[:1, :1, :1, :1].expand(64, 8, 12, 12),
    }[kind]
    torch.manual_seed(0)
    values = bayes.draw(mean, torch.ones_like(mean))
    assert values.shape == mean.shape
    assert len(values.unique()) == values.numel()  # float32 draws would repeat
    assert stats.kstest(values.flatten().numpy(), "norm").pvalue > 1e-3


def test_half_precision_draws_have_the_tails_of_single_precision():
    mean = torch.zeros(1_000_000, dtype=torch.bfloat16)
    torch.manual_seed(0)
    assert bayes.draw(mean, torch.ones_like(mean)).abs().max() > 4
