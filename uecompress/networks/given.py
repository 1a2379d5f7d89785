"""What a layer is given while a batch runs through the network: the X of W X, and its Hessian.

Methods that look at responses, ‖(W − Ŵ) X‖², need no more of the data than X Xᵀ.
"""

import operator

import torch
from torch import nn

from uecompress import checks
from uecompress.networks.inputs import check_inputs, dtype_and_device, example_axis, examples
from uecompress.networks.plain import plain, plain_layers

_AT_ONCE = 128  # examples, so that the patches of convolutions fit into memory


@torch.no_grad()
def input_sums(model, x, function, only=None, combine=operator.add):
    """Sums over everything that each layer is given, in evaluation mode, dropout off.

    Args:
        model: a network; it is not changed.
        x: inputs (N, ...), or one batch per member (M, N, ...).
        function: is given X, (groups, d, columns) in float64, and returns a tensor; these are
            added. A column is one input of a Linear, or one patch of a Conv2d with its padding,
            flattened as a row of the weight is; ``groups`` is 1 but for grouped convolutions.
        only: the dotted name of one plain layer; all if not given.
        combine: what is done with two of these tensors instead of adding them.

    Returns:
        A dict: dotted name of each plain Linear and Conv2d layer -> (sum, number of columns).

    Raises:
        TypeError, ValueError: inputs that are not the network's; no plain layer, or one that the
            network does not call.
    """
    check_inputs(model, x)
    network = plain(model).eval()
    for module in network.modules():
        if hasattr(module, "sampling"):
            module.sampling = False
    layers, sums = plain_layers(network), {}
    layers = {name: layer for name, layer in layers.items() if only in (None, name)}
    _, device = dtype_and_device(network, x)

    def add(name, layer, given):
        columns = _columns(layer, given).double()
        value, count = function(columns), columns.shape[-1]
        if name in sums:
            value, count = combine(sums[name][0], value), sums[name][1] + count
        sums[name] = value, count

    for name, layer in layers.items():
        layer.register_forward_pre_hook(
            lambda layer, inputs, name=name: add(name, layer, inputs[0])
        )
    for start in range(0, x.shape[example_axis(x)], _AT_ONCE):
        network(examples(x, slice(start, start + _AT_ONCE)).to(device))
    missing = [repr(name) for name in layers if name not in sums]
    if missing:
        raise ValueError(f"the network does not call {', '.join(missing)}")
    return sums


def grams(model, x, only=None):
    """X Xᵀ of each layer, (groups, d, d) in float64, and the number of columns of X.

    Args:
        model: a network; it is not changed.
        x: inputs (N, ...).
        only: the dotted name of one plain layer; all if not given.

    Returns:
        A dict: dotted name of each plain Linear and Conv2d layer -> (X Xᵀ, number of columns).

    Raises:
        TypeError, ValueError: as in :func:`input_sums`.
    """
    return input_sums(model, x, lambda columns: columns @ columns.mT, only)


def hessian(gram, columns=1, *, damping=0.01):
    """2 X Xᵀ / columns, and a share of its mean diagonal added to the diagonal.

    It is the Hessian of ‖(W − Ŵ) X‖² / columns by each row of Ŵ.

    Args:
        gram: X Xᵀ, (..., d, d), in float64.
        columns: the number of columns of X.
        damping: that share, at least 0. Without it H has no inverse if an input was always zero.

    Raises:
        TypeError: ``damping`` is no number.
        ValueError: it is negative or not finite; all inputs were zero.
    """
    damping = checks.within("damping", damping, 0, float("inf"), open_high=True)
    h = 2 * gram / columns
    mean = h.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
    if not (mean > 0).all():
        raise ValueError("the inputs of the layer were all zero")
    return h + damping * mean[..., None, None] * torch.eye(h.shape[-1], dtype=h.dtype).to(h)


def inverse(h):
    """H⁻¹ of positive definite (..., d, d).

    Raises:
        ValueError: they are not positive definite.
    """
    factor, failed = torch.linalg.cholesky_ex(h)
    if failed.any():
        raise ValueError("the Hessian has no inverse: it needs more data, or damping above 0")
    return torch.cholesky_inverse(factor)


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
