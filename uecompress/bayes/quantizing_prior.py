"""The KL from a Gaussian to the quantizing prior p(w) ∝ Σ_k a_k / ``|w − c_k|``, approximate.

Achterhold et al. (2018), eq. 12, 16 and 17. The prior has a spike at each value c_k of a codebook;
a_k = 1/K.
"""

import torch

from uecompress import checks
from uecompress.bayes.log_uniform import K1, K2, K3

REFERENCE = 0.2  # r: the approximation is made for the codebook [−r, 0, r]
_TAU = 0.075  # width of the windows, in which a spike other than 0 rules


def multi_spike_kl(theta, log_sigma2, codebook=(-REFERENCE, 0.0, REFERENCE), tau=_TAU):
    """KL(N(θ, σ²) ‖ quantizing prior) in nats up to a constant, the −F_KL of eq. 16 and 17.

    Near a spike c_k ≠ 0 it is the KL to a log-uniform prior around c_k, elsewhere to that around 0:

        Σ_{c_k ≠ 0} Ω(θ − c_k) KL_LU(θ − c_k, σ) + (1 − Σ_{c_k ≠ 0} Ω(θ − c_k)) KL_LU(θ, σ)

    with the window Ω(δ) = exp(−δ² / 2τ²) and KL_LU by :func:`log_uniform_kl`. With the codebook
    [0] it is the KL of sparse variational dropout.

    The paper made it for the codebook [−0.2, 0, 0.2] and τ = 0.075, and for these alone says how
    good it is: off by at most 1.07 nats. For [−a, 0, a] rescale θ and σ, as :class:`VNQLinear`
    does. Where more spikes stand closer their windows overlap, the weight of the spike at 0 becomes
    negative, and the result means little.

    Args:
        theta: posterior means, any shape.
        log_sigma2: log variances, the same shape.
        codebook: the spikes; 0 is always one.
        tau: width of the windows, positive.

    Returns:
        The KL of every entry.

    Raises:
        ValueError: shapes that differ, or a ``tau`` that is not positive.
    """
    checks.same_shape(theta=theta, log_sigma2=log_sigma2)
    tau = checks.positive("tau", tau)
    spikes = tuple(c for c in codebook if c != 0)
    found = _kl_and_derivatives(theta.detach(), log_sigma2.detach(), spikes, tau)
    return _MultiSpikeKL.apply(theta, log_sigma2, spikes, tau, *found)


class _MultiSpikeKL(torch.autograd.Function):
    """The formula of :func:`multi_spike_kl`; its derivatives are found on the way.

    Autograd would do the same with twice the passes over memory, which are what a step costs.
    """

    @staticmethod
    def forward(theta, log_sigma2, spikes, tau, total, by_theta, by_log_sigma2):
        """The KL of every entry."""
        return total.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep what ``backward`` needs."""
        theta, log_sigma2, ctx.spikes, ctx.tau, _, *derivatives = inputs
        ctx.save_for_backward(theta, log_sigma2, *derivatives)

    @staticmethod
    def backward(ctx, gradient):
        """With respect to θ and to log σ²."""
        theta, log_sigma2, *derivatives = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted
            derivatives = _kl_and_derivatives(theta, log_sigma2, ctx.spikes, ctx.tau)[1:]
        return *(gradient * each for each in derivatives), None, None, None, None, None


def _kl_and_derivatives(theta, log_sigma2, spikes, tau):
    """The KL of every entry, and its derivatives; ``spikes`` are those other than 0."""
    at_zero = _local_kl(theta, log_sigma2)
    total, by_theta, by_log_sigma2 = (term.clone() for term in at_zero)
    for c in spikes:
        delta = theta - c
        gap, gap_by_theta, slope = _local_kl(delta, log_sigma2)
        gap.sub_(at_zero[0])
        gap_by_theta.sub_(at_zero[1])
        gap_by_log_sigma2 = slope - at_zero[2]  # not in place: gap_by_theta is made of slope
        window = delta.square().mul_(-0.5 / tau**2).exp_()  # Ω(θ − c_k)
        by_theta.addcmul_(window, gap_by_theta)
        by_log_sigma2.addcmul_(window, gap_by_log_sigma2)
        gap.mul_(window)
        total.add_(gap)
        by_theta.addcmul_(gap, delta, value=-1 / tau**2)  # dΩ / dθ = −Ω (θ − c_k) / τ²
    return total, by_theta, by_log_sigma2


def _local_kl(delta, log_sigma2):
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
