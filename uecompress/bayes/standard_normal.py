"""The KL from a Gaussian to the standard normal distribution."""

import torch
from torch.autograd.function import once_differentiable


def standard_normal_kl(mu, log_sigma2):
    """KL(N(μ, σ²) ‖ N(0, 1)) in nats, summed: ½ Σ (σ² + μ² − 1 − log σ²)."""
    return StandardNormalKL.apply(mu, log_sigma2)


class StandardNormalKL(torch.autograd.Function):
    """The formula of :func:`standard_normal_kl` with its derivatives, μ and ½ (σ² − 1)."""

    @staticmethod
    def forward(ctx, mu, log_sigma2):
        """The sum over all entries."""
        sigma2 = log_sigma2.exp()
        ctx.save_for_backward(mu, sigma2)
        flat = mu.flatten()
        return 0.5 * (sigma2.sum() + flat.dot(flat) - log_sigma2.sum() - mu.numel())

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        """With respect to μ and to log σ²."""
        mu, sigma2 = ctx.saved_tensors
        return mu * gradient, (sigma2 - 1).mul_(0.5 * gradient)
