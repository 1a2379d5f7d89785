"""Outlier channel splitting (Zhao et al., 2019): an input twice, each time with half the weight.

The largest weight of a layer decides how coarse its grid is. With the input that it multiplies
handed in twice and w split in two, the layer computes what it did and its range is smaller. Halves
round differently from the whole; (w − δ/2)/2 and (w + δ/2)/2, for a step δ, do not: by Hermite's
identity their codes add up to that of w.
"""

import math
from collections import OrderedDict

import torch
from torch import nn

from uecompress import checks
from uecompress.networks import plain, plain_layers, replace_layers
from uecompress.quantization.affine import code_range
from uecompress.quantization.layer import quantized
from uecompress.quantization.ranges import max_threshold
from uecompress.quantization.weights import code_weight


class DuplicateChannels(nn.Module):
    """Hands in some channels a second time, behind the others.

    Args:
        channels: of the input: the last axis, of images (N, C, H, W) the second.
        copies: which channels follow, each from 0 to ``channels`` − 1; one may stand there often.

    Raises:
        TypeError: what is no number.
        ValueError: numbers that are not whole or out of range; in the forward pass, another number
            of channels.
    """

    def __init__(self, channels, copies):
        super().__init__()
        self.channels = checks.whole("channels", channels)
        self.copies = tuple(checks.whole("copies", c, 0, self.channels - 1) for c in copies)
        order = torch.tensor([*range(self.channels), *self.copies])
        self.register_buffer("order", order, persistent=False)

    def forward(self, x):
        """(..., C) or (N, C, H, W) -> the same with C + copies."""
        axis = 1 if x.ndim == 4 else -1
        if x.shape[axis] != self.channels:
            raise ValueError(f"expected {self.channels} channels, not {x.shape[axis]}")
        return x.index_select(axis, self.order)

    def config(self):
        """The constructor's arguments."""
        return {"channels": self.channels, "copies": self.copies}

    def extra_repr(self):
        """The constructor's arguments, for ``print``."""
        return f"channels={self.channels}, copies={self.copies}"


@torch.no_grad()
def split_weight(weight, count, step=0.0):
    """A weight with ``count`` more inputs, of which the largest was split, one after another.

    Args:
        weight: (out, in, ...).
        count: how many inputs to split, at least 0; one may be split again.
        step: δ of the grid on which the halves shall round to what the whole does; 0 for halves.

    Returns:
        The weight (out, in + count, ...), and for each new input the old one that it copies.

    Raises:
        TypeError, ValueError: ``count`` not whole or below 0; ``step`` negative or not finite.
    """
    count, step = checks.whole("count", count, 0), checks.within("step", step, 0, math.inf)
    columns = [column.clone() for column in weight.unbind(1)]
    origin = list(range(len(columns)))
    largest = [column.abs().max().item() for column in columns]
    for _ in range(count):
        k = max(range(len(columns)), key=largest.__getitem__)
        whole = columns[k]
        columns[k] = (whole - step / 2) / 2
        columns.append((whole + step / 2) / 2)
        origin.append(origin[k])
        largest[k] = columns[k].abs().max().item()
        largest.append(columns[-1].abs().max().item())
    return torch.stack(columns, dim=1), tuple(origin[weight.shape[1] :])


def split_channels(model, ratio):
    """A copy of a network that computes the same, in which inputs of large weights come twice.

    Each Linear and Conv2d layer becomes an ``nn.Sequential`` of :class:`DuplicateChannels`,
    ``split``, and a wider layer, ``layer``, with halves of weights (the authors' "naive" split).
    Of C inputs ⌈ratio · C⌉ are split: 2 % of 20 channels are 5 %.

    Args:
        model: a network; it is not changed.
        ratio: share of the inputs, in (0, 1].

    Raises:
        TypeError, ValueError: a ratio that is no number or outside; weights that are not finite; no
            plain layer without groups.

    Warns:
        UserWarning: layers that are not plain, or convolutions in groups, which stay.
    """

    def split(layer, count):
        weight, copies = split_weight(layer.weight.detach(), count)
        return _wider(layer, weight), copies

    return _split(model, ratio, split)


def quantize_split(model, bits, ratio, *, grid_aware=True, threshold=max_threshold):
    """A copy of a network of integer codes, in which inputs of large weights come twice.

    The range is that of the halves, and one scale serves the layer, as in the paper: with a scale
    for each output an input has no weight that is large for all of them.

    Args:
        model: a network; it is not changed.
        bits: from 2 to 8.
        ratio: share of the inputs that are split, in (0, 1].
        grid_aware: split such that the codes of both add up to what the code would be.
        threshold: as in :func:`quantize`, of the halves.

    Raises:
        TypeError, ValueError: as :func:`split_channels` and :func:`quantize`.

    Warns:
        UserWarning: as :func:`split_channels`.
    """
    _, steps = code_range(bits)
    grid_aware = checks.flag("grid_aware", grid_aware)

    def split(layer, count):
        weight, copies = split_weight(layer.weight.detach(), count)
        end = threshold(weight.reshape(1, -1), steps)
        if grid_aware:
            weight, copies = split_weight(layer.weight.detach(), count, (end / steps).item())
        grid = {"bits": bits, "per": "tensor"}
        result = quantized(_wider(layer, weight), **grid)
        result.keep(*code_weight(weight, **grid, threshold=lambda rows, steps: end))
        return result, copies

    return _split(model, ratio, split)


def _split(model, ratio, function):
    """The network with ``function(layer, count)``, a layer and its copies, for each layer."""
    ratio, model = checks.within("ratio", ratio, 0, 1, open_low=True), plain(model)
    layers = plain_layers(model, unless=_in_groups)

    def replace(name, leaf):
        if name not in layers:
            return None
        channels = leaf.weight.shape[1]
        with checks.naming(name):
            checks.finite(weight=leaf.weight, bias=leaf.bias)
            layer, copies = function(leaf, math.ceil(ratio * channels))
        split = DuplicateChannels(channels, copies).to(leaf.weight.device)
        return nn.Sequential(OrderedDict(split=split, layer=layer))

    return replace_layers(model, replace)


def _in_groups(layer):
    return "has groups of channels" if getattr(layer, "groups", 1) > 1 else None


def _wider(layer, weight):
    """Torch's layer with another weight, of more inputs."""
    layer = layer.requires_grad_(layer.weight.requires_grad)
    layer.weight = nn.Parameter(weight, layer.weight.requires_grad)
    name = "in_features" if isinstance(layer, nn.Linear) else "in_channels"
    setattr(layer, name, weight.shape[1])
    return layer
