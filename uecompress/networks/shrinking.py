"""A smaller network without what its zeros make superfluous; its outputs are equal."""

import torch
from torch import fx, nn

from uecompress.networks import calls
from uecompress.networks.padding import ChannelPad2d
from uecompress.networks.plain import plain_layers
from uecompress.networks.select import SelectFeatures
from uecompress.networks.ties import Paths
from uecompress.networks.tree import copied, replace_layers
from uecompress.networks.units import remove_units


def shrink(model):
    """An ordinary network without what its zero weights make superfluous; its outputs are equal.

    A unit goes if every layer that reads it gives it zero weights only, or finds zeros: because the
    unit has zero weights and bias, and nothing on the way makes another number of a zero. Where
    units are tied by a residual sum, all summands are asked. What is removed makes more
    superfluous, in the layers before and after, until nothing is left to remove. Then each Linear
    whose weight still has zero columns (pixels, or entries of a flattened image) is replaced by a
    :class:`SelectFeatures` and a smaller Linear.

    Units that :func:`networks.keep_units <uecompress.networks.keep_units>` cannot remove keep their
    zeros. A layer keeps one unit at least, hence a network that has lost everything predicts by its
    last biases alone.

    Args:
        model: a network; it is not changed. Outputs are equal in eval mode.

    Raises:
        ValueError: the network has no plain Linear or Conv2d layer.

    Warns:
        UserWarning: layers that are left alone, each with the reason.
    """
    names = list(plain_layers(model))
    paths = Paths(copied(model))
    while any([_remove_dead_units(paths, name) for name in names]):
        pass

    def without_zero_columns(name, leaf):
        plain = type(leaf) is nn.Linear and name not in paths.fixed
        return _select_columns(leaf) if plain else None

    return _merge_selections(replace_layers(paths.model, without_zero_columns))


def _remove_dead_units(paths, name):
    """Whether a layer has lost units, and with it all that are tied to it."""
    try:
        ties = paths.ties(name)
        dead = _dead_units(paths, ties)
        dead[_unit_of_all(ties)] &= not dead.all()  # one unit stays
        if dead.any():
            remove_units(paths.model, name, ties, (~dead).nonzero().flatten())
    except ValueError:  # its outputs go where units cannot be removed
        return False
    return bool(dead.any())


def _unit_of_all(ties):
    """The first unit of which every module has an entry, the choices of features included."""
    had = torch.ones(ties.units, dtype=torch.bool)
    for unit_of in ties.cuts.values():
        had &= torch.bincount(unit_of, minlength=ties.units) > 0
    return int(had.int().argmax())


def _dead_units(paths, ties):
    """Which units do not matter, (units,) bool."""
    zero, dead = _zero_units(paths, ties), torch.ones(ties.units, dtype=torch.bool)
    for name, node in ties.readers.items():
        # (outputs, inputs, ...) -> (inputs, the rest)
        weight = paths.model.get_submodule(name).weight.detach().transpose(0, 1).flatten(1)
        dead &= zero[node] | _units_all(ties, (name, 1), (weight == 0).all(dim=1))
    return dead


def _zero_units(paths, ties):
    """Which units are zero in each tensor, whatever the input: node -> (units,) bool."""
    zero = {}
    for node in paths.graph.nodes:
        if node not in ties.layouts:
            continue
        before = [zero[other] for other in node.all_input_nodes if other in zero]
        if node.op == "call_module" and (node.target, 0) in ties.cuts:
            cut = node.target, 0
            inputs = None if paths.is_layer(node) else before[0][ties.cuts[cut]]
            zero[node] = _units_all(ties, cut, _zero_outputs(paths.module(node), inputs))
        elif calls.operation(node) == "mul":
            zero[node] = torch.stack(before).any(dim=0)
        elif paths.moves(node) or calls.kind(paths.model, node).keeps_zero or _adds(node):
            zero[node] = torch.stack(before).all(dim=0)
        else:
            zero[node] = torch.zeros(ties.units, dtype=torch.bool)
    return zero


def _units_all(ties, cut, entries):
    """Of which units all entries along an axis are such; entries: (size,) bool."""
    others = ties.cuts[cut][~entries.cpu()]
    return torch.ones(ties.units, dtype=torch.bool).index_fill_(0, others, False)


def _zero_outputs(module, zero_inputs):
    """Which outputs are zero, (size,) bool; whole layers, which make units, need no inputs."""
    if isinstance(module, SelectFeatures):
        return zero_inputs
    if isinstance(module, ChannelPad2d):
        return zero_inputs & (module.value == 0).cpu()
    no_shift = module.bias is None or (module.bias.detach() == 0).cpu()
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        centred = module.running_mean is None or (module.running_mean == 0).cpu()
        no_scale = module.weight is not None and (module.weight.detach() == 0).cpu()
        return no_shift & (no_scale | zero_inputs & centred)
    no_weight = (module.weight.detach().flatten(1) == 0).all(dim=1).cpu()
    return no_shift & (no_weight if zero_inputs is None else no_weight | zero_inputs)


def _adds(node):
    """Whether it adds tensors to each other: a number that is added makes another of a zero."""
    tensors = [each for each in node.args if isinstance(each, fx.Node)]
    return calls.combines(node) and len(tensors) == 2


def _select_columns(leaf):
    """A Linear without its zero columns, after the choice of its inputs; None if it has none."""
    keep = (leaf.weight.detach() != 0).any(dim=0)
    keep[0] |= not keep.any()  # one input stays
    if keep.all():
        return None
    select = SelectFeatures(leaf.in_features).to(leaf.weight.device)
    select.keep.copy_(keep)
    leaf.weight = nn.Parameter(leaf.weight.detach()[:, keep], leaf.weight.requires_grad)
    leaf.in_features = int(keep.sum())
    return nn.Sequential(select, leaf)


def _merge_selections(model):
    """``model`` with one SelectFeatures where a network shrunk twice has two in a row."""
    for module in list(model.modules()):
        while _selects(module) and _selects(module[1]):
            select, (further, leaf) = module
            select.keep[select.keep.clone()] = further.keep
            module[1] = leaf
    return model


def _selects(module):
    """Whether this is what :func:`_select_columns` returns."""
    return type(module) is nn.Sequential and len(module) == 2 and type(module[0]) is SelectFeatures
