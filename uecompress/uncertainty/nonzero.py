"""How many numbers a network keeps: what pruning and codes make small."""

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize

from uecompress.uncertainty.predict import evaluation_mode

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of batch normalization
GRID = ("scale", "zero_point")  # how buffers end that say which weight a code stands for


def nonzero_count(model):
    """How many weights other than zero a network keeps.

    These are the non-zero entries of its parameters and of the buffers that a file keeps. Two kinds
    of buffers make no weights and do not count: the statistics of batch normalization, as they do
    not count as parameters in any network, and what turns integer codes into weights, the buffers
    whose names end in ``scale`` or ``zero_point``.

    The codes themselves count as the weights that they stand for. A quantized layer therefore keeps
    signed codes of which 0 is the weight 0. Unsigned codes with a zero point would count wherever
    the *code* is not 0, and a file could not store their zeros as such either.

    A parametrized or pruned weight counts with its value: what is masked out is zero. A shared
    tensor counts once. What a constructor rebuilds (a non-persistent buffer) does not count.

    Args:
        model: a network; it is not changed.
    """
    with torch.no_grad(), evaluation_mode(model):
        lists = [m for m in model.modules() if isinstance(m, parametrize.ParametrizationList)]
        inner = {module for each in lists for module in each.modules()}  # the layer has the value
        modules = [module for module in model.modules() if module not in inner]
        tensors = [tensor for module in modules for tensor in _kept_tensors(module)]
        unique = {id(tensor): tensor for tensor in tensors}
        return sum(int(tensor.count_nonzero()) for tensor in unique.values())


def _kept_tensors(module):
    """The tensors of one module, without its children, that :func:`nonzero_count` looks at."""
    yield from (getattr(module, name) for name in getattr(module, "parametrizations", ()))
    tensors = {**module._parameters, **module._buffers}
    for name, tensor in tensors.items():
        weight = name.removesuffix("_orig").removesuffix("_mask")
        if {f"{weight}_orig", f"{weight}_mask"} <= tensors.keys():  # of torch.nn.utils.prune
            if name.endswith("_orig"):
                yield tensor * tensors[f"{weight}_mask"]
        elif tensor is not None and not _is_no_weight(module, name):
            yield tensor


def _is_no_weight(module, name):
    """Whether a tensor is a buffer that does not count."""
    if name not in module._buffers:
        return False
    statistics = isinstance(module, _BatchNorm) and name in STATISTICS
    return statistics or name.endswith(GRID) or name in module._non_persistent_buffers_set
