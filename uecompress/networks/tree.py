"""Walking a network's tree: its leaves, replacement and counting."""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn.utils import parametrize


def linear_and_conv_layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers that compression acts on.

    Returns:
        The dotted name and module of every ``nn.Linear`` and ``nn.Conv2d``, subclasses and
        parametrized ones included, in the order of the tree. A module used twice is listed once,
        under its first name.
    """
    return [(n, m) for n, m in leaves(model) if isinstance(m, nn.Linear | nn.Conv2d)]


def parameter_count(model: nn.Module) -> int:
    """The number of parameters; a shared one counts once, buffers do not count."""
    return sum(parameter.numel() for parameter in model.parameters())


def copied(model: nn.Module, same: dict | None = None) -> nn.Module:
    """A deep copy, also of a network that keeps what it has computed.

    ``torch.nn.utils.prune`` and others keep the weight that they have computed as an attribute of
    the module, with the graph that made it, and ``copy.deepcopy`` refuses that. The copy has its
    value alone.

    Args:
        model: a network.
        same: what stands in the copy for an object of the network, by the object's ``id``.
    """
    memo = {
        id(value): value.detach().clone()
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, torch.Tensor) and value.grad_fn is not None
    }
    return copy.deepcopy(model, memo | (same or {}))


def replace_layers(
    model: nn.Module, function: Callable[[str, nn.Module], nn.Module | None]
) -> nn.Module:
    """A deep copy of a network in which some leaves are other modules.

    Leaves are the modules without children (a list of parameters is none), and parametrized layers.
    The tree may hold any containers, ensembles and residual blocks among them. What is not replaced
    is copied, with everything it shares still shared; the input is not changed.

    Args:
        model: a network, or a single layer.
        function: is asked ``function(name, module)`` once for every leaf, with its dotted name
            (the empty string for a model that is itself a leaf) and the leaf's copy, which it may
            use up in what it returns. It returns the replacement, or None to leave the leaf alone.
            A leaf used at several places is asked for under its first name, and its one
            replacement goes to all of them. Replacements take over train or eval mode.

    Raises:
        TypeError: if ``function`` returns something that is neither a module nor None.
    """
    model = copied(model)
    replacements = {}
    for name, leaf in list(leaves(model)):
        replacement = function(name, leaf)
        if replacement is None:
            continue
        if not isinstance(replacement, nn.Module):
            raise TypeError(f"the replacement of {name!r} is not a module: {replacement!r}")
        replacements[leaf] = replacement.train(leaf.training)
    for parent in list(model.modules()):
        for child_name, child in parent._modules.items():
            if child in replacements:
                parent._modules[child_name] = replacements[child]
    return replacements.get(model, model)


def is_plain(module: nn.Module | None, *kinds: type[nn.Module]) -> bool:
    """Whether a module is exactly of one of these kinds and owns its ``weight`` and ``bias``.

    False for subclasses, for parametrized layers and for those pruned with ``nn.utils.prune``,
    whose weight is computed from other tensors.
    """
    return type(module) in kinds and set(module._parameters) == {"weight", "bias"}


def leaves(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Dotted names and leaves, each leaf once."""
    seen = set()

    def walk(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        if module in seen:
            return
        seen.add(module)
        children = [
            (n, m) for n, m in module.named_children() if not isinstance(m, nn.ParameterList)
        ]
        if not children or parametrize.is_parametrized(module):
            yield name, module
            return
        for child_name, child in children:
            yield from walk(_join(name, child_name), child)

    return walk("", model)


def _join(name: str, child_name: str) -> str:
    return f"{name}.{child_name}" if name else child_name
