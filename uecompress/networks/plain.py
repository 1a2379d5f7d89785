"""Which layers of a network a method may replace or change, decided in one place.

A layer is plain if it is exactly of its kind, owns its tensors, and nothing but its forward uses
them. Every method asks :func:`plain_layers` and leaves the rest alone, with a warning that says so.
"""

import copy
import warnings
from collections import defaultdict

import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from uecompress.networks.tree import leaves


def plain_layers(model, *kinds):
    """The layers of these kinds that a method may replace or change; the others are reported.

    Args:
        model: a network.
        kinds: classes of modules; ``nn.Linear`` and ``nn.Conv2d`` if none are given.

    Returns:
        A dict: dotted name -> layer, in the order of the tree. A layer at several places stands
        under its first name.

    Raises:
        ValueError: there is no such layer; the message says why each candidate is left alone.

    Warns:
        UserWarning: layers that are left alone, each with the reason.
    """
    kinds = kinds or (nn.Linear, nn.Conv2d)
    found = {name: layer for name, layer in leaves(model) if isinstance(layer, kinds)}
    reasons = {name: reason for name, reason in obstacles(model).items() if name in found}
    left = "; ".join(f"{name!r} {reason}" for name, reason in reasons.items())
    wanted = " or ".join(kind.__name__ for kind in kinds)
    if len(reasons) == len(found):
        raise ValueError(f"the network has no plain {wanted} layer" + (f": {left}" if left else ""))
    if left:
        warnings.warn(f"left as they are: {left}", stacklevel=3)
    return {name: layer for name, layer in found.items() if name not in reasons}


def obstacles(model):
    """Why leaves of a network cannot be replaced or changed.

    Args:
        model: a network.

    Returns:
        A dict: dotted name of a leaf -> the reason, words that follow the name in a sentence.
        Leaves that are not in it are plain.
    """
    users = defaultdict(list)  # of each parameter: the names of the modules that hold it
    for name, module in model.named_modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                users[parameter].append(name)
    reasons = {}
    for name, leaf in leaves(model):
        own = list(leaf._parameters.values())
        others = {n for p in own if p is not None for n in users[p] if n != name}
        if parametrize.is_parametrized(leaf) or _pruned(leaf):
            reasons[name] = "is parametrized: networks.plain(model) resolves that"
        elif leaf._forward_hooks or leaf._forward_pre_hooks:
            reasons[name] = "has a hook"
        elif "forward" in vars(leaf):
            reasons[name] = "has a forward of its own"
        elif not _of_torch(leaf) and isinstance(leaf, nn.Linear | nn.Conv2d):
            reasons[name] = f"is a {type(leaf).__name__}, a layer with a forward of its own"
        elif others:
            reasons[name] = f"shares its weights with {', '.join(map(repr, sorted(others)))}"
    return reasons


def plain(model):
    """A copy of a network whose parametrized and pruned tensors are ordinary parameters.

    ``torch.nn.utils.prune`` and ``torch.nn.utils.parametrize`` compute a weight from other tensors.
    In the copy it is a parameter with the value that it has now.

    Args:
        model: a network; it is not changed.
    """
    with torch.no_grad():
        for module in model.modules():
            for hook in _pruned(module):  # its weight may carry a graph, which cannot be copied
                value = getattr(module, hook._tensor_name)
                setattr(module, hook._tensor_name, value.detach())
    model = copy.deepcopy(model)
    for module in model.modules():
        for hook in _pruned(module):
            prune.remove(module, hook._tensor_name)
        if parametrize.is_parametrized(module):
            for tensor in list(module.parametrizations):
                parametrize.remove_parametrizations(module, tensor)
    return model


def _pruned(module):
    """The hooks of ``torch.nn.utils.prune`` on a module."""
    hooks = module._forward_pre_hooks.values()
    return [hook for hook in hooks if isinstance(hook, prune.BasePruningMethod)]


def _of_torch(module):
    return type(module).__module__.startswith("torch.nn.modules.")
