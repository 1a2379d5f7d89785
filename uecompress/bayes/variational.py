"""A whole network made variational."""

from torch import nn

from uecompress.bayes.group_jeffreys import GroupJeffreysConv2d, GroupJeffreysLinear
from uecompress.bayes.horseshoe import HorseshoeConv2d, HorseshoeLinear
from uecompress.bayes.mean_field import MeanFieldConv2d, MeanFieldLinear
from uecompress.bayes.sparse_vd import SparseVDConv2d, SparseVDLinear
from uecompress.bayes.vnq import VNQConv2d, VNQLinear
from uecompress.checks import naming
from uecompress.networks import plain_layers, replace_layers

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
    trained. Everything else stays as it is: Linear and Conv2d layers that are not plain (see
    :func:`networks.plain_layers <uecompress.networks.plain_layers>`) with a warning, and
    :func:`deterministic_layers` lists all that has parameters and no posterior. For training in
    float16 keep the parameters in float32 and use ``torch.autocast``: a KL in float16 overflows.

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

    layers = plain_layers(model, unless=_foreign_padding)

    def replace(name, leaf):
        if name not in layers:
            return None
        with naming(name):
            if isinstance(leaf, nn.Linear):
                return linear.from_linear(leaf, **settings)
            return conv2d.from_conv2d(leaf, **settings)

    return replace_layers(model, replace)


def _foreign_padding(layer):
    """Why a variational layer cannot take the place of this one; None if it can."""
    if getattr(layer, "padding_mode", "zeros") != "zeros":
        return f"pads with {layer.padding_mode!r}, not with zeros"
    return None


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
