"""Laplace's approximation: a Gaussian at the mode with the curvature that the posterior has there.

D. MacKay, "Information Theory, Inference, and Learning Algorithms" (2003), Chapter 27.
"""

import math

import torch

from uecompress.divergences import cholesky


def laplace(log_joint, mode):
    """The log evidence and the posterior covariance by Laplace's approximation.

    log p(D) ≈ log p(D, w*) + (d/2) log 2π − ½ log det H, where H is the Hessian of −log p(D, w) at
    the mode w* (MacKay, eq. 27.6). It is exact when the posterior is Gaussian. H is computed in
    full, so d should be at most a few hundred. It is the curvature at ``mode``: where that changes
    fast, a mode from a coarse grid passes the test below and its log det H is off. Optimize to the
    end.

    Args:
        log_joint: log p(D, w) as a function from w (d,) to a scalar, made of torch operations.
        mode: w*, the maximum of ``log_joint``, (d,).

    Returns:
        The log evidence, a number in nats, and the covariance H⁻¹ (d, d).

    Raises:
        ValueError: ``mode`` is not a maximum: the curvature there is not positive in every
            direction, or a Newton step would still gain more than 0.001 nats.
    """
    mode = mode.detach()
    if mode.ndim != 1 or not len(mode):
        raise ValueError(f"mode must be a vector (d,), not of shape {tuple(mode.shape)}")
    hessian = -torch.func.jacrev(torch.func.grad(log_joint))(mode)  # (d, d)
    root = cholesky(hessian, "the Hessian of -log_joint at mode")
    slope = torch.func.grad(log_joint)(mode)
    gain = torch.linalg.solve_triangular(root, slope[:, None], upper=False).square().sum() / 2
    if not gain <= 1e-3:
        raise ValueError(f"mode is not the maximum: a Newton step would gain {gain:.2g} nats")
    gaussian_volume = len(mode) / 2 * math.log(2 * math.pi) - root.diagonal().log().sum()
    return (log_joint(mode) + gaussian_volume).item(), torch.cholesky_inverse(root)
