"""Which layers of a network a method may replace or change, decided in one place.

A layer is plain if it is exactly of its kind, owns its tensors, and nothing but its forward uses
them. Every method asks :func:`plain_layers` and leaves the rest alone, with a warning that says so.
"""

import warnings
from collections import defaultdict

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from uecompress.networks.kinds import KINDS
from uecompress.networks.reads import KNOWN, tensors_read
from uecompress.networks.tree import copied

# Modules of torch that read the weights of their layers instead of calling them.
_READERS = (nn.MultiheadAttention, nn.Transformer)
_READERS += (nn.TransformerEncoder, nn.TransformerEncoderLayer)
_READERS += (nn.TransformerDecoder, nn.TransformerDecoderLayer)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
# The hooks that compute a tensor of another: what removes them, and where they keep its name.
_REMOVERS = {
    prune.BasePruningMethod: (prune.remove, "_tensor_name"),
    WeightNorm: (remove_weight_norm, "name"),
    SpectralNorm: (remove_spectral_norm, "name"),
}


def plain_layers(model, *kinds, unless=None):
    """The layers of these kinds that a method may replace or change; the others are reported.

    Args:
        model: a network.
        kinds: classes of modules; ``nn.Linear`` and ``nn.Conv2d`` if none are given.
        unless: ``unless(layer)`` gives a reason why the method cannot treat a plain layer, words
            that follow its name in a sentence, or None.

    Returns:
        A dict: dotted name -> layer, in the order of the tree. A layer at several places stands
        under its first name.

    Raises:
        ValueError: there is no such layer; the message says why each candidate is left alone.

    Warns:
        UserWarning: layers that are left alone, each with the reason.
    """
    kinds = kinds or (nn.Linear, nn.Conv2d)
    reasons = obstacles(model)
    layers, left = {}, defaultdict(list)  # left: reason -> names
    for name, layer in _modules(model):
        if isinstance(layer, kinds):
            reason = reasons.get(name) or (unless and unless(layer))
            if reason:
                left[reason].append(repr(name) if name else "the network")
            else:
                layers[name] = layer
    report = "; ".join(
        f"{'each of ' if len(names) > 1 else ''}{', '.join(names)} {reason}"
        for reason, names in left.items()
    )
    if not layers:
        wanted = " or ".join(kind.__name__ for kind in kinds)
        because = f": {report}" if left else ""
        raise ValueError(f"the network has no plain {wanted} layer{because}")
    if left:
        warnings.warn(f"left as they are: {report}", stacklevel=3)
    return layers


def obstacles(model):
    """Why modules of a network cannot be replaced or changed.

    Args:
        model: a network.

    Returns:
        A dict: dotted name of a module -> the reason, words that follow the name in a sentence.
        Layers that are not in it are plain. A container is in it if it has a hook or a forward of
        its own.
    """
    users = defaultdict(set)  # of each tensor: the names of the modules that hold it
    readers = {}  # of each module: the words that say what it is part of
    for name, module in model.named_modules():
        for tensor in _tensors(module).values():
            users[tensor].add(name)
        if isinstance(module, _READERS):
            for part in module.modules():
                readers.setdefault(part, f"is part of a torch.nn.{type(module).__name__}")
    read = tensors_read(model)
    reasons = {}
    for name, module in _modules(model):
        own = _tensors(module)
        others = set().union(*(users[tensor] for tensor in own.values())) - {name}
        reason = _obstacle(module)
        if module in readers and not isinstance(module, _READERS):
            reason = (
                f"{readers[module]}, which reads the weights of its layers: write that with "
                "plain layers, as networks.vit_tiny() does"
            )
        elif not reason and others:
            shared = ", ".join(repr(other) if other else "the network" for other in sorted(others))
            reason = f"shares a tensor with {shared}"
        elif not reason and any(f"{name}.{key}".lstrip(".") in read for key in own):
            reason = "has a tensor that the module around it reads"
        if reason:
            reasons[name] = reason
    return reasons


