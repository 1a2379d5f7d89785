"""Kullback-Leibler divergences that more than one room needs, in nats."""

import torch

from uecompress import checks


def gaussian_kl(mean_q, covariance_q, mean_p, covariance_p):
    """KL(q ‖ p) of two multivariate Gaussians, in nats.

    ½ [tr(A⁻¹ A_q) + (μ − μ_q)ᵀ A⁻¹ (μ − μ_q) − n + log det A − log det A_q] for q = N(μ_q, A_q) and
    p = N(μ, A).

    Args:
        mean_q: (n,).
        covariance_q: (n, n), symmetric and positive definite.
        mean_p: (n,).
        covariance_p: (n, n), symmetric and positive definite.

    Raises:
        TypeError: not tensors of floating-point numbers.
        ValueError: shapes that do not fit, a mean that is not finite, or a covariance that is not
            symmetric and positive definite.
    """
    checks.floating(mean_q=mean_q, covariance_q=covariance_q)
    checks.floating(mean_p=mean_p, covariance_p=covariance_p)
    shapes = [tuple(t.shape) for t in (mean_q, covariance_q, mean_p, covariance_p)]
    (n,) = shapes[0] if len(shapes[0]) == 1 else (-1,)
    if shapes != [(n,), (n, n), (n,), (n, n)]:
        raise ValueError(f"expected shapes (n,), (n, n), (n,), (n, n), got {shapes}")
    checks.finite(mean_q=mean_q, mean_p=mean_p)
    for name, matrix in {"covariance_q": covariance_q, "covariance_p": covariance_p}.items():
        if (matrix - matrix.T).norm() > 1e-4 * matrix.norm():
            raise ValueError(f"{name} is not symmetric")
    root_q = cholesky(covariance_q, "covariance_q")
    root_p = cholesky(covariance_p, "covariance_p")
    ratio = torch.linalg.solve_triangular(root_p, root_q, upper=False)
    shift = torch.linalg.solve_triangular(root_p, (mean_p - mean_q)[:, None], upper=False)
    log_dets = 2 * (root_p.diagonal().log().sum() - root_q.diagonal().log().sum())
    return 0.5 * (ratio.square().sum() + shift.square().sum() - n + log_dets)


def diagonal_gaussian_kl(mean_q, variance_q, mean_p, variance_p):
    """KL(q ‖ p) of two Gaussians with independent coordinates, summed over them, in nats.

    Args:
        mean_q: a tensor of any shape.
        variance_q: the same shape, positive.
        mean_p: the same shape, or a number.
        variance_p: the same shape, or a number; positive.

    Raises:
        TypeError: tensors of anything but floating-point numbers.
        ValueError: shapes that differ, a mean that is not finite, or a variance that is not
            positive and finite.
    """
    checks.floating(mean_q=mean_q, variance_q=variance_q)
    for name, p in {"mean_p": mean_p, "variance_p": variance_p}.items():
        if isinstance(p, torch.Tensor):
            checks.floating(**{name: p})
        else:
            checks.real(name, p)
    mean_p, variance_p = (
        torch.as_tensor(p, dtype=variance_q.dtype, device=variance_q.device)
        for p in (mean_p, variance_p)
    )
    checks.same_shape(mean_q=mean_q, variance_q=variance_q)
    for name, p in {"mean_p": mean_p, "variance_p": variance_p}.items():
        if p.ndim:
            checks.same_shape(mean_q=mean_q, **{name: p})
    checks.finite(mean_q=mean_q, mean_p=mean_p)
    for name, variance in {"variance_q": variance_q, "variance_p": variance_p}.items():
        if not ((variance > 0) & (variance < torch.inf)).all():
            smallest, largest = variance.aminmax()
            raise ValueError(
                f"{name} must be positive and finite, but it is from {smallest} to {largest}"
            )
    ratio = variance_q / variance_p
    return 0.5 * (ratio + (mean_q - mean_p) ** 2 / variance_p - 1 - ratio.log()).sum()


def standard_normal_kl(mu, log_sigma2):
    """KL(N(μ, σ²) ‖ N(0, 1)) in nats, summed: ½ Σ (σ² + μ² − 1 − log σ²).

    Args:
        mu: means, any shape.
        log_sigma2: log variances, the same shape.

    Raises:
        ValueError: shapes that differ.
    """
    checks.same_shape(mu=mu, log_sigma2=log_sigma2)
    return _StandardNormalKL.apply(mu, log_sigma2, log_sigma2.detach().exp())


class _StandardNormalKL(torch.autograd.Function):
    """The formula of :func:`standard_normal_kl` with its derivatives, μ and ½ (σ² − 1)."""

    @staticmethod
    def forward(mu, log_sigma2, sigma2):
        """The sum over all entries."""
        flat = mu.flatten()
        return 0.5 * (sigma2.sum() + flat.dot(flat) - log_sigma2.sum() - mu.numel())

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep the inputs."""
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient):
        """With respect to μ and to log σ²."""
        mu, log_sigma2, sigma2 = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted
            return mu * gradient, (log_sigma2.exp() - 1) * (0.5 * gradient), None
        return mu * gradient, (sigma2 - 1).mul_(0.5 * gradient), None


def cholesky(matrix, name):
    """The lower Cholesky factor, or an error that names the matrix."""
    root, failed = torch.linalg.cholesky_ex(matrix)
    if failed or not torch.isfinite(root).all():
        raise ValueError(f"{name} is not positive definite")
    return root
