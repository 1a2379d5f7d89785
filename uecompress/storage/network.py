"""A network to a file and back."""

import warnings
from pathlib import Path

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from uecompress.storage import container, layers, state
from uecompress.storage.atomic import replacing
from uecompress.storage.bytestream import DamagedFile


def save(model, path):
    """Write a network to a file, each tensor in the shortest lossless code found for it.

    Stored are the structure, the parameters and the persistent buffers, with their dtypes and
    ``requires_grad``; what is shared is stored once. A parametrized or masked weight
    (``torch.nn.utils.parametrize`` and ``prune``) becomes a plain one of the same value; −0.0,
    which a product with a mask leaves behind, becomes 0.0 in it. The file appears at once and
    whole, or not at all.

    Args:
        model: a network, on any device; it is not changed.
        path: where to write; a file that is there is replaced.

    Returns:
        The size of the file in bytes.

    Raises:
        TypeError: a layer or tensor that a file cannot hold, its name is in the message; or not a
            network.
        FileNotFoundError, IsADirectoryError: there is no such folder, or ``path`` is one.
    """
    description = layers.describe(model)
    tensors, shared, frozen = state.collect(model)
    table = {name: [state.DTYPES[t.dtype], *t.shape] for name, t in tensors.items()} | shared
    header = {"model": description, "tensors": table} | ({"frozen": frozen} if frozen else {})
    _check_that_it_loads(description, tensors, shared)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        for part in container.pack(header, map(state.bits, tensors.values())):
            file.write(part)
    return Path(path).stat().st_size


def load(path, *, max_bytes=container.MAX_BYTES):
    """The network of a file, in evaluation mode, its tensors bit for bit those that were saved.

    Nothing in a file is executed, and torch's random generators are left alone. Transposed and
    channels-last tensors come back in the usual layout, in which products may round differently.

    Args:
        path: of a file that :func:`save` wrote.
        max_bytes: the most bytes that the tensors may have when decoded.

    Raises:
        DamagedFile: the file is not one of ours, was changed, or is larger than ``max_bytes``.
    """
    header, table, shared, reader = container.read(path, max_bytes)
    try:
        with torch.device("meta"):
            skeleton = _build(header["model"])
        _check(skeleton, {n: (getattr(torch, d), s) for n, (d, s) in table.items()}, shared)
        buffers = sum(b.numel() * b.element_size() for b in skeleton.buffers())
        if buffers > 2 * max_bytes:  # those that the constructors make, beside the stored ones
            raise DamagedFile(f"its network has {buffers} bytes of buffers")
        tensors = {
            name: state.from_bits(array, getattr(torch, table[name][0]))
            for name, array, _, _ in container.decode(reader, table)
        }
        with torch.device("cpu"):
            model = _build(header["model"])
    except DamagedFile as error:
        raise DamagedFile(f"{path} is damaged: {error}") from error.__cause__
    state.fill(model, tensors, shared, header["frozen"])
    return model.eval()


class _WithoutInitialisation(TorchFunctionMode):
    """Leaves parameters as they are where a constructor would draw random numbers for them."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        drawn = getattr(function, "__module__", None) == "torch.nn.init" or (
            getattr(function, "__name__", "") in ("uniform_", "normal_")
        )
        tensor = args[0] if args else (kwargs or {}).get("tensor")
        if drawn and isinstance(tensor, nn.Parameter):
            return tensor
        return function(*args, **(kwargs or {}))


def _build(description):
    with _WithoutInitialisation(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers without any weights
        return layers.build(description)


def _check_that_it_loads(description, tensors, shared):
    """Everything in the model's state must have a place in the network that ``load`` will build."""
    try:
        with torch.device("meta"):
            skeleton = _build(description)
        _check(skeleton, {name: (t.dtype, tuple(t.shape)) for name, t in tensors.items()}, shared)
    except DamagedFile as error:
        raise TypeError(f"a file cannot hold this network: {error}") from error


def _check(skeleton, table, shared):
    """Compare names, shapes and kinds of dtype of a network and a table of tensors."""
    expected = skeleton.state_dict()
    parameters = dict(skeleton.named_parameters(remove_duplicate=False))
    described = table | {name: table[first] for name, first in shared.items()}
    if expected.keys() != described.keys():
        name = sorted(expected.keys() ^ described.keys())[0]
        where = "the network" if name in expected else "the table of tensors"
        raise DamagedFile(f"tensor {name!r} is in {where} only")
    for name, first in shared.items():
        if (name in parameters) != (first in parameters):
            raise DamagedFile(f"{name!r} and {first!r} are shared, but only one is a parameter")
    for name, (dtype, shape) in described.items():
        wanted = expected[name]
        if tuple(wanted.shape) != shape:
            raise DamagedFile(f"tensor {name!r} has shape {shape} for a {tuple(wanted.shape)}")
        if wanted.dtype != dtype and not (wanted.is_floating_point() and dtype.is_floating_point):
            raise DamagedFile(f"tensor {name!r} is {dtype} for a {wanted.dtype}")
