"""A network to a file and back."""

import os
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize, prune
from torch.overrides import TorchFunctionMode

from uecompress.storage import container, layers
from uecompress.storage.bytestream import DamagedFile

DTYPES = {getattr(torch, name): name for name in container.DTYPES}


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
        TypeError: a layer or tensor that a file cannot hold; its name is in the message.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory: a network needs the name of a file")
    description = layers.describe(model)
    tensors, shared, frozen = _state(model)
    table = {name: [DTYPES[t.dtype], *t.shape] for name, t in tensors.items()} | shared
    header = {"model": description, "tensors": table} | ({"frozen": frozen} if frozen else {})
    _check_that_it_loads(description, tensors, shared)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            for part in container.pack(header, (_bits(t) for t in tensors.values())):
                file.write(part)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path.stat().st_size


def load(path, *, max_bytes=container.MAX_BYTES):
    """The network of a file, in evaluation mode, its tensors bit for bit those that were saved.

    Nothing in a file is executed, and torch's random generators are left alone. Channels-last
    tensors come back in the usual layout.

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
            name: _tensor(array, getattr(torch, table[name][0]))
            for name, array, _, _ in container.decode(reader, table)
        }
        with torch.device("cpu"):
            model = _build(header["model"])
    except DamagedFile as error:
        raise DamagedFile(f"{path} is damaged: {error}") from error.__cause__
    _fill(model, tensors, shared, header["frozen"])
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
    expected, parameters = (
        skeleton.state_dict(),
        dict(skeleton.named_parameters(remove_duplicate=False)),
    )
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


def _state(model):
    """Tensors by name, the other names of shared ones, and the names of the frozen parameters."""
    tensors, shared, frozen, first = {}, {}, [], {}
    inner = tuple(
        f"{name}.parametrizations".lstrip(".")
        for name, module in model.named_modules(remove_duplicate=False)
        if parametrize.is_parametrized(module)
    )
    for path, module in model.named_modules(remove_duplicate=False):
        if any(path == i or path.startswith(f"{i}.") for i in inner):
            continue
        for key, identity, tensor, trained in _own_tensors(module, path):
            name = f"{path}.{key}".lstrip(".")
            if tensor.dtype not in DTYPES:
                raise TypeError(f"tensor {name!r} is {tensor.dtype}, which a file cannot hold")
            if identity in first:
                shared[name] = first[identity]
                continue
            first[identity] = name
            tensors[name] = tensor.detach()
            if trained is False:
                frozen.append(name)
    return tensors, shared, frozen


def _own_tensors(module, path):
    """Key, identity, value and requires_grad (None for a buffer) of a module's own tensors."""
    computed = {}
    for hook in [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]:
        if not isinstance(hook, prune.BasePruningMethod):
            raise TypeError(f"layer {path!r} has a hook, which a file cannot hold")
        key = hook._tensor_name
        original = getattr(module, f"{key}_orig")
        computed[key] = original, original * getattr(module, f"{key}_mask")
    if parametrize.is_parametrized(module):
        for key, parametrization in module.parametrizations.items():
            computed[key] = next(parametrization.parameters(), None), getattr(module, key)
    hidden = {f"{key}_{end}" for key in computed for end in ("orig", "mask")}
    for key, (original, value) in computed.items():
        value = value + 0.0 if value.is_floating_point() else value  # −0.0 + 0.0 is 0.0
        yield key, (key, id(module)), value, None if original is None else original.requires_grad
    for key, parameter in module._parameters.items():
        if parameter is not None and key not in hidden:
            yield key, ("parameter", id(parameter)), parameter, parameter.requires_grad
    for key, buffer in module._buffers.items():
        if buffer is not None and key not in module._non_persistent_buffers_set | hidden:
            yield key, ("buffer", id(buffer)), buffer, None


def _fill(model, tensors, shared, frozen):
    """Put the tensors into a network; parameters stay the objects that the network holds."""
    for name, tensor in tensors.items():
        module, _, key = name.rpartition(".")
        module = model.get_submodule(module)
        if module._parameters.get(key) is None:
            module._buffers[key] = tensor
            continue
        parameter = module._parameters[key]
        parameter.requires_grad_(False)
        parameter.data = tensor
        parameter.requires_grad_(tensor.is_floating_point() and name not in frozen)
    for name, first in shared.items():
        target, _, key = name.rpartition(".")
        source, _, first_key = first.rpartition(".")
        target, source = model.get_submodule(target), model.get_submodule(source)
        kind = "_parameters" if key in target._parameters else "_buffers"
        getattr(target, kind)[key] = getattr(source, kind)[first_key]


def _bits(tensor):
    """A tensor as the NumPy array that holds its bits."""
    tensor = tensor.detach().cpu().contiguous()
    name = DTYPES[tensor.dtype]
    if name in ("bool", "bfloat16"):
        tensor = tensor.view(torch.uint8 if name == "bool" else torch.uint16)
    return tensor.numpy().astype(container.DTYPES[name], copy=False)


def _tensor(array, dtype):
    """The tensor with the bits of an array, in memory of its own."""
    native = array.dtype.newbyteorder("=")
    array = np.array(array, native, order="C", copy=None if array.flags.writeable else True)
    return torch.from_numpy(array).view(dtype)
