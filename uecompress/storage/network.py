"""A network or a state dict to a file and back."""

import math
import warnings
from collections.abc import Mapping

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from uecompress.atomic import replacing
from uecompress.storage import building, container, layers, state
from uecompress.storage.bytestream import DamagedFile


def save(model, path):
    """Write a network to a file, each tensor in the shortest lossless code found for it.

    Stored are the structure, the parameters and the persistent buffers, with their dtypes and
    ``requires_grad``; what is shared is stored once. A parametrized or masked weight
    (``torch.nn.utils.parametrize`` and ``prune``) becomes a plain one of the same value; −0.0,
    which a product with a mask leaves behind, becomes 0.0 in it.

    Any network's ``state_dict()`` can be stored too, hence networks whose layers a file cannot
    name: ``save(model.state_dict(), path)``, then ``model.load_state_dict(load(path))``.

    The file appears at once and whole, or not at all. One that is replaced keeps its permissions,
    and a symbolic link stays one.

    Args:
        model: a network, or a dictionary {name: tensor}, on any device; it is not changed.
        path: where to write; a file that is there is replaced.

    Returns:
        The size of the file in bytes.

    Raises:
        TypeError: a layer, tensor or entry that a file cannot hold, its name is in the message; or
            neither a network nor a state dict.
        FileNotFoundError, IsADirectoryError, FileExistsError: there is no such folder; ``path`` is
            one; it is a device, a pipe or a socket.
    """
    header, arrays = _contents(model)
    with replacing(path) as file:
        return sum(map(file.write, container.pack(header, arrays)))


def size(model):
    """The size in bytes of the file that :func:`save` would write.

    Args:
        model: a network or a state dict.

    Raises:
        TypeError: as :func:`save`.
    """
    return sum(map(len, container.pack(*_contents(model))))


def _contents(model):
    """The header of a file, and the arrays of its table one after another."""
    if isinstance(model, Mapping):
        tensors, shared = state.collect_dict(model)
        table = {n: shared[n] if n in shared else _entry(tensors[n]) for n in model}
        return {"model": None, "tensors": table}, map(state.bits, tensors.values())
    description = layers.describe(model)
    tensors, shared, frozen = state.collect(model)
    table = {name: _entry(tensor) for name, tensor in tensors.items()} | shared
    header = {"model": description, "tensors": table} | ({"frozen": frozen} if frozen else {})
    _check_that_it_loads(description, tensors, shared)
    return header, map(state.bits, tensors.values())


def _entry(tensor):
    return [state.DTYPES[tensor.dtype], *tensor.shape]


def load(path, *, max_bytes=None):
    """The network or state dict of a file, its tensors bit for bit those that were saved.

    A network comes in evaluation mode; a state dict as a dictionary in the order in which it was,
    where a shared tensor is one tensor under several names (the versions of modules that
    ``state_dict()`` carries in ``_metadata`` are not kept). Nothing in a file is executed, and
    torch's random generators are left alone. Transposed and channels-last tensors come back in the
    usual layout, in which products may round differently. Floating buffers that are rebuilt and not
    stored get the dtype of the stored tensors of their module.

    Args:
        path: of a file that :func:`save` wrote.
        max_bytes: the most bytes that the tensors may have when decoded, and as many again those
            that the layers make themselves. None is 2³⁰, or 2²⁶ + 2¹¹ times the length of the file
            where that is less, so that a file of a few bytes does not cost minutes; a network of
            that many zeros needs a number here.

    Raises:
        DamagedFile: the file is not one of ours, was changed, or is larger than ``max_bytes``.
        TypeError, ValueError: ``max_bytes`` is no number, or negative or NaN.
    """
    header, table, shared, reader, max_bytes = container.read(path, max_bytes)
    description, names = header["model"], len(header["tensors"])
    model = None
    try:
        if description is not None:
            skeleton = _build(description, "meta", names, max_bytes)
            _check(skeleton, {n: (getattr(torch, d), s) for n, (d, s) in table.items()}, shared)
        elif header["frozen"]:
            raise DamagedFile("a state dict has no frozen parameters")
        tensors = {
            name: state.from_bits(array, getattr(torch, table[name][0]))
            for name, array, _, _ in container.decode(reader, table)
        }
        if description is None:
            return container.in_order(header, tensors, shared)
        model = _build(description, "cpu", names, max_bytes)
    except DamagedFile as error:
        raise DamagedFile(f"{path} is damaged: {error}") from error.__cause__
    state.fill(model, tensors, shared, header["frozen"])
    return model.eval()


