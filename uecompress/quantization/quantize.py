"""Rounding a trained network: integer codes, or floats of fewer bits."""

from collections.abc import Mapping

import torch

from uecompress import checks
from uecompress.networks import plain, plain_layers, replace_layers
from uecompress.networks.values import with_new_values
from uecompress.quantization.affine import KINDS
from uecompress.quantization.layer import quantized
from uecompress.quantization.ranges import max_threshold
from uecompress.quantization.weights import code_weight

_FLOATS = (torch.float16, torch.bfloat16)


def quantize(model, bits=None, *, kind="symmetric", per="channel", threshold=max_threshold):
    """A copy of a network whose Linear and Conv2d layers keep integer codes.

    Biases, norms and activations stay as they are; :func:`round_activations` rounds the latter.

    Args:
        model: a network; it is not changed.
        bits: from 2 to 8, 8 if not given (1, 2 and 4 of "binary", "ternary" and "nf4"); or a dict,
            dotted name of a layer -> bits, and layers that it does not name stay.
        kind: of the grid, as in :class:`QuantizedLinear`.
        per: what shares a scale: "tensor", "channel" (an output), or the size of groups of inputs.
        threshold: where a symmetric or full grid ends: :func:`max_threshold` (nothing is clipped),
            :func:`percentile_threshold`, :func:`mse_threshold`, :func:`kl_threshold`, or another
            function of (rows, entries) and the steps from 0 to it.

    Raises:
        TypeError: numbers that are none.
        ValueError: bits out of range, no such kind, groups below 1, names of no plain layer,
            weights that are not finite, no plain Linear or Conv2d layer.

    Warns:
        UserWarning: layers that are not plain, which stay.
    """
    model = plain(model)
    layers = plain_layers(model)
    if not isinstance(bits, Mapping):
        bits = dict.fromkeys(layers, (KINDS.get(kind) or 8) if bits is None else bits)
    if unknown := [repr(name) for name in bits if name not in layers]:
        raise ValueError(f"no plain layers: {', '.join(unknown)}")
    if not bits:
        raise ValueError("bits names no layer")

    def replace(name, leaf):
        if name not in bits:
            return None
        grid = {"bits": bits[name], "kind": kind, "per": per}
        with checks.naming(name):
            layer = quantized(leaf, **grid)
            if threshold is not max_threshold:
                layer.keep(*code_weight(leaf.weight.detach(), **grid, threshold=threshold))
        return layer

    return replace_layers(model, replace)


def round_floats(model, dtype):
    """A copy of a network whose weights and biases are floats of sixteen bits.

    The tensors keep their dtype, so that nothing else is computed differently; a file holds them in
    half the bytes.

    Args:
        model: a network; it is not changed.
        dtype: ``torch.float16`` or ``torch.bfloat16``.

    Raises:
        TypeError: another dtype.
        ValueError: a weight beyond 65504, the largest float16; numbers that are not finite; no
            plain Linear or Conv2d layer.
    """
    if dtype not in _FLOATS:
        raise TypeError(f"dtype must be torch.float16 or torch.bfloat16, not {dtype!r}")
    model = plain(model)

    def function(name, layer):
        values = {"weight": layer.weight, "bias": layer.bias}
        rounded = {k: v.to(dtype).to(v.dtype) for k, v in values.items() if v is not None}
        with checks.naming(name):
            checks.finite(**rounded)
        return rounded

    return with_new_values(model, list(plain_layers(model)), function)
