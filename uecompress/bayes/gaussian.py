"""Gaussian distributions: how far apart two of them are, and a draw that has gradients."""

import torch


def gaussian_kl(mean_q, covariance_q, mean_p, covariance_p):
    """KL(q ‖ p) of two multivariate Gaussians, in nats.

    ½ [tr(A⁻¹ A_q) + (μ − μ_q)ᵀ A⁻¹ (μ − μ_q) − n + ln det A − ln det A_q] for q = N(μ_q, A_q) and
    p = N(μ, A).

    Args:
        mean_q: (n,).
        covariance_q: (n, n), symmetric and positive definite.
        mean_p: (n,).
        covariance_p: (n, n), symmetric and positive definite.

    Raises:
        ValueError: shapes that do not fit, a mean that is not finite, or a covariance that is not
            symmetric and positive definite.
    """
    shapes = [tuple(t.shape) for t in (mean_q, covariance_q, mean_p, covariance_p)]
    (n,) = shapes[0] if len(shapes[0]) == 1 else (-1,)
    if shapes != [(n,), (n, n), (n,), (n, n)]:
        raise ValueError(f"expected shapes (n,), (n, n), (n,), (n, n), got {shapes}")
    check_finite(mean_q=mean_q, mean_p=mean_p)
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
        ValueError: shapes that differ, a mean that is not finite, or a variance that is not
            positive and finite.
    """
    mean_p, variance_p = (
        torch.as_tensor(p, dtype=variance_q.dtype, device=variance_q.device)
        for p in (mean_p, variance_p)
    )
    same_shape(mean_q=mean_q, variance_q=variance_q)
    for name, p in {"mean_p": mean_p, "variance_p": variance_p}.items():
        if p.ndim:
            same_shape(mean_q=mean_q, **{name: p})
    check_finite(mean_q=mean_q, mean_p=mean_p)
    for name, variance in {"variance_q": variance_q, "variance_p": variance_p}.items():
        if not ((variance > 0) & (variance < torch.inf)).all():
            smallest, largest = variance.aminmax()
            raise ValueError(
                f"{name} must be positive and finite, but it is from {smallest} to {largest}"
            )
    ratio = variance_q / variance_p
    return 0.5 * (ratio + (mean_q - mean_p) ** 2 / variance_p - 1 - ratio.log()).sum()


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
    same_shape(mean=mean, variance=variance)
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


def same_shape(**tensors):
    """An error that names the tensors, where their shapes differ."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"expected one shape, got {shapes}")


def check_finite(**tensors):
    """An error that names the first tensor that holds NaN or infinity."""
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} must be finite")


def cholesky(matrix, name):
    """The lower Cholesky factor, or an error that names the matrix."""
    root, failed = torch.linalg.cholesky_ex(matrix)
    if failed or not torch.isfinite(root).all():
        raise ValueError(f"{name} is not positive definite")
    return root
