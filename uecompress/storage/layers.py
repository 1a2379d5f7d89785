"""A network's structure as JSON and back: classes by name, with their constructors' arguments.

A module is an object with one entry, ``{"Conv2d": {"in_channels": 1, …}}``; arguments that have
their usual value are left out. A tuple is an array, a list ``{"list": […]}``, and a module that
appeared before ``{"ref": number}``, where modules are numbered in the order they start in.
"""

import importlib
import re

from torch import nn
from torch.nn.utils import parametrize

from uecompress.storage.bytestream import DamagedFile

# The arguments read from each layer's attributes; ... where there is no usual value.
_CONV = {"in_channels": ..., "out_channels": ..., "kernel_size": ...}
_NORM = {"num_features": ..., "eps": 1e-5, "momentum": 0.1, "affine": True}
_NORM |= {"track_running_stats": True}


def _conv(d):
    return _CONV | {"stride": (1,) * d, "padding": (0,) * d, "dilation": (1,) * d, "groups": 1,
                    "bias": True, "padding_mode": "zeros"}  # fmt: skip


LAYERS = {
    nn.Linear: {"in_features": ..., "out_features": ..., "bias": True},
    nn.Conv1d: _conv(1),
    nn.Conv2d: _conv(2),
    nn.BatchNorm1d: _NORM,
    nn.BatchNorm2d: _NORM,
    nn.LayerNorm: {"normalized_shape": ..., "eps": 1e-5, "elementwise_affine": True, "bias": True},
    nn.GroupNorm: {"num_groups": ..., "num_channels": ..., "eps": 1e-5, "affine": True},
    nn.Embedding: {"num_embeddings": ..., "embedding_dim": ..., "padding_idx": None,
                   "max_norm": None, "norm_type": 2.0, "scale_grad_by_freq": False,
                   "sparse": False},
    nn.Flatten: {"start_dim": 1, "end_dim": -1},
    nn.Unflatten: {"dim": ..., "unflattened_size": ...},
    nn.Identity: {},
    nn.ReLU: {"inplace": False},
    nn.LeakyReLU: {"negative_slope": 0.01, "inplace": False},
    nn.GELU: {"approximate": "none"},
    nn.SiLU: {"inplace": False},
    nn.Tanh: {},
    nn.Sigmoid: {},
    nn.Softplus: {"beta": 1.0, "threshold": 20.0},
    nn.Softmax: {"dim": None},
    nn.LogSoftmax: {"dim": None},
    nn.Dropout: {"p": 0.5, "inplace": False},
    nn.Dropout2d: {"p": 0.5, "inplace": False},
    nn.MaxPool2d: {"kernel_size": ..., "stride": ..., "padding": 0, "dilation": 1,
                   "return_indices": False, "ceil_mode": False},
    nn.AvgPool2d: {"kernel_size": ..., "stride": ..., "padding": 0, "ceil_mode": False,
                   "count_include_pad": True, "divisor_override": None},
    nn.AdaptiveAvgPool2d: {"output_size": ...},
    nn.ZeroPad2d: {"padding": ...},
    nn.Upsample: {"size": None, "scale_factor": None, "mode": "nearest", "align_corners": None,
                  "recompute_scale_factor": None},
}  # fmt: skip
CONTAINERS = {"Sequential": nn.Sequential, "ModuleList": nn.ModuleList}
BY_NAME = {layer.__name__: layer for layer in LAYERS}
OURS = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\.[A-Z][A-Za-z0-9_]*")
DEEPEST = 100


def describe(model):
    """The JSON of a network.

    Raises:
        TypeError: for a layer that a file cannot hold; its dotted name is in the message.
    """
    return _describe(model, "", {})


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
    return f"{room if offered else kind.__module__}.{kind.__qualname__}".partition(".")[2]


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
        usual = {k: v for k, v in LAYERS[BY_NAME[name]].items() if v is not ...}
        return BY_NAME[name](**usual | values)
    return _ours(name)(**values)


def _ours(name):
    """The class ``uecompress.<name>``: a module of ours that says its own ``config``."""
    if not OURS.fullmatch(name):
        raise DamagedFile(f"{name[:80]!r} is no layer")
    path, _, kind = f"uecompress.{name}".rpartition(".")
    try:
        found = getattr(importlib.import_module(path), kind, None)
    except ImportError:
        found = None
    ours = isinstance(found, type) and issubclass(found, nn.Module) and hasattr(found, "config")
    if not ours or not found.__module__.startswith("uecompress."):
        raise DamagedFile(f"this version of uecompress has no layer {name[:80]!r}")
    return found
