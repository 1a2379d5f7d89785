"""A network's structure as JSON: classes by name, with their constructors' arguments.

A module is an object with one entry, ``{"Conv2d": {"in_channels": 1, …}}``; arguments that have
their usual value are left out. A tuple is an array, a list ``{"list": […]}``, and a module that
appeared before ``{"ref": number}``, where modules are numbered in the order they start in.
"""

import importlib
import math
import numbers

import numpy as np
from torch import nn
from torch.nn.utils import parametrize

from uecompress.storage.known import CONTAINERS, LAYERS

# The name that a file gives a class, where the class has moved since files were written.
NAMES = {"networks.SelectFeatures": "bayes.SelectFeatures"}
MOST_MODULES = 1 << 14  # of a network, a shared one counted wherever it stands


def describe(model):
    """The JSON of a network.

    Raises:
        TypeError: for a layer that a file cannot hold, its dotted name is in the message; for a
            network with too many modules, or one that contains itself; for no network at all.
    """
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise TypeError(f"expected a network, a torch.nn.Module, or its state dict, not {kind}")
    if places(model, {}) > MOST_MODULES:
        raise TypeError(f"the network contains itself, or more than {MOST_MODULES} modules")
    return _describe(model, "", {})


def places(module, counted):
    """How many names the modules of a network have, a shared one as many as it has places."""
    if module not in counted:
        counted[module] = math.inf  # for a module that is met again inside of itself
        children = [child for child in module._modules.values() if child is not None]
        counted[module] = 1 + sum(places(child, counted) for child in children)
    return counted[module]


def _describe(value, path, seen):
    if isinstance(value, nn.Module):
        if value in seen:
            return {"ref": seen[value]}
        seen[value] = len(seen)
        return _describe_module(value, path, seen)
    if isinstance(value, list | tuple):
        items = [_describe(v, f"{path}.{i}", seen) for i, v in enumerate(value)]
        return {"list": items} if isinstance(value, list) else items
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, numbers.Integral):  # NumPy's among them
        return int(value)
    if isinstance(value, numbers.Real) and not math.isnan(value):
        return float(value)
    kind = "NaN" if isinstance(value, numbers.Real) else f"a {type(value).__name__}"
    raise TypeError(f"{path.lstrip('.')} is {kind}, which a file cannot hold")


def _describe_module(module, path, seen):
    kind = parametrize.type_before_parametrizations(module)
    if kind in CONTAINERS.values():
        arguments = module._modules
    elif kind in LAYERS:
        arguments = _torch_arguments(module, kind)
    elif kind.__module__.startswith("uecompress.") and hasattr(module, "config"):
        arguments = module.config()
    else:
        raise TypeError(
            f"layer {path.lstrip('.') or 'the network itself'!r} is a "
            f"{kind.__module__}.{kind.__qualname__}, which a file cannot hold"
        )
    described = {k: _describe(v, f"{path}.{k}", seen) for k, v in arguments.items()}
    return {_name(kind): described}


def _torch_arguments(module, kind):
    values = {}
    for argument, usual in LAYERS[kind].items():
        value = getattr(module, argument)
        if argument == "bias":
            value = value is not None
        elif argument == "unflattened_size":
            value = tuple(value)
        if usual is ... or value != usual:
            values[argument] = value
    return values


def _name(kind):
    if kind in LAYERS or kind in CONTAINERS.values():
        return kind.__name__
    room = ".".join(kind.__module__.split(".")[:2])
    offered = getattr(importlib.import_module(room), kind.__qualname__, None) is kind
    name = f"{room if offered else kind.__module__}.{kind.__qualname__}".partition(".")[2]
    return NAMES.get(name, name)
