"""Batch norms folded into the layers that run before or behind them."""

import warnings

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from uecompress.networks.folding import fold_into_inputs, fold_into_outputs
from uecompress.networks.graph import UNCHECKED, order_of_execution
from uecompress.networks.padding import ChannelPad2d
from uecompress.networks.plain import obstacles
from uecompress.networks.tree import copied

_LAYER_OF_NORM = {nn.BatchNorm1d: nn.Linear, nn.BatchNorm2d: nn.Conv2d}
_OUR_CONTAINERS = (nn.Sequential, nn.ModuleList, *UNCHECKED)


def fuse_batch_norm(model: nn.Module) -> nn.Module:
    """A copy of a network in which batch norms have been folded into Linear and Conv2d layers.

    The copy computes what the network computes in eval mode, with the batch norms' running
    statistics. A batch norm is folded into the layer that runs right before it, by scaling the
    layer's outputs, if nothing else takes them; or else into the layer that runs right behind it,
    by scaling its inputs. Then it is gone: out of the ``nn.Sequential`` in a tree of ours, while in
    the modules of others, whose code may name it, an ``nn.Identity`` has its place. The other
    modules keep their names and their train or eval mode. Dropout is not folded across, so the copy
    also agrees with the network when dropout alone is active, as in MC dropout.

    A Conv2d behind a batch norm pads the norm's output with zeros, which stand for ``-t / s`` in
    its input. Such a layer, ``conv1`` say, gets padding 0 and a :class:`ChannelPad2d` before it,
    ``conv1_pad`` (``conv1_pad_`` where that name is taken); in the modules of others the padding
    has the norm's place. Reflecting, replicating and circular padding commute with the norm.

    Left as they are, and reported: batch norms without a Linear (1d) or Conv2d (2d) beside them,
    without affine parameters, or without running statistics; those before a zero-padded convolution
    with a channel whose ``s`` is zero or whose ``-t / s`` is not finite, which no padding can
    express; those where the norm or the layer is called several times, is parametrized, tied, has a
    hook, or has its tensors read by another module; and those inside a module that torch.fx cannot
    trace.

    A 1d batch norm is taken to see (N, features), as it does in the networks of the course.

    Args:
        model: a network; it is not changed. It need not be a tree of ours. One without batch norms
            comes back as a copy.

    Raises:
        ValueError: the network has batch norms, and none can be folded; the message says why.

    Warns:
        UserWarning: the batch norms that are left as they are, each with the reason.
    """
    model = copied(model)
    norms = [name for name, module in model.named_modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return model
    order = order_of_execution(model)
    reasons = order.obstacles(model) | obstacles(model)
    left = {name: reasons[name] for name in norms if name in reasons}
    waiting = [n for n in order.graph.nodes if n.target in norms and n.target not in left]
    while _fold_first(model, waiting, reasons, left):
        pass
    report = "; ".join(f"{name!r} {left[name]}" for name in norms if name in left)
    if len(left) == len(norms):
        raise ValueError(f"no batch norm can be folded: {report}")
    if left:
        warnings.warn(f"batch norms left as they are: {report}", stacklevel=2)
    return model


def _fold_first(model, waiting, reasons, left):
    """Folds the first batch norm that can be folded, and crosses it off; False if there is none.

    Then others may be foldable: of norms in a row, the last goes first.
    """
    for node in waiting:
        try:
            _fold(model, node, reasons)
        except ValueError as reason:
            left[node.target] = str(reason)
        else:
            left.pop(node.target, None)
            waiting.remove(node)
            return True
    return False


def _fold(model, node, reasons):
    """Folds the batch norm that a node calls into a layer beside it.

    Raises:
        ValueError: why it cannot be, words that follow the norm's name.
    """
    norm = model.get_submodule(node.target)
    if type(norm) not in _LAYER_OF_NORM:
        raise ValueError(f"is a {type(norm).__name__}, which no layer takes over")
    if norm.weight is None or norm.bias is None:
        raise ValueError("has no affine parameters")
    if norm.running_mean is None:
        raise ValueError("has no running statistics")
    why = []
    for fold in (_into_layer_before, _into_layer_behind):
        try:
            return fold(model, node, norm, reasons)
        except ValueError as error:
            why.append(str(error))
    raise ValueError(f"fits no layer: {', '.join(why)}")


def _into_layer_before(model, node, norm, reasons):
    before = node.all_input_nodes[0]
    layer = _layer(model, before, norm, reasons, "before")
    if len(before.users) > 1:
        raise ValueError(f"{before.target!r} before it has its outputs used elsewhere too")
    fold_into_outputs(layer, norm)
    _drop(model, node, norm)


def _into_layer_behind(model, node, norm, reasons):
    behind = node.next  # right behind: nothing changes in between what the norm was given
    if set(node.users) != {behind}:
        raise ValueError("what runs right behind it is not all that takes its outputs")
    if node.kwargs:  # of a name that a padding in its place does not know
        raise ValueError("it is called by keyword")
    layer = _layer(model, behind, norm, reasons, "behind")
    pad = fold_into_inputs(layer, norm)
    if pad is None:
        _drop(model, node, norm)
        return
    path, _, child = behind.target.rpartition(".")
    parent = model.get_submodule(path)
    if parent in _our_sequentials(model):
        name = _insert_before(parent, child, pad)
        with node.graph.inserting_before(behind):
            padded = node.graph.call_module(f"{path}.{name}".lstrip("."), (node,))
        behind.replace_input_with(node, padded)
        _drop(model, node, norm)
    else:
        _replace(model, norm, pad)


def _layer(model, node, norm, reasons, where):
    """The layer beside a norm that a node calls, if it is of the norm's kind and may change."""
    kind = _LAYER_OF_NORM[type(norm)]
    called = model.get_submodule(node.target) if node.op == "call_module" else None
    if not isinstance(called, kind):
        raise ValueError(f"no {kind.__name__} runs right {where} it")
    if node.target in reasons:
        raise ValueError(f"{node.target!r} {where} it {reasons[node.target]}")
    return called


def _drop(model, node, norm):
    """Takes a folded norm out of the network and of its graph."""
    for parent in _our_sequentials(model):
        for child in [name for name, module in parent._modules.items() if module is norm]:
            delattr(parent, child)
    _replace(model, norm, nn.Identity().train(norm.training))
    node.replace_all_uses_with(node.all_input_nodes[0])
    node.graph.erase_node(node)


def _replace(model, old, new):
    """Puts a module at all places of another."""
    for parent in list(model.modules()):
        for child, module in parent._modules.items():
            if module is old:
                parent._modules[child] = new


def _our_sequentials(model):
    """The ``nn.Sequential`` that only containers of ours hold: they may lose and gain children."""
    ours = [model]
    for module in ours:  # which grows
        if type(module) in _OUR_CONTAINERS:
            ours += module.children()
    return [module for module in ours if type(module) is nn.Sequential]


def _insert_before(parent: nn.Sequential, child: str, pad: ChannelPad2d) -> str:
    """Puts ``pad`` before a child, as ``<child>_pad``; the other names stay. Returns its name."""
    children, pad_name = list(parent._modules.items()), f"{child}_pad"
    while pad_name in parent._modules:
        pad_name += "_"
    parent._modules.clear()
    for name, module in children:
        if name == child:
            parent.add_module(pad_name, pad)
        parent.add_module(name, module)
    return pad_name
