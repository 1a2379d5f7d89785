"""Eight-bit integers that run: products of int8 codes, summed in int32.

Everywhere else in this room integers are turned into floats before they are multiplied, which
shows what they cost in accuracy and gains no time. Here the product itself is one of integers,
``torch._int_mm``: the operator below torchao's int8 layers, which needs neither the quantized
tensors nor the ``torch.ao`` of older releases. On x86 it is oneDNN's. Its speed rests on
instructions that multiply and add four int8 at once: VNNI (AVX512-VNNI, AVX-VNNI) or AMX. Without
them the result is the same, and hardly faster than floats, or slower. Activations are rounded as
they come, so that small layers lose more time than they win: measure.
"""

import torch
from torch import nn

from uecompress.networks import plain, plain_layers, replace_layers
from uecompress.quantization.affine import to_codes
from uecompress.quantization.layer import QuantizedLinear, quantized

_MOST = 2**31 // 128**2 - 1  # inputs whose products fit into int32


class Int8Linear(nn.Module):
    """Multiplies the codes of a layer by its inputs, rounded to int8 with a scale for each row.

    It computes what a :class:`DynamicFakeQuantize` of eight bits and the layer do, in integers, and
    has no gradient by its input.

    Args:
        layer: a :class:`QuantizedLinear` of codes of at most eight bits around 0, with one scale or
            one for each output.

    Raises:
        TypeError: another module.
        ValueError: uneven numbers ("nf4"), an asymmetric grid of eight bits, groups; more inputs
            than int32 can sum.
    """

    def __init__(self, layer):
        super().__init__()
        if not isinstance(layer, QuantizedLinear):
            raise TypeError(f"layer must be a QuantizedLinear, not {type(layer).__name__}")
        if reason := _obstacle(layer):
            raise ValueError(f"the layer {reason}")
        self.layer = layer

    def forward(self, x):
        """(..., in_features) -> (..., out_features)."""
        layer, rows = self.layer, x.reshape(-1, x.shape[-1])  # (..., in) -> (rows, in)
        largest = rows.detach().abs().amax(dim=1, keepdim=True)
        scale = (largest / 127).clamp(min=torch.finfo(x.dtype).tiny)
        codes = to_codes(rows.detach(), scale, low=-127, high=127).to(torch.int8)
        sums = torch._int_mm(codes, layer.codes.mT)  # int32, (rows, out)
        y = sums.to(x.dtype) * scale * layer.scale
        if layer.bias is not None:
            y = y + layer.bias
        return y.unflatten(0, x.shape[:-1])

    def config(self):
        """The constructor's arguments."""
        return {"layer": self.layer}


def int8(model):
    """A copy of a network whose Linear layers multiply eight-bit integers.

    Plain Linear layers are rounded to eight bits with a scale for each output; layers of integer
    codes keep theirs. Convolutions stay as they are: torch has no integer ones. The result is for
    prediction and is not trained.

    Args:
        model: a network; it is not changed.

    Raises:
        ValueError: no Linear layer, plain or of integer codes, that can do it.

    Warns:
        UserWarning: such layers that are not plain, or whose codes are not as :class:`Int8Linear`
            needs them, which stay.
    """
    model = plain(model)
    layers = plain_layers(model, nn.Linear, QuantizedLinear, unless=_obstacle)

    def replace(name, leaf):
        if name not in layers:
            return None
        return Int8Linear(quantized(leaf, bits=8) if isinstance(leaf, nn.Linear) else leaf)

    return replace_layers(model, replace)


def _obstacle(layer):
    """Why a layer cannot be multiplied so, words that follow its name; None if it can."""
    if layer.in_features > _MOST:
        return f"has more inputs than the {_MOST} that int32 can sum"
    if isinstance(layer, QuantizedLinear):
        if layer.kind == "nf4":
            return "has codes of uneven numbers"
        if layer.codes.dtype != torch.int8:
            return "has codes of more than eight bits"
        if layer.per not in ("tensor", "channel"):
            return "has a scale for each group of inputs"
    return None
