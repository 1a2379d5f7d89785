"""The order in which any network, ours or not, calls its layers: a graph that torch.fx traces.

The forward passes are run once with symbols in place of tensors. A node of the graph is one call of
a leaf of the tree or of a function, and knows the nodes that it takes and those that take it.
"""

from collections import Counter, OrderedDict
from typing import NamedTuple

import torch
from torch import fx, nn

from uecompress.networks.containers import Ensemble, Residual, SharedEnsemble
from uecompress.networks.tree import copied, leaves

# What containers of ours compute of each example, without what symbols cannot pass: checks of
# shapes, and members that are folded into the batch.
UNCHECKED = {
    Residual: lambda block, x: block.branch(x) + block.shortcut(x),
    Ensemble: lambda ensemble, x: torch.stack([member(x) for member in ensemble.members]),
    SharedEnsemble: lambda ensemble, x: torch.stack([ensemble.network(x)]),
}


class Order(NamedTuple):
    """What :func:`order_of_execution` finds.

    Attributes:
        graph: its ``call_module`` nodes have dotted names of the network's modules as targets, a
            module at several places its first; ``get_attr`` nodes have names of tensors.
        opaque: why the inside of a module is unknown, by the module's dotted name.
    """

    graph: fx.Graph
    opaque: dict[str, str]

    def obstacles(self, model):
        """Why leaves of the network cannot be changed, as far as the order of execution tells.

        Returns:
            A dict: dotted name of a leaf -> the reason, words that follow the name in a sentence.
        """
        calls = Counter(node.target for node in self.graph.nodes if node.op == "call_module")
        reasons = {}
        for name, _ in leaves(model):
            inside = [outer for outer in self.opaque if outer == "" or name.startswith(f"{outer}.")]
            if inside:
                where = repr(inside[0]) if inside[0] else "the network"
                reasons[name] = f"is inside {where}, {self.opaque[inside[0]]}"
            elif calls[name] > 1:
                reasons[name] = f"is called {calls[name]} times"
            elif not calls[name]:
                reasons[name] = "is not called in eval mode"
        return reasons


def order_of_execution(model):
    """The calls that a network makes in eval mode, one input given.

    A leaf of the tree is one call, our own layers and torch's attention among them. A module whose
    forward decides by the values or shapes of tensors cannot be traced; it is one call too, and its
    inside is unknown. Hooks of a container are calls of a function, of which nothing is known.

    Args:
        model: a network; it is not changed. Its forward passes run, with symbols for tensors.

    Returns:
        An :class:`Order`.
    """
    # A copy with the same tensors: what a forward leaves behind must not stay on the network.
    held = [*model.parameters(), *model.buffers()]
    shell = copied(model, {id(tensor): tensor for tensor in held}).eval()
    names = {module: name for name, module in shell.named_modules()}
    root = nn.Sequential(OrderedDict(network=shell))
    whole = {leaf for _, leaf in leaves(root) if type(leaf) is not nn.Sequential}  # an empty one
    opaque = {m: "of whose inside nothing is known" for m in shell.modules() if _of_torch(m)}
    while True:
        tracer = _Tracer(whole | set(opaque))
        try:
            graph = tracer.trace(root)
            break
        except Exception as error:  # whatever a forward makes of symbols
            line = str(error).strip().partition("\n")[0]
            reason = f"which torch.fx cannot trace ({type(error).__name__}: {line})"
            opaque[tracer.culprit] = reason
    for node in graph.nodes:
        if node.op in ("call_module", "get_attr"):
            node.target = node.target[len("network.") :]
    return Order(graph, {names[module]: reason for module, reason in opaque.items()})


class _Tracer(fx.Tracer):
    """Traces through all modules but these, and remembers in which one it failed."""

    proxy_buffer_attributes = True

    def __init__(self, whole):
        super().__init__()
        self.whole, self.culprit = whole, None

    def is_leaf_module(self, module, name):
        return module in self.whole

    def call_module(self, module, forward, args, kwargs):
        if self.is_leaf_module(module, ""):
            return super().call_module(module, forward, args, kwargs)
        try:
            return super().call_module(module, _without_hooks(self, module), args, kwargs)
        except Exception:
            self.culprit = module if self.culprit is None else self.culprit
            raise


def _without_hooks(tracer, module):
    """The forward of a container, with symbols for what its hooks make of inputs and outputs."""

    def forward(*args, **kwargs):
        if module._forward_pre_hooks:
            args = tuple(tracer.create_proxy("call_function", hooks, (arg,), {}) for arg in args)
        unchecked = UNCHECKED.get(type(module))
        result = unchecked(module, *args) if unchecked else module.forward(*args, **kwargs)
        if module._forward_hooks:
            result = tracer.create_proxy("call_function", hooks, (result,), {})
        return result

    return forward


def hooks(value):
    """Stands in the graph for the hooks of a container."""
    return value


def _of_torch(module):
    """Whether it is one of torch's modules with children and a forward of its own."""
    torchs = type(module).__module__.startswith("torch.nn.modules.")
    contains = not isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)
    return torchs and contains and any(True for _ in module.children())
