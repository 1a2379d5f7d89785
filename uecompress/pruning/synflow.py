"""Synaptic flow (Tanaka et al., 2020): what a network without data owes to each weight."""

import torch

from uecompress import checks
from uecompress.networks import dtype_and_device, plain
from uecompress.pruning.saliency import saliency_of


def synflow(model, batch=None, *, input_shape):
    """Synaptic flow (Tanaka et al., 2020; the lecture's eq. 11), without data: the saliency of R.

    R is the sum of the outputs of :func:`absolute` for an input of ones; in a chain of matrices it
    is 1ᵀ ``|W_L| ⋯ |W_1|`` 1. Scored once, it empties layers before other methods do; its use is in
    :func:`~uecompress.pruning.prune_in_rounds`.

    Args:
        model: a network.
        batch: not used.
        input_shape: of one example, such as (1, 28, 28).

    Returns:
        A dict of float64 tensors: of deep networks R is beyond float32.

    Raises:
        TypeError, ValueError: sizes that are no positive whole numbers, a network without plain
            layers, or with an R that even float64 does not hold.
    """
    sizes = [checks.whole("input_shape", size) for size in input_shape]

    def functional(network):
        _, device = dtype_and_device(network, torch.empty(()))
        return network(torch.ones(1, *sizes, dtype=torch.float64, device=device)).sum()

    found = saliency_of(absolute(model), functional)
    return {name: score.abs_() for name, score in found.items()}


@torch.no_grad()
def absolute(model):
    """The network whose saliency SynFlow is: absolute values of all parameters, in float64.

    Running means become zero, where the authors' code takes their absolute values: that is the same
    before training, and afterwards it would subtract. Batch norms are thus scales, with ``|β|``.

    Args:
        model: a network; it is not changed.
    """
    network = plain(model)
    for parameter in network.parameters():
        parameter.abs_()
    for module in network.modules():
        if getattr(module, "running_mean", None) is not None:
            module.running_mean.zero_()
    return network.double().eval()
