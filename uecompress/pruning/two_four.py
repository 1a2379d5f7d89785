"""2:4 sparsity (Mishra et al., 2021): two of each four neighbouring weights are zero.

Sparse tensor cores of GPUs skip these zeros, at twice the speed of a dense product. Which two of
the four are left takes log₂ 6 bits of four weights, 0.65 a weight. On a CPU torch gains nothing.
"""

import warnings

import torch

from uecompress.networks import plain
from uecompress.pruning.choosing import scored_layers


@torch.no_grad()
def two_four(model, scores):
    """A copy of a network in which each four weights along the inputs of a layer have two zeros.

    The four are inputs 0 to 3, 4 to 7, ... of one output, in a Conv2d input channels at one place
    of the kernel. The two of the highest scores stay; of equal scores the first.

    Args:
        model: a network; it is not changed.
        scores: a dict: dotted name of a layer -> tensor like its weight, higher = keep: absolute
            weights, or those of :func:`~uecompress.pruning.wanda`. Layers that are not named stay.

    Raises:
        TypeError: scores that are no tensors of floating-point numbers.
        ValueError: scores of no plain layer, of another shape, or not finite; no layer whose number
            of inputs is divisible by four.

    Warns:
        UserWarning: layers whose number of inputs is not divisible by four, which are left.
    """
    result, left = plain(model), []
    layers = scored_layers(result, scores)
    for name, (layer, score) in layers.items():
        # (out, in, ...) -> (out, ..., in); a grouped convolution has the inputs of a group
        weight, score = layer.weight.movedim(1, -1), score.movedim(1, -1)
        if weight.shape[-1] % 4:
            left.append(f"{name!r} has {weight.shape[-1]} inputs")
            continue
        fours = score.unflatten(-1, (-1, 4))  # (..., in) -> (..., in / 4, 4)
        lowest = fours.sort(dim=-1, descending=True, stable=True).indices[..., 2:]
        gone = torch.zeros_like(fours, dtype=torch.bool).scatter_(-1, lowest, True)
        weight.masked_fill_(gone.flatten(-2), 0)  # a view of the layer's weight
    if left:
        reason = f"not divisible by four: {', '.join(left)}"
        if len(left) == len(layers):
            raise ValueError(reason)
        warnings.warn(f"left as they are, {reason}", stacklevel=2)
    return result
