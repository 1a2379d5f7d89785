"""What a layer is given while a batch runs through the network: the X of W X."""

import torch
from torch import nn

from uecompress import training
from uecompress.networks import dtype_and_device, example_axis, examples, plain, plain_layers
from uecompress.uncertainty.predict import evaluation_mode

_AT_ONCE = 128  # examples, so that the patches of convolutions fit into memory


@torch.no_grad()
def input_sums(model, batch, function, only=None):
    """Sums over everything that each layer is given, in evaluation mode, dropout off.

    Args:
        model: a network; it is not changed.
        batch: inputs (N, ...) and targets, which are not used.
        function: is given X, (groups, d, columns) in float64, and returns a tensor; these are
            added. A column is one input of a Linear, or one patch of a Conv2d with its padding,
            flattened as a row of the weight is; ``groups`` is 1 but for grouped convolutions.
        only: the dotted name of one plain layer; all if not given.

    Returns:
        A dict: dotted name of each plain Linear and Conv2d layer -> (sum, number of columns).

    Raises:
        TypeError, ValueError: data that ``training.fit`` would not take; no plain layer, or one
            that the network does not call.
    """
    x, _ = training.check_data(model, batch)
    network = plain(model)
    layers, sums = plain_layers(network), {}
    layers = {name: layer for name, layer in layers.items() if only in (None, name)}
    _, device = dtype_and_device(network, x)

    def add(name, layer, given):
        columns = _columns(layer, given).double()
        total, count = sums.get(name, (0, 0))
        sums[name] = total + function(columns), count + columns.shape[-1]

    for name, layer in layers.items():
        layer.register_forward_pre_hook(
            lambda layer, inputs, name=name: add(name, layer, inputs[0])
        )
    with evaluation_mode(network):
        for start in range(0, x.shape[example_axis(x)], _AT_ONCE):
            network(examples(x, slice(start, start + _AT_ONCE)).to(device))
    missing = [repr(name) for name in layers if name not in sums]
    if missing:
        raise ValueError(f"the network does not call {', '.join(missing)}")
    return sums


def grams(model, batch, only=None):
    """X Xᵀ of each layer, (groups, d, d) in float64, and the number of columns of X.

    Args:
        model: a network; it is not changed.
        batch: inputs (N, ...) and targets, which are not used.
        only: the dotted name of one plain layer; all if not given.

    Returns:
        A dict: dotted name of each plain Linear and Conv2d layer -> (X Xᵀ, number of columns).

    Raises:
        TypeError, ValueError: as in :func:`input_sums`.
    """
    return input_sums(model, batch, lambda x: x @ x.mT, only)


def _columns(layer, given):
    """X of one call of a layer."""
    if isinstance(layer, nn.Linear):
        return given.flatten(0, -2).mT[None]  # (..., d) -> (1, d, columns)
    size = layer.weight[0].numel()
    unit = torch.eye(size, dtype=given.dtype, device=given.device).view(-1, *layer.weight.shape[1:])
    # A kernel that is 1 at one place gives that entry of each patch, with any padding.
    patches = layer._conv_forward(given, unit.repeat(layer.groups, 1, 1, 1), None)
    # (N, groups · d, H', W') -> (groups, d, N · H' · W')
    return patches.unflatten(1, (layer.groups, size)).permute(1, 2, 0, 3, 4).flatten(2)
