"""The tensors of a network or state dict as a file has them: collected by name, and put back."""

import copy

import numpy as np
import torch
from torch.nn.utils import parametrize, prune

from uecompress.storage import container

DTYPES = {getattr(torch, name): name for name in container.DTYPES}


def collect(model):
    """What a file has to hold of a network's tensors.

    Returns:
        The tensors by name, the other names of shared ones {name: first name}, and the names of
        the frozen parameters.

    Raises:
        TypeError: a tensor, a hook or a changed ``forward`` that a file cannot hold; its name is
            in the message.
    """
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
            _check_kind(name, tensor)
            if identity in first:
                shared[name] = first[identity]
                continue
            first[identity] = name
            tensors[name] = tensor.detach()
            if trained is False:
                frozen.append(name)
    return tensors, shared, frozen


def collect_dict(state):
    """The same of a state dict: tensors by name, and the other names of shared ones.

    Shared are tensors that are one view of one memory, as those of tied weights are.

    Raises:
        TypeError: a key that is no string, or an entry that is no tensor or one that a file cannot
            hold; its name is in the message.
    """
    tensors, shared, first = {}, {}, {}
    for name, tensor in state.items():
        if not isinstance(name, str):
            raise TypeError(f"a state dict has strings as names, not {name!r}")
        if not isinstance(tensor, torch.Tensor):
            kind = type(tensor).__name__
            raise TypeError(f"entry {name!r} is a {kind}; a state dict has only tensors")
        _check_kind(name, tensor)
        view = tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride(), tensor.device
        if tensor.numel() and view in first:
            shared[name] = first[view]
            continue
        first[view] = name
        tensors[name] = tensor.detach()
    return tensors, shared


def _check_kind(name, tensor):
    if tensor.dtype not in DTYPES:
        raise TypeError(f"tensor {name!r} is {tensor.dtype}, which a file cannot hold")
    if tensor.layout != torch.strided or tensor.is_meta:
        kind = "on the device meta" if tensor.is_meta else tensor.layout
        raise TypeError(f"tensor {name!r} is {kind}, which a file cannot hold")


def _own_tensors(module, path):
    """Key, identity, value and requires_grad (None for a buffer) of a module's own tensors."""
    if "forward" in vars(module):
        raise TypeError(f"layer {path!r} has a forward of its own, which a file cannot hold")
    computed = {}
    for hook in [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]:
        if not isinstance(hook, prune.BasePruningMethod):
            raise TypeError(f"layer {path!r} has a hook, which a file cannot hold")
        key = hook._tensor_name
        original = getattr(module, f"{key}_orig")
        computed[key] = original, original * getattr(module, f"{key}_mask")
    if parametrize.is_parametrized(module):
        for key, parametrization in module.parametrizations.items():
            value = copy.deepcopy(parametrization).eval()()  # training may change its buffers
            computed[key] = next(parametrization.parameters(), None), value
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


def fill(model, tensors, shared, frozen):
    """Put the tensors into a network; parameters stay the objects that the network holds."""
    _convert_rebuilt(model, tensors | {name: tensors[first] for name, first in shared.items()})
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


def _convert_rebuilt(model, tensors):
    """Floating buffers that are rebuilt, not stored, follow the stored dtype, as in ``.half()``.

    Where a module has nothing stored that tells the dtype, the nearest module around it does.
    """
    changed = {}  # the stored dtype of a floating tensor, None where it is the constructor's
    for name, built in model.state_dict().items():
        if name in tensors and built.is_floating_point():
            same = built.dtype == tensors[name].dtype
            changed[name] = None if same else tensors[name].dtype
    for path, module in model.named_modules():
        for key in module._non_persistent_buffers_set:
            buffer = module._buffers[key]
            if buffer is None or not buffer.is_floating_point():
                continue
            dtype = _nearest(changed, path)
            module._buffers[key] = buffer if dtype is None else buffer.to(dtype)


def _nearest(changed, path):
    """The entry of the first tensor in a module, or else in the nearest one around it."""
    while True:
        inside = f"{path}." if path else ""
        for name, dtype in changed.items():
            if name.startswith(inside):
                return dtype
        if not path:
            return None
        path = path.rpartition(".")[0]


def bits(tensor):
    """A tensor as the NumPy array that holds its bits."""
    tensor = tensor.detach().cpu().contiguous()
    name = DTYPES[tensor.dtype]
    if name in ("bool", "bfloat16"):
        tensor = tensor.view(torch.uint8 if name == "bool" else torch.uint16)
    return tensor.numpy().astype(container.DTYPES[name], copy=False)


def from_bits(array, dtype):
    """The tensor with the bits of an array, in memory of its own."""
    native = array.dtype.newbyteorder("=")
    array = np.array(array, native, order="C", copy=None if array.flags.writeable else True)
    return torch.from_numpy(array).view(dtype)
