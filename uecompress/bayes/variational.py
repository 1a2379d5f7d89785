"""A whole network made variational."""

from torch import nn

from uecompress.bayes.group_jeffreys import GroupJeffreysConv2d, GroupJeffreysLinear
from uecompress.bayes.horseshoe import HorseshoeConv2d, HorseshoeLinear
from uecompress.bayes.mean_field import MeanFieldConv2d, MeanFieldLinear
from uecompress.bayes.sparse_vd import SparseVDConv2d, SparseVDLinear
from uecompress.bayes.vnq import VNQConv2d, VNQLinear
from uecompress.checks import naming
from uecompress.networks import replace_layers
from uecompress.networks.tree import is_plain

METHODS = {
    "mean_field": (MeanFieldLinear, MeanFieldConv2d),
    "sparse_vd": (SparseVDLinear, SparseVDConv2d),
    "group_jeffreys": (GroupJeffreysLinear, GroupJeffreysConv2d),
    "group_horseshoe": (HorseshoeLinear, HorseshoeConv2d),
    "vnq": (VNQLinear, VNQConv2d),
}


def variational(model, method, **settings):
    """A copy of a network whose Linear and Conv2d layers are variational.

    The weights become posterior means, so the copy predicts what ``model`` predicts until it is
    trained. Everything else stays as it is, subclasses and parametrized layers among it:
    :func:`deterministic_layers` lists what has parameters and no posterior. For training in float16
    keep the parameters in float32 and use ``torch.autocast``: a KL in float16 overflows.

    Args:
        model: a network or an ensemble; it is not changed.
        method: "mean_field", "sparse_vd", "group_jeffreys", "group_horseshoe" or "vnq".
        settings: further arguments of the layers, such as ``initial_log_sigma2``.

    Raises:
        ValueError: an unknown method, a network without plain Linear or Conv2d layers, weights
            that are not finite.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    linear, conv2d = METHODS[method]

    def replace(name, leaf):
        with naming(name):
            if is_plain(leaf, nn.Linear):
                return linear.from_linear(leaf, **settings)
            if is_plain(leaf, nn.Conv2d) and leaf.padding_mode == "zeros":
                return conv2d.from_conv2d(leaf, **settings)
        return None

    result = replace_layers(model, replace)
    if not any(isinstance(module, METHODS[method]) for module in result.modules()):
        raise ValueError("the network has no plain Linear or Conv2d layer")
    return result


def deterministic_layers(model):
    """The modules that have parameters of their own but no posterior over them.

    Args:
        model: a network.

    Returns:
        A list of (dotted name, class name), batch norms among them.
    """
    return [
        (name, type(module).__name__)
        for name, module in model.named_modules()
        if list(module.parameters(recurse=False)) and not hasattr(module, "kl")
    ]
