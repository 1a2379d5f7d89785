"""Draws from Gaussian distributions that have gradients."""

import torch

from uecompress import checks


def draw(mean, variance):
    """A draw from N(mean, variance) that is differentiable in both: mean + √variance · ε.

    With the mean and variance of weights it is the reparametrization trick. With those of
    pre-activations it is local reparametrization (Kingma et al. 2015, eq. 6): every example has
    weights of its own, and the gradient has less noise.

    Args:
        mean: a tensor.
        variance: the same shape, not negative. A negative one gives NaN: to look for it would cost
            time in every step of training. 1e-16 is added (in float16, where that is 0, the
            smallest normal number), so that the gradient exists where no input reaches a unit and
            its variance is 0.

    Raises:
        ValueError: shapes that differ.
    """
    checks.same_shape(mean=mean, variance=variance)
    tiny = max(1e-16, torch.finfo(variance.dtype).smallest_normal)
    like = torch.empty_like(mean)
    dtype = torch.promote_types(mean.dtype, torch.float32)  # 8 bits are too few for the tails
    noise = torch.randn(mean.numel(), dtype=dtype, device=mean.device).to(mean.dtype)
    # In the order of the memory: for channels-last images six times faster than randn_like.
    noise = noise.as_strided(like.shape, like.stride())
    return torch.addcmul(mean, (variance + tiny).sqrt(), noise)


def draw_weights(mu, log_sigma2):
    """One draw from N(mu, exp(log_sigma2)), the same in every memory format; None for None."""
    return None if mu is None else draw(mu.contiguous(), log_sigma2.exp().contiguous())
