"""The KL from a Gaussian to the quantizing prior p(w) ∝ Σ_k a_k / ``|w − c_k|``, approximate.

Achterhold et al. (2018), eq. 12, 16 and 17. The prior has a spike at each value c_k of a codebook;
a_k = 1/K.
"""

import torch
from torch.autograd.function import once_differentiable

from uecompress.bayes.log_uniform import K1, K2, K3

REFERENCE = 0.2  # r: the approximation is made for the codebook [−r, 0, r]
TAU = 0.075  # width of the windows, in which a spike other than 0 rules


def multi_spike_kl(theta, log_sigma2, codebook=(-REFERENCE, 0.0, REFERENCE), tau=TAU):
    """KL(N(θ, σ²) ‖ quantizing prior) in nats up to a constant, the −F_KL of eq. 16 and 17.

    Near a spike c_k ≠ 0 it is the KL to a log-uniform prior around c_k, elsewhere to that around 0:

        Σ_{c_k ≠ 0} Ω(θ − c_k) KL_LU(θ − c_k, σ) + (1 − Σ_{c_k ≠ 0} Ω(θ − c_k)) KL_LU(θ, σ)

    with the window Ω(δ) = exp(−δ² / 2τ²) and KL_LU by :func:`log_uniform_kl`. With the codebook
    [0] it is the KL of sparse variational dropout.

    Args:
        theta: posterior means, any shape.
        log_sigma2: log variances, the same shape.
        codebook: the spikes; 0 is always one.
        tau: width of the windows, for spikes 0.2 apart.

    Returns:
        The KL of every entry.
    """

    return MultiSpikeKL.apply(theta, log_sigma2, tuple(c for c in codebook if c != 0), tau)


class MultiSpikeKL(torch.autograd.Function):
    """The formula of :func:`multi_spike_kl`; its derivatives are found on the way.

    Autograd would do the same with twice the passes over memory, which are what a step costs.
    """

    @staticmethod
    def forward(ctx, theta, log_sigma2, spikes, tau):
        """The KL of every entry; ``spikes`` are those other than 0."""
        at_zero = local_kl(theta, log_sigma2)
        total, by_theta, by_log_sigma2 = (term.clone() for term in at_zero)
        for c in spikes:
            delta = theta - c
            local = local_kl(delta, log_sigma2)
            gap, gap_by_theta, gap_by_log_sigma2 = (
                here.sub_(there) for here, there in zip(local, at_zero, strict=True)
            )
            window = delta.square().mul_(-0.5 / tau**2).exp_()  # Ω(θ − c_k)
            by_theta.addcmul_(window, gap_by_theta)
            by_log_sigma2.addcmul_(window, gap_by_log_sigma2)
            gap.mul_(window)
            total.add_(gap)
            by_theta.addcmul_(gap, delta, value=-1 / tau**2)  # dΩ / dθ = −Ω (θ − c_k) / τ²
        ctx.save_for_backward(by_theta, by_log_sigma2)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        """With respect to θ and to log σ²."""
        by_theta, by_log_sigma2 = ctx.saved_tensors
        return gradient * by_theta, gradient * by_log_sigma2, None, None


def local_kl(delta, log_sigma2):
    """KL_LU(δ, σ), see :func:`log_uniform_kl`, and its derivatives by δ and by log σ²."""
    squared = delta.square().add_(1e-8)
    log_alpha = log_sigma2 - squared.log()
    gate = torch.mul(log_alpha, -K3).sub_(K2).sigmoid_()  # 1 − sigmoid(k₂ + k₃ log alpha)
    share = log_alpha.sigmoid_()  # alpha / (1 + alpha)
    kl = share.log().mul_(-0.5).add_(gate, alpha=K1)
    slope = torch.addcmul(gate, gate, gate, value=-1).mul_(-K1 * K3)
    slope.add_(share, alpha=0.5).sub_(0.5)  # −k₁ k₃ gate (1 − gate) − ½ (1 − share)
    by_delta = torch.mul(slope, delta).mul_(-2).div_(squared)  # d log alpha / dδ = −2 δ / δ²
    return kl, by_delta, slope
