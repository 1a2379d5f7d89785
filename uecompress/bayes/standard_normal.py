"""The KL from a Gaussian to the standard normal distribution."""

import torch

from uecompress.bayes.gaussian import same_shape


def standard_normal_kl(mu, log_sigma2):
    """KL(N(μ, σ²) ‖ N(0, 1)) in nats, summed: ½ Σ (σ² + μ² − 1 − log σ²).

    Args:
        mu: means, any shape.
        log_sigma2: log variances, the same shape.

    Raises:
        ValueError: shapes that differ.
    """
    same_shape(mu=mu, log_sigma2=log_sigma2)
    return StandardNormalKL.apply(mu, log_sigma2, log_sigma2.detach().exp())


class StandardNormalKL(torch.autograd.Function):
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
