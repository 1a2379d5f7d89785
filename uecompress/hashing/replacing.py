"""What the methods of this room share: new layers of the same sizes as those of a network."""

from torch import nn

from uecompress import checks
from uecompress.networks import replace_layers
from uecompress.networks.kinds import KINDS


def replaced(model, settings, linear, conv2d):
    """A copy of a network in which some layers are new ones of the same sizes, dtype and device.

    Args:
        model: a network; it is not changed.
        settings: name of a layer -> what its constructor takes beside the sizes.
        linear: the class that stands in for ``nn.Linear``.
        conv2d: the class that stands in for ``nn.Conv2d``.
    """

    def replace(name, leaf):
        if name not in settings:
            return None
        sizes = {each: getattr(leaf, each) for each in KINDS[type(leaf)].arguments}
        sizes |= {"bias": leaf.bias is not None}
        sizes.pop("padding_mode", None)
        kind = linear if isinstance(leaf, nn.Linear) else conv2d
        with checks.naming(name):
            return kind(**sizes, **settings[name]).to(leaf.weight)  # dtype and device

    return replace_layers(model, replace)


def check_alike(layers):
    """An error where layers that are to share a parameter differ in dtype or device."""
    if len({(layer.weight.dtype, layer.weight.device) for layer in layers.values()}) > 1:
        raise ValueError("layers of several dtypes, or on several devices, can share no numbers")


def foreign_padding(layer):
    """Why none of our layers can take the place of this one; None if one can."""
    if getattr(layer, "padding_mode", "zeros") != "zeros":
        return f"pads with {layer.padding_mode!r}, not with zeros"
    return None
