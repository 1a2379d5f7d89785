"""What the variational layers share: independent Gaussian posteriors of weights, perhaps of biases.

The geometry of Linear and Conv2d is :mod:`uecompress.networks.geometry`. A method adds its prior,
with the KL to it, and what follows from both.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import nn

from uecompress import checks
from uecompress.bayes.gaussian import draw, draw_weights
from uecompress.networks import LinearLayer


class GaussianLayer(ABC):
    """Posteriors N(``weight_mu``, exp ``weight_log_sigma2``), one for each weight.

    Biases are numbers, ``bias_mu``, or have posteriors too, with ``bias_log_sigma2``. The layer
    draws in training and while ``sampling`` is True; otherwise it uses the means.
    """

    @abstractmethod
    def kl(self):
        """KL(posterior ‖ prior) of the layer in nats."""

    def start_posterior(self, initial_log_sigma2, *, of_biases):
        """Create the parameters: torch's first weights as means, equal log variances.

        Args:
            initial_log_sigma2: the log variance.
            of_biases: whether biases have posteriors.

        Raises:
            TypeError: ``initial_log_sigma2`` is no number.
            ValueError: it is not finite, or its variance 0 or infinite in torch's default dtype.
        """
        initial_log_sigma2 = float(checks.real("initial_log_sigma2", initial_log_sigma2))
        self.settings["initial_log_sigma2"] = initial_log_sigma2
        plain = self.ordinary()
        dtype = plain.weight.dtype
        if not 0 < torch.tensor(initial_log_sigma2, dtype=dtype, device="cpu").exp() < math.inf:
            raise ValueError(
                f"initial_log_sigma2 must be finite, and its variance neither 0 nor infinite in "
                f"{dtype}, but it is {initial_log_sigma2}"
            )
        variances = {
            kind: nn.Parameter(torch.full_like(mu, initial_log_sigma2).detach())
            for kind, mu in plain.named_parameters()
        }
        self.weight_mu = plain.weight
        if not of_biases:  # the order of parameters is that of the tensors in a file
            self.register_parameter("bias_mu", plain.bias)
        self.weight_log_sigma2 = variances["weight"]
        if of_biases:
            self.register_parameter("bias_mu", plain.bias)
        self.register_parameter("bias_log_sigma2", variances.get("bias") if of_biases else None)
        self.sampling = False

    @property
    def dense_weight(self):
        """The posterior means of the weights, in the shape of torch's layer."""
        return self.weight_mu

    @property
    def dense_bias(self):
        """The posterior means of the biases, or None."""
        return self.bias_mu

    @property
    def bias_sigma2(self):
        """The variances of the biases; None where they have none."""
        return None if self.bias_log_sigma2 is None else self.bias_log_sigma2.exp()

    def take(self, weight, bias):
        """Keep a weight, and a bias if there is one, as posterior means."""
        self.weight_mu.copy_(weight)
        if bias is not None:
            self.bias_mu.copy_(bias)

    def forward(self, x):
        """Outputs as of torch's layer, drawn in training and while ``sampling``.

        What is drawn is the output, for every row of a Linear and every position of a Conv2d (whose
        positions share the weights: their covariance is neglected, as in Kingma et al. 2015 and
        everyone since). While ``sampling``, a Conv2d draws its weights, once for each pass.
        """
        if self.sampling and not isinstance(self, LinearLayer):
            weight = draw_weights(self.weight_mu, self.weight_log_sigma2)
            bias = self.bias_mu
            if self.bias_log_sigma2 is not None:
                bias = draw_weights(bias, self.bias_log_sigma2)
            return self.product(x, weight, bias)
        mean = self.product(x, self.weight_mu, self.bias_mu)
        if not (self.training or self.sampling):
            return mean
        return draw(mean, self.product(x.square(), self.weight_log_sigma2.exp(), self.bias_sigma2))

    @torch.no_grad()
    def plain_layer(self, weight):
        """Torch's layer with a weight and the biases' means; frozen where the means are.

        Raises:
            ValueError: ``weight`` or a parameter of the layer that is not finite.
        """
        checks.finite(**dict(self.named_parameters()), weight=weight)
        plain = self.ordinary(device="meta")
        plain.weight = nn.Parameter(weight.clone(), self.weight_mu.requires_grad)
        if self.has_bias:
            plain.bias = nn.Parameter(self.dense_bias.clone(), self.bias_mu.requires_grad)
        return plain