def plain(model):
    """A copy of a network in which tensors that are computed from others are ordinary parameters.

    ``torch.nn.utils.prune``, ``torch.nn.utils.parametrize`` and the older ``weight_norm`` and
    ``spectral_norm`` compute a weight from other tensors. In the copy it is a parameter with the
    value that it has in evaluation mode; it shares nothing, and is frozen if all that it was
    computed from is.

    Args:
        model: a network; it is not changed.
    """
    model = copied(model)
    modes = {module: module.training for module in model.modules()}
    model.eval()  # in training, a spectral norm refines its estimate whenever it is asked
    with torch.no_grad():
        for module in filter(_is_parametrized, modes):
            ordinary = set(module._parameters)
            for hook in list(module._forward_pre_hooks.values()):
                _remove_hook(module, hook)
            if parametrize.is_parametrized(module):
                _remove_parametrizations(module)
            for name in ordinary & set(module._parameters):  # as in a new layer, weight then bias
                module._parameters[name] = module._parameters.pop(name)
    for module, mode in modes.items():
        module.training = mode
    return model


def _modules(model):
    """Names and modules, each once, without those that parametrizations are made of."""
    for name, module in model.named_modules():
        if "parametrizations" not in name.split("."):
            yield name, module


def _tensors(module):
    """The parameters and buffers that a module itself holds, by name."""
    both = {**module._parameters, **module._buffers}
    return {name: tensor for name, tensor in both.items() if tensor is not None}


def _known(kind):
    """Whether a class is torch's or ours."""
    return kind.__module__.startswith(KNOWN)


def _obstacle(module):
    """The reason that can be seen in the module itself; None if there is none."""
    kind = type(module)
    base = next(base for base in kind.__mro__ if _known(base))  # nn.Module at the latest
    if isinstance(module, LazyModuleMixin):
        return "has no weights before its first input"
    if _is_parametrized(module):
        return "is parametrized: networks.plain(model) resolves that"
    if any(getattr(module, hooks) for hooks in _HOOKS):
        return "has a hook"
    if any(t._backward_hooks or t._post_accumulate_grad_hooks for t in _tensors(module).values()):
        return "has a hook on the gradient of a tensor, which no copy keeps"
    if "forward" in vars(module):
        return "has a forward of its own"
    if kind is not base and (base in KINDS or base.__module__.startswith("uecompress.")):
        return f"is of the class {kind.__name__}, which may compute something else"
    if kind in (nn.Linear, nn.Conv2d):
        if "weight" not in module._parameters:
            return "has a weight that is computed elsewhere"
        if module._modules or {*module._parameters, *module._buffers} != {"weight", "bias"}:
            return "holds more than a weight and a bias"
    return None


def _is_parametrized(module):
    """Whether tensors of a module are computed from others before each use."""
    hooks = module._forward_pre_hooks.values()
    return parametrize.is_parametrized(module) or any(
        isinstance(hook, tuple(_REMOVERS)) for hook in hooks
    )


def _remove_hook(module, hook):
    """Make the tensor that a hook computes a parameter."""
    for kind, (remove, attribute) in _REMOVERS.items():
        if isinstance(hook, kind):
            name = getattr(hook, attribute)
            sources = [p for n, p in module._parameters.items() if n.startswith(f"{name}_")]
            trained = any(source.requires_grad for source in sources)
            if f"{name}_orig" in module._parameters:  # prune writes into it: leave what it shares
                orig = module._parameters[f"{name}_orig"]
                module._parameters[f"{name}_orig"] = nn.Parameter(orig.clone())
            remove(module, name)
            getattr(module, name).requires_grad_(trained)


def _remove_parametrizations(module):
    """Make the parametrized tensors of a module ordinary ones.

    ``parametrize.remove_parametrizations`` would take them from the class, which copies share.
    """
    values = {name: getattr(module, name) for name in module.parametrizations}
    sources = {name: list(each.parameters()) for name, each in module.parametrizations.items()}
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, value in values.items():
        value = value.detach().clone()
        if sources[name]:
            trained = any(source.requires_grad for source in sources[name])
            module.register_parameter(name, nn.Parameter(value, trained))
        else:
            module.register_buffer(name, value)
