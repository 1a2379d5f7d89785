"""Rounded activations: what each layer is given, on a grid that a calibration batch chooses."""

from collections import OrderedDict

import torch
from torch import nn

from uecompress import checks
from uecompress.networks import (
    check_inputs,
    dtype_and_device,
    example_axis,
    plain,
    plain_layers,
    replace_layers,
)
from uecompress.quantization.affine import fake_quantize
from uecompress.quantization.layer import QuantizedConv2d, QuantizedLinear
from uecompress.quantization.ranges import max_threshold

LAYERS = (nn.Linear, nn.Conv2d, QuantizedLinear, QuantizedConv2d)


class FakeQuantize(nn.Module):
    """Rounds every entry of its input to a grid; its step is the buffer ``scale``.

    What is beyond the grid is clipped. The gradient passes where nothing was clipped.

    Args:
        bits: from 1 to 8; signed codes need 2.
        signed: codes from −(2ᵇ⁻¹ − 1) to 2ᵇ⁻¹ − 1; otherwise, for what is never negative, from 0
            to 2ᵇ − 1.

    Raises:
        TypeError: ``bits`` is no number, ``signed`` not True or False.
        ValueError: ``bits`` out of range.
    """

    def __init__(self, bits=8, signed=True):
        super().__init__()
        self.signed = checks.flag("signed", signed)
        self.bits = checks.whole("bits", bits, 2 if signed else 1, 8)
        self.register_buffer("scale", torch.ones(()))

    @property
    def steps(self):
        """The largest code: steps from 0 to the end of the grid."""
        return 2 ** (self.bits - 1) - 1 if self.signed else 2**self.bits - 1

    @property
    def ends(self):
        """The smallest and the largest code."""
        return (-self.steps if self.signed else 0), self.steps

    def forward(self, x):
        """(...) -> (...)."""
        low, high = self.ends
        return fake_quantize(x, self.scale, low=low, high=high)

    def clipped(self, x):
        """Which entries lie more than half a step beyond the grid, booleans like ``x``."""
        low, high = self.ends
        codes = x / self.scale
        return (codes < low - 0.5) | (codes > high + 0.5)

    def config(self):
        """The constructor's arguments."""
        return {"bits": self.bits, "signed": self.signed}

    def extra_repr(self):
        """The constructor's arguments, for ``print``."""
        return f"bits={self.bits}, signed={self.signed}"


class DynamicFakeQuantize(nn.Module):
    """Rounds every example, or token, to a signed grid that ends at its own largest size.

    No range has to be known before. A row of a matrix and a token (the last axis) have a scale of
    their own, and so has an image (the last three).

    Args:
        bits: from 2 to 8.

    Raises:
        TypeError: ``bits`` is no number.
        ValueError: it is out of range.
    """

    def __init__(self, bits=8):
        super().__init__()
        self.bits = checks.whole("bits", bits, 2, 8)

    def forward(self, x):
        """(..., features) or (N, C, H, W) -> the same shape."""
        high = 2 ** (self.bits - 1) - 1
        largest = x.detach().abs().amax(dim=(1, 2, 3) if x.ndim == 4 else -1, keepdim=True)
        tiny = torch.finfo(x.dtype).tiny
        return fake_quantize(x, (largest / high).clamp(min=tiny), low=-high, high=high)

    def config(self):
        """The constructor's arguments."""
        return {"bits": self.bits}

    def extra_repr(self):
        """The constructor's arguments, for ``print``."""
        return f"bits={self.bits}"


@torch.no_grad()
def round_activations(model, x, bits=8, *, threshold=max_threshold):
    """A copy of a network that rounds what each layer is given.

    Each Linear and Conv2d layer, plain or of integer codes, becomes an ``nn.Sequential`` of a
    :class:`FakeQuantize`, ``round``, and itself, ``layer``. The ranges are those of the
    activations of ``x`` in the network as it is, without rounding; where none of them was negative
    the grid is unsigned. They are held in memory, layer after layer: a few hundred examples do.

    Args:
        model: a network; it is not changed.
        x: calibration inputs (N, ...), of which no labels are needed.
        bits: from 1 to 8, at least 2 where activations can be negative.
        threshold: as in :func:`quantize`, of one row that holds all activations.

    Raises:
        TypeError, ValueError: inputs that are not the network's; bits out of range; no such layer,
            one that the network does not call, or one whose inputs are all zero.

    Warns:
        UserWarning: layers that are not plain, which stay.
    """
    check_inputs(model, x)
    model = plain(model)
    layers, rounding = plain_layers(model, *LAYERS), {}
    for name in layers:
        given = given_to(model, name, x)
        with checks.naming(name):
            rounds = FakeQuantize(bits, signed=bool((given < 0).any())).to(given)
            rounds.scale.copy_(threshold(given[None], rounds.steps)[0] / rounds.steps)
            if not rounds.scale > 0:
                raise ValueError("the threshold of the activations is 0")
        rounding[name] = rounds

    def replace(name, leaf):
        if name in rounding:
            return nn.Sequential(OrderedDict(round=rounding[name], layer=leaf))
        return None

    return replace_layers(model, replace)


@torch.no_grad()
def clipped_share(model, x):
    """Which share of its rounded activations each example has beyond the grids.

    The ranges were chosen on digits. What clips more may be none: the share is a score of doubt
    that costs nothing but counting.

    Args:
        model: what :func:`round_activations` returned; it is not changed.
        x: inputs (N, ...).

    Returns:
        (N,), float64, in [0, 1].

    Raises:
        TypeError, ValueError: inputs that are not the network's; no :class:`FakeQuantize`.
    """
    check_inputs(model, x)
    network, counts = plain(model).eval(), [0.0, 0]

    def count(module, inputs):
        beyond = module.clipped(inputs[0]).flatten(1)  # (N, ...) -> (N, entries)
        counts[0] = counts[0] + beyond.double().sum(dim=1).cpu()
        counts[1] += beyond.shape[1]

    for module in network.modules():
        if isinstance(module, FakeQuantize):
            module.register_forward_pre_hook(count)
    network(x.to(dtype_and_device(network, x)[1]))
    if not counts[1]:
        raise ValueError("the network rounds no activations: use round_activations")
    return counts[0] / counts[1]


@torch.no_grad()
def given_to(model, name, x):
    """All that one layer is given, flattened, in evaluation mode.

    Raises:
        ValueError: the network does not call it, or gives it nothing but zeros.
    """
    network, found = plain(model).eval(), []
    layer = network.get_submodule(name)
    layer.register_forward_pre_hook(lambda layer, inputs: found.append(inputs[0].flatten()))
    _, device = dtype_and_device(network, x)
    for batch in x.split(128, example_axis(x)):
        network(batch.to(device))
    if not found:
        raise ValueError(f"the network does not call {name!r}")
    given = torch.cat(found)
    if not given.any():
        raise ValueError(f"the inputs of layer {name!r} were all zero")
    return given
