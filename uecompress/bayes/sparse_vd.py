"""Sparse variational dropout (Molchanov, Ashukha and Vetrov, 2017).

Each weight has the posterior N(theta, sigma²) and the log-uniform prior p(w) ∝ 1 / ``|w|``. The KL
depends on alpha = sigma² / theta² alone and falls to 0 as alpha grows: a weight that the data do
not need becomes noise, and is pruned. The noise is parametrized by sigma² ("additive"), not by
alpha, which keeps the variance of the gradients down.

The prior cannot be normalized, so neither can the posterior be a true one (Hron et al. 2018): take
the KL as a regularizer that prunes, not as the length of a code.
"""

from uecompress.bayes.gaussian_layer import GaussianLayer
from uecompress.bayes.log_uniform import log_uniform_kl
from uecompress.networks import Conv2dLayer, LinearLayer


class SparseVDLayer(GaussianLayer):
    """Posteriors N(theta, sigma²) of weights, the log-uniform prior, and the KL between them."""

    def start(self, *, initial_log_sigma2=-10.0):
        """Create the posteriors."""
        self.start_posterior(initial_log_sigma2, of_biases=False)

    @property
    def log_alpha(self):
        """The log of alpha = sigma² / theta², of every weight, clipped to [−8, 8]."""
        return (self.weight_log_sigma2 - (self.weight_mu.square() + 1e-8).log()).clamp(-8, 8)

    def kl(self):
        """KL(posterior ‖ log-uniform prior) of the weights in nats, up to a constant.

        The constant is chosen so that the KL vanishes as alpha grows. The approximation is off by
        less than 0.01 nats a weight (eq. 14, see :func:`log_uniform_kl`).
        """
        return log_uniform_kl(self.log_alpha).sum()


class SparseVDLinear(SparseVDLayer, LinearLayer):
    """A Linear layer with sparse variational dropout; biases are ordinary parameters.

    It draws in training and while ``sampling`` is True, fresh weights for every example (eq. 17);
    otherwise it uses the means ``weight_mu`` (the paper's theta), those included that pruning would
    remove.

    Args:
        in_features: size of the input.
        out_features: size of the output.
        bias: whether there are biases.
        initial_log_sigma2: log variance of every posterior at the start. At the released value,
            −10, which is taken if none is given, training begins almost without noise.

    Raises:
        TypeError: an argument that is no number.
        ValueError: a size that is not a whole number of at least 1; ``initial_log_sigma2`` is not
            finite.
    """


class SparseVDConv2d(SparseVDLayer, Conv2dLayer):
    """A Conv2d layer with sparse variational dropout, as in :class:`SparseVDLinear`.

    In training every output position has draws of its own (the covariance of the positions is
    neglected); while ``sampling`` the layer draws its weights, once for each pass.

    The arguments are those of :class:`Conv2dLayer <uecompress.networks.Conv2dLayer>`, and
    ``initial_log_sigma2`` as in :class:`SparseVDLinear`.
    """
