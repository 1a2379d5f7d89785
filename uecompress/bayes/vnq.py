"""Variational network quantization (Achterhold, Koehler, Schmeink and Genewein, 2018).

The log-uniform prior of sparse variational dropout has one spike, at zero. The quantizing prior has
one at each value c_k of a codebook, p(w) ∝ Σ_k a_k / ``|w − c_k|`` with equal a_k (eq. 12), so that
training draws each weight to one of them. Here the codebook is ternary, [−a, 0, a], each layer
learns its own a, and afterwards every weight is one of three numbers.
"""

import torch
from torch import nn

from uecompress import checks
from uecompress.bayes.gaussian_layer import GaussianLayer
from uecompress.bayes.quantizing_prior import REFERENCE, multi_spike_kl
from uecompress.networks import Conv2dLayer, LinearLayer

_FUNNEL = 0.223  # exp(−3/2): where log alpha = 3, θ is 0.223 σ away from the spike


class VNQLayer(GaussianLayer):
    """Posteriors N(θ, σ²) of weights, the quantizing prior with its code a, the KL between them."""

    def start(self, *, initial_log_sigma2=-8.0, a=0.2):
        """Create the posteriors and a.

        What is trained is 100 a: an optimizer such as Adam, whose steps have the size of the
        learning rate, then moves a by a hundredth of it, as the paper asks.
        """
        a = checks.positive("a", a)
        self.start_posterior(initial_log_sigma2, of_biases=False)
        self.settings["a"] = a
        self.hundred_a = nn.Parameter(torch.tensor(100.0 * a))

    @property
    def a(self):
        """The layer's largest code, a scalar tensor."""
        return 0.01 * self.hundred_a

    @property
    def log_alpha(self):
        """The log of alpha = σ² / θ², of every weight."""
        return self.weight_log_sigma2 - (self.weight_mu.square() + 1e-8).log()

    def kl(self):
        """KL(q ‖ quantizing prior) of the weights in nats, up to a constant; approximate.

        For the codebook [−a, 0, a] it is that of θ / s and σ / s for [−r, 0, r], s = a / r.
        See :func:`multi_spike_kl`.
        """
        s = self.a / REFERENCE
        return multi_spike_kl(self.weight_mu / s, self.weight_log_sigma2 - 2 * s.log()).sum()


class VNQLinear(VNQLayer, LinearLayer):
    """A Linear layer that learns ternary weights; biases are ordinary parameters.

    It draws in training and while ``sampling`` is True, fresh weights for every example; otherwise
    it uses the means ``weight_mu`` (the paper's θ), before they are rounded.

    Args:
        in_features: size of the input.
        out_features: size of the output.
        bias: whether there are biases.
        initial_log_sigma2: log variance of every posterior at the start; −8 if not given.
        a: the codebook is [−a, 0, a] at the start; positive, 0.2 if not given.

    Raises:
        TypeError: an argument that is no number.
        ValueError: a size that is not a whole number of at least 1; ``a`` is not positive,
            ``initial_log_sigma2`` is not finite.
    """


class VNQConv2d(VNQLayer, Conv2dLayer):
    """A Conv2d layer that learns ternary weights, as in :class:`VNQLinear`.

    In training every output position has draws of its own (the covariance of the positions is
    neglected); while ``sampling`` the layer draws its weights, once for each pass.

    The arguments are those of :class:`Conv2dLayer <uecompress.networks.Conv2dLayer>`, and
    ``initial_log_sigma2`` and ``a`` as in :class:`VNQLinear`.
    """


def clip_vnq(model, progress=None):
    """The ``after_step`` of VNQ: keeps its parameters where the approximation of the KL is good.

    log σ² stays in [−10, 1], a is at least 0.05 (at a = 0 all spikes would be one), and θ stays in
    the outer funnels, [−a − 0.223 σ, a + 0.223 σ]: no spike draws what is beyond.

    Args:
        model: a network with VNQ layers; they are changed.
        progress: not used.

    Raises:
        ValueError: no VNQ layer.
    """
    with torch.no_grad():
        for layer in vnq_layers(model):
            layer.weight_log_sigma2.clamp_(-10, 1)
            layer.hundred_a.clamp_(min=5)
            edge = (0.5 * layer.weight_log_sigma2).exp_().mul_(_FUNNEL).add_(layer.a)
            layer.weight_mu.clamp_(-edge, edge)


def vnq_layers(model):
    """The VNQ layers of a network, or an error if there are none."""
    layers = [module for module in model.modules() if isinstance(module, VNQLayer)]
    if not layers:
        raise ValueError("the network has no VNQ layer")
    return layers
