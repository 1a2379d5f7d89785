"""L1 regularization whose zeros are zeros: a proximal step after each step of the optimizer."""

import math

from torch.nn import functional as F

from uecompress import checks
from uecompress.networks import linear_and_conv_layers, plain_layers


def l1(model, penalty):
    """An ``after_step`` that minimizes the loss + λ Σ ``|w|`` by soft thresholds: w → S(w, lr λ).

    S(w, t) moves w towards 0 by t, and what would pass 0 stays there (Parikh and Boyd, 2014). The
    gradient of λ ``|w|`` in the loss would leave no weight at exactly zero. Adam divides the
    gradient of the loss by its size, and not this step, so λ means something else there than with
    SGD.

    Args:
        model: the network to be trained. The weights of its plain layers shrink, biases do not.
        penalty: λ, at least 0: nats for each unit of ``|w|``.

    Returns:
        ``after_step(model, progress, optimizer)`` for :func:`training.fit
        <uecompress.training.fit>`.

    Raises:
        TypeError: a penalty that is no number.
        ValueError: it is below 0 or infinite; a network without plain layers.
    """
    penalty = checks.within("penalty", penalty, 0, math.inf, open_high=True)
    names = list(plain_layers(model))

    def after_step(trained, progress, optimizer):
        rates = {p: group["lr"] for group in optimizer.param_groups for p in group["params"]}
        layers = dict(linear_and_conv_layers(trained))
        for weight in (layers[name].weight for name in names):
            if weight in rates:  # the others are frozen
                weight.copy_(F.softshrink(weight, rates[weight] * penalty))

    return after_step
