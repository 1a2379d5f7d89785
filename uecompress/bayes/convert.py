"""Between an ordinary Linear or Conv2d layer and a variational one, in both directions."""

import math

import torch
from torch import nn


def geometry_of(conv):
    """The arguments that ``F.conv2d`` takes beside the tensors.

    Raises:
        ValueError: padding with anything but zeros, which ``F.conv2d`` does not do by itself.
    """
    if conv.padding_mode != "zeros":
        raise ValueError(f"padding_mode {conv.padding_mode!r} is not supported, only 'zeros'")
    return {name: getattr(conv, name) for name in ("stride", "padding", "dilation", "groups")}


def initial_variances(mu, log_sigma2):
    """A parameter of the shape of ``mu`` that holds equal log variances; None for None.

    Raises:
        ValueError: a log variance that is not finite, or whose variance is 0 or infinite in the
            dtype of ``mu``.
    """
    if mu is None:
        return None
    if not 0 < torch.tensor(log_sigma2, dtype=mu.dtype, device="cpu").exp() < math.inf:
        raise ValueError(
            f"initial_log_sigma2 must be finite, and its variance neither 0 nor infinite in "
            f"{mu.dtype}, but it is {log_sigma2}"
        )
    return nn.Parameter(torch.full_like(mu, log_sigma2))


def copy_weights(plain, make):
    """``make()``, a variational layer, with the weight and bias of ``plain`` as its means.

    The caller's random numbers stay as they were.

    Raises:
        ValueError: weights that are not finite.
    """
    with torch.random.fork_rng(devices=[]):
        layer = make().to(plain.weight)  # dtype and device
    with torch.no_grad():
        for mu, value in [(layer.weight_mu, plain.weight), (layer.bias_mu, plain.bias)]:
            if value is not None:
                if not torch.isfinite(value).all():
                    raise ValueError("a weight or bias is NaN or infinite")
                mu.copy_(value)
    return layer.train(plain.training)


def plain_layer(layer, weight):
    """The ordinary layer with ``weight`` and the biases' means of a variational one.

    Raises:
        ValueError: ``weight`` or a parameter of ``layer`` that is not finite.
    """
    for name, values in [*layer.named_parameters(), ("weight", weight)]:
        if not torch.isfinite(values).all():
            raise ValueError(f"{name} contains NaN or infinity")
    bias = layer.bias_mu is not None
    if weight.ndim == 2:
        sizes = layer.in_features, layer.out_features
        plain = nn.utils.skip_init(nn.Linear, *sizes, bias=bias, device=weight.device)
    else:
        sizes = layer.in_channels, layer.out_channels, layer.kernel_size
        plain = nn.utils.skip_init(
            nn.Conv2d, *sizes, **layer.geometry, bias=bias, device=weight.device
        )
    plain.to(weight)
    with torch.no_grad():
        plain.weight.copy_(weight)
        if bias:
            plain.bias.copy_(layer.bias_mu)
    return plain