# What torch works out on the device meta in Python, after an import of seconds.
_ARITHMETIC = ("add", "sub", "mul", "div", "neg", "exp", "log", "sqrt")


class _WithoutInitialisation(TorchFunctionMode):
    """Leaves parameters as they are where a constructor would draw random numbers for them.

    On the device meta, where a tensor is a shape and a dtype, it computes nothing at all.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, getattr(function, "__name__", "")
        if name in ("rand", "randn"):
            empty = torch.empty(*args, **{k: v for k, v in kwargs.items() if k != "generator"})
            return empty if empty.is_meta else function(*args, **kwargs)
        if name in _ARITHMETIC:
            tensors = [a for a in args if isinstance(a, torch.Tensor)]
            if all(t.is_meta and t.dtype.is_floating_point for t in tensors):
                shape = torch.broadcast_shapes(*(t.shape for t in tensors))
                return torch.empty(shape, dtype=tensors[0].dtype, device="meta")
        drawn = getattr(function, "__module__", None) == "torch.nn.init" or (
            name in ("uniform_", "normal_")
        )
        tensor = args[0] if args else kwargs.get("tensor")
        if drawn and isinstance(tensor, nn.Parameter):
            return tensor
        return function(*args, **kwargs)


def _build(description, device, most_tensors=math.inf, max_bytes=math.inf):
    with (
        torch.device(device),
        _WithoutInitialisation(),
        torch.random.fork_rng(devices=[]),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # of layers without any weights
        return building.build(description, most_tensors, max_bytes)


def _check_that_it_loads(description, tensors, shared):
    """Everything in the model's state must have a place in the network that ``load`` will build."""
    try:
        skeleton = _build(description, "meta")
        _check(skeleton, {name: (t.dtype, tuple(t.shape)) for name, t in tensors.items()}, shared)
    except DamagedFile as error:
        raise TypeError(f"a file cannot hold this network: {error}") from error


def _check(skeleton, table, shared):
    """Compare names, shapes and kinds of dtype of a network and a table of tensors."""
    expected = skeleton.state_dict(keep_vars=True)
    parameters = dict(skeleton.named_parameters(remove_duplicate=False))
    described = table | {name: table[first] for name, first in shared.items()}
    if expected.keys() != described.keys():
        name = sorted(expected.keys() ^ described.keys())[0]
        where = "the network" if name in expected else "the table of tensors"
        raise DamagedFile(f"tensor {name!r} is in {where} only")
    stored = {}
    for name, tensor in expected.items():
        first = shared.get(name, name)
        if stored.setdefault(id(tensor), first) != first:
            raise DamagedFile(f"{name!r} and {stored[id(tensor)]!r} are one tensor, stored as two")
    for name, first in shared.items():
        if (name in parameters) != (first in parameters):
            raise DamagedFile(f"{name!r} and {first!r} are shared, but only one is a parameter")
    for name, (dtype, shape) in described.items():
        wanted = expected[name]
        if tuple(wanted.shape) != shape:
            raise DamagedFile(f"tensor {name!r} has shape {shape} for a {tuple(wanted.shape)}")
        if wanted.dtype != dtype and not (wanted.is_floating_point() and dtype.is_floating_point):
            raise DamagedFile(f"tensor {name!r} is {dtype} for a {wanted.dtype}")
