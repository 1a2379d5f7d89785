"""A network, or any state dict, to real bytes and back: its cost is the length of its file.

A file is, in this order,

- ``UEC`` and a byte with the version, 2; version 1 had another dictionary and no code ``context``;
- the length of the header: seven bits a byte, least significant first, the last byte below 128;
- the header: JSON, deflated with a preset dictionary. ``model`` describes the tree of modules, and
  is null where the file holds a state dict; ``tensors`` maps each tensor's name to its dtype and
  shape, or to the name of an earlier one that it is shared with; and ``frozen``, where it is there,
  lists the parameters that are not trained;
- the tensors of that table, one after another. Each begins with a byte that names its code, and
  what follows is described in ``storage/codes.py``;
- the CRC-32 of all bytes before it, in four bytes, the least significant first.

A code is chosen for its length alone; storage knows nothing of the methods that made the numbers.
What a file costs to read is bounded by its length and by what its header announces, before any of
it is built or decoded: it has no more tensors than bytes, and its network no more than its table.
"""

import importlib

from uecompress.storage.bytestream import DamagedFile
from uecompress.storage.container import decode_state, sizes

__all__ = [
    "DamagedFile",
    "decode_state",
    "export_onnx",
    "export_safetensors",
    "load",
    "save",
    "size",
    "sizes",
]

_LATER = {"save": "network", "load": "network", "size": "network", "export_onnx": "export",
          "export_safetensors": "export"}  # fmt: skip


def __getattr__(name):
    """What needs torch is imported when it is asked for; the rest works without torch."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)


def __dir__():
    """All names that are offered, those that are imported later among them."""
    return __all__
