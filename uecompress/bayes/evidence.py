"""Bayesian linear regression, where everything is exact: posterior, evidence, its maximum.

The model is y = Φ w + noise with features Φ (N, D), prior w ~ N(0, I / prior_precision) and
noise N(0, 1 / noise_precision). Equations are those of Bishop, "Pattern Recognition and Machine
Learning" (2006), Chapter 3, where the precisions are α and β. All is computed in float64.
"""

import math

import torch

from uecompress import checks
from uecompress.divergences import cholesky


def linear_posterior(features, y, *, prior_precision, noise_precision):
    """The posterior of the weights, N(mean, covariance).

    Args:
        features: Φ (N, D).
        y: targets (N,).
        prior_precision: of every weight, positive.
        noise_precision: positive.

    Returns:
        The mean (D,), which is also the MAP estimate, and the covariance (D, D).

    Raises:
        TypeError: complex numbers, a precision that is no number.
        ValueError: shapes that do not fit, values that are not finite, precisions that are not
            positive.
    """
    features, y = _check_regression(features, y, prior_precision, noise_precision)
    root = cholesky(_precision_matrix(features, prior_precision, noise_precision), "precision")
    covariance = torch.cholesky_inverse(root)  # (3.54)
    return noise_precision * covariance @ (features.T @ y), covariance  # (3.53)


def log_evidence(features, y, *, prior_precision, noise_precision):
    """log p(y | Φ, precisions), the weights integrated out, in nats.

    It is (D/2) log α + (N/2) log β − E(m) − ½ log det A − (N/2) log 2π (Bishop, eq. 3.86), where
    E(m) = β/2 ‖y − Φ m‖² + α/2 ‖m‖² and A is the precision matrix of the posterior.

    Args:
        features: Φ (N, D).
        y: targets (N,).
        prior_precision: α.
        noise_precision: β.

    Raises:
        TypeError, ValueError: as in :func:`linear_posterior`.
    """
    features, y = _check_regression(features, y, prior_precision, noise_precision)
    alpha, beta = prior_precision, noise_precision
    root = cholesky(_precision_matrix(features, alpha, beta), "precision")
    mean = torch.cholesky_solve(beta * (features.T @ y)[:, None], root)[:, 0]
    n, d = features.shape
    energy = (beta * (y - features @ mean).square().sum() + alpha * mean.square().sum()) / 2
    scales = (d * math.log(alpha) + n * math.log(beta) - n * math.log(2 * math.pi)) / 2
    return (scales - energy - root.diagonal().log().sum()).item()


def maximize_evidence(features, y, *, iterations=10_000, tolerance=1e-10):
    """The precisions with the largest evidence, by fixed-point iteration (Bishop, Section 3.5.2).

    Args:
        features: Φ (N, D).
        y: targets (N,).
        iterations: give up after so many, at least 1.
        tolerance: stop when neither precision changes by a larger share.

    Returns:
        ``prior_precision, noise_precision``.

    Raises:
        ValueError: as in :func:`linear_posterior`; data that the features explain exactly or not
            at all, for which a precision grows without limit; no convergence; ``iterations``
            below 1, ``tolerance`` not positive.
    """
    iterations = checks.whole("iterations", iterations)
    tolerance = checks.positive("tolerance", tolerance)
    features, y = _check_regression(features, y, 1.0, 1.0)
    # In units in which both have mean square 1 the limit of 1e12 is the same for all data.
    unit, unit_y = (max(a.square().mean().sqrt().item(), 1e-150) for a in (features, y))
    features, y = features / unit, y / unit_y
    eigenvalues = torch.linalg.eigvalsh(features.T @ features).clamp_min(0)
    alpha, beta = 1.0, 1.0
    for _ in range(iterations):
        mean, _ = linear_posterior(features, y, prior_precision=alpha, noise_precision=beta)
        well_determined = (beta * eigenvalues / (alpha + beta * eigenvalues)).sum()  # γ, (3.91)
        new_alpha = (well_determined / mean.square().sum()).item()  # (3.92)
        residual = (y - features @ mean).square().sum()
        new_beta = ((len(y) - well_determined) / residual).item()  # (3.95)
        if not (0 < new_alpha < 1e12 and 0 < new_beta < 1e12):
            raise ValueError("the evidence has no maximum: a precision grows without limit")
        change = max(abs(new_alpha / alpha - 1), abs(new_beta / beta - 1))
        alpha, beta = new_alpha, new_beta
        if change < tolerance:
            return alpha * (unit / unit_y) ** 2, beta / unit_y**2
    raise ValueError(f"no convergence in {iterations} iterations, the last change was {change:.1e}")


def _precision_matrix(features, prior_precision, noise_precision):
    """The precision matrix of the posterior, A = α I + β Φᵀ Φ (D, D)."""
    identity = torch.eye(features.shape[1], dtype=features.dtype)
    return prior_precision * identity + noise_precision * features.T @ features  # (3.54)


def _check_regression(features, y, prior_precision, noise_precision):
    """Features and targets in float64, or an error that says what is wrong with them."""
    features, y = torch.as_tensor(features), torch.as_tensor(y)
    if features.is_complex() or y.is_complex():
        raise TypeError("features and y must be real, not complex")
    features, y = features.double(), y.double()
    if features.ndim != 2 or 0 in features.shape or y.shape != features.shape[:1]:
        raise ValueError(
            f"expected features (N, D) and y (N,), got {tuple(features.shape)}, {tuple(y.shape)}"
        )
    checks.finite(features=features, y=y)
    checks.positive("prior_precision", prior_precision)
    checks.positive("noise_precision", noise_precision)
    return features, y
