"""Layers that keep signed integer codes in place of weights."""

import torch

from uecompress import checks
from uecompress.networks import Conv2dLayer, LinearLayer
from uecompress.quantization.blocks import count, spread
from uecompress.quantization.weights import NF4, check_grid, code_weight, limits


class QuantizedLayer:
    """What the Linear and the Conv2d layer share: the buffers ``codes`` and ``scale``."""

    def start(self, bits=8, kind="symmetric", per="channel"):
        """Create the buffers, all codes 0: ``take`` or ``keep`` have others."""
        self.bits, self.kind, self.per = check_grid(bits, kind, per)
        self.settings = {"bits": self.bits, "kind": self.kind, "per": self.per}
        drawn = self.ordinary()
        shape, widest = drawn.weight.shape, max(map(abs, limits(self.bits, self.kind)))
        dtype = torch.int8 if widest <= 128 else torch.int16
        self.register_parameter("bias", drawn.bias)
        self.register_buffer("codes", torch.zeros(shape, dtype=dtype))
        self.register_buffer("scale", torch.ones(count(shape, self.per)))

    def take(self, weight, bias):
        """Keep a weight rounded to the nearest code, nothing clipped, and a bias as it is."""
        self.keep(*code_weight(weight, self.bits, self.kind, self.per))
        if bias is not None:
            self.bias.copy_(bias)

    @torch.no_grad()
    def keep(self, codes, scale):
        """Keep codes and scales.

        Args:
            codes: whole numbers in the shape of the weight.
            scale: (scales,).

        Raises:
            ValueError: other shapes, codes out of range or not whole, scales that are not finite.
        """
        checks.same_shape(codes=codes, weight=self.codes)
        checks.same_shape(scale=scale, scales=self.scale)
        checks.finite(codes=codes, scale=scale)
        low, high = limits(self.bits, self.kind)
        if (codes < low).any() or (codes > high).any() or (codes != codes.round()).any():
            raise ValueError(f"codes must be whole numbers from {low} to {high}")
        self.codes.copy_(codes)
        self.scale.copy_(scale)

    @property
    def dense_weight(self):
        """The weight, in the dtype of the scale."""
        if self.kind == "nf4":
            values = torch.tensor(NF4, dtype=self.scale.dtype, device=self.scale.device)
            values = values[self.codes.long() + 7]
        else:
            values = self.codes.to(self.scale.dtype)
        return spread(self.scale, values.shape, self.per) * values


class QuantizedLinear(QuantizedLayer, LinearLayer):
    """A Linear layer of integer codes: the weight is scale · code.

    A new one has the weight 0. :meth:`from_linear` rounds a weight, nothing clipped, and ``keep``
    takes codes and scales that are known.

    Args:
        in_features: size of the input.
        out_features: size of the output.
        bias: whether there are biases, which are not quantized.
        bits: from 2 to 8; of "binary", "ternary" and "nf4" 1, 2 and 4.
        kind: of the grid: "symmetric", "full", "asymmetric" (its codes are q − β), "binary",
            "ternary", "nf4" (whose codes stand for sixteen uneven numbers).
        per: what shares a scale: "tensor", "channel" (an output), or the size of groups of inputs.

    Raises:
        TypeError: an argument that is no number.
        ValueError: one out of range, or no such kind.
    """


class QuantizedConv2d(QuantizedLayer, Conv2dLayer):
    """A Conv2d layer of integer codes, as :class:`QuantizedLinear`.

    The arguments are those of :class:`Conv2dLayer <uecompress.networks.Conv2dLayer>`, and behind
    the sizes those of :class:`QuantizedLinear`. Groups of inputs lie along flattened kernels.
    """


def quantized(layer, **grid):
    """The quantized layer of an ``nn.Linear`` or ``nn.Conv2d``.

    Args:
        layer: it is not changed.
        grid: ``bits``, ``kind`` and ``per``.
    """
    if isinstance(layer, torch.nn.Linear):
        return QuantizedLinear.from_linear(layer, **grid)
    return QuantizedConv2d.from_conv2d(layer, **grid)
