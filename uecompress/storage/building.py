"""The network of a JSON description, module by module, as long as it is no larger than its file."""

import importlib
import re

from torch import nn

from uecompress.storage.bytestream import DamagedFile
from uecompress.storage.known import BY_NAME, CONTAINERS, LAYERS
from uecompress.storage.layers import MOST_MODULES, NAMES, places

OURS = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\.[A-Z][A-Za-z0-9_]*")
DEEPEST = 100


def build(description, most_tensors, max_bytes):
    """The network of a JSON description, with the weights of its constructors.

    Args:
        description: the JSON, as dicts, lists and numbers.
        most_tensors: how many parameters and stored buffers it may have.
        max_bytes: how many bytes the buffers that it makes and does not store may have.

    Raises:
        DamagedFile: it describes none, or a larger one; nothing is built after the first module
            that is too much.
    """
    try:
        model = _Builder(most_tensors, max_bytes).build(description, 0)
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


class _Builder:
    """Builds modules one by one, in the order they start in, and counts what they hold."""

    def __init__(self, most_tensors, max_bytes):
        self.tensors, self.bytes = most_tensors, max_bytes
        self.built, self.counted = [], set()

    def build(self, value, depth):
        if depth > DEEPEST:
            raise DamagedFile("its network is nested too deeply")
        if isinstance(value, list):
            return tuple(self.build(v, depth + 1) for v in value)
        if not isinstance(value, dict):
            return value
        if len(value) != 1:
            raise DamagedFile(f"a module is described by {sorted(value)[:5]}")
        [(name, inner)] = value.items()
        if name == "list":
            return list(self.build(inner, depth + 1))
        built = self.built
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
        built[position] = _construct(name, {k: self.build(v, depth + 1) for k, v in inner.items()})
        self.count(built[position])
        return built[position]

    def count(self, module):
        """Count the tensors of a module, and of those that it made itself."""
        if module in self.counted:
            return
        self.counted.add(module)
        stored = [p for p in module._parameters.values() if p is not None]
        for key, buffer in module._buffers.items():
            if buffer is not None and key not in module._non_persistent_buffers_set:
                stored.append(buffer)
            elif buffer is not None:
                self.bytes -= buffer.numel() * buffer.element_size()
        self.tensors -= len(stored)
        if self.tensors < 0:
            raise DamagedFile("its network has more tensors than the file")
        if self.bytes < 0:
            raise DamagedFile("its network makes more bytes of buffers than max_bytes")
        for child in module._modules.values():
            if child is not None:
                self.count(child)


def _construct(name, values):
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
