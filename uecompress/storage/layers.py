"""A network's structure as JSON and back: classes by name, with their constructors' arguments.

A module is an object with one entry, ``{"Conv2d": {"in_channels": 1, …}}``; arguments that have
their usual value are left out. A tuple is an array, a list ``{"list": […]}``, and a module that
appeared before ``{"ref": number}``, where modules are numbered in the order they start in.
"""

import importlib
import math
import re

from torch import nn
from torch.nn.utils import parametrize

from uecompress.storage.bytestream import DamagedFile
from uecompress.storage.known import BY_NAME, CONTAINERS, LAYERS

OURS = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\.[A-Z][A-Za-z0-9_]*")
DEEPEST = 100
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
        raise TypeError(f"expected a network, a torch.nn.Module, not {type(model).__name__}")
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
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"{path.lstrip('.')} is a {type(value).__name__}, which a file cannot hold")


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


def build(description):
    """The network of a JSON description, with the weights of its constructors.

    Raises:
        DamagedFile: it describes none.
    """
    try:
        model = _build(description, [], 0)
    except DamagedFile:
        raise
    except Exception as error:  # a constructor may raise anything on arguments that make no sense
        raise DamagedFile(
            f"its network cannot be built ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(model, nn.Module):
        raise DamagedFile("it describes no network")
    if places(model, {}) > MOST_MODULES:
        raise DamagedFile(f"its network has more than {MOST_MODULES} modules")
    return model


def _build(value, built, depth):
    if depth > DEEPEST:
        raise DamagedFile("its network is nested too deeply")
    if isinstance(value, list):
        return tuple(_build(v, built, depth + 1) for v in value)
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise DamagedFile(f"a module is described by {sorted(value)[:5]}")
    [(name, inner)] = value.items()
    if name == "list":
        return list(_build(inner, built, depth + 1))
    if name == "ref":
        if type(inner) is not int or not 0 <= inner < len(built) or built[inner] is None:
            raise DamagedFile(f"it refers to module {inner!r}, which is not there yet")
        return built[inner]
    if not isinstance(inner, dict):
        raise DamagedFile(f"{name} has the arguments {str(inner)[:80]}")
    position = len(built)
    if position == MOST_MODULES:
        raise DamagedFile(f"its network has more than {MOST_MODULES} modules")
    built.append(None)
    built[position] = _construct(name, inner, built, depth)
    return built[position]


def _construct(name, arguments, built, depth):
    values = {k: _build(v, built, depth + 1) for k, v in arguments.items()}
    if name in CONTAINERS:
        module = CONTAINERS[name]()
        for key, child in values.items():
            if not isinstance(child, nn.Module):
                raise DamagedFile(f"{key!r} in a {name} is no module")
            module.add_module(key, child)
        return module
    if name in BY_NAME:
        unknown = values.keys() - LAYERS[BY_NAME[name]].keys()  # a device, for one
        if unknown:
            raise DamagedFile(f"{name} has no argument {min(unknown)[:80]!r}")
        usual = {k: v for k, v in LAYERS[BY_NAME[name]].items() if v is not ...}
        return BY_NAME[name](**usual | values)
    return _ours(name)(**values)


def _ours(name):
    """The class ``uecompress.<name>``: a module of ours that says its own ``config``."""
    if not OURS.fullmatch(name):
        raise DamagedFile(f"{name[:80]!r} is no layer")
    here = {old: new for new, old in NAMES.items()}
    path, _, kind = f"uecompress.{here.get(name, name)}".rpartition(".")
    try:
        found = getattr(importlib.import_module(path), kind, None)
    except ImportError:
        found = None
    ours = isinstance(found, type) and issubclass(found, nn.Module) and hasattr(found, "config")
    if not ours or not found.__module__.startswith("uecompress."):
        raise DamagedFile(f"this version of uecompress has no layer {name[:80]!r}")
    return found
