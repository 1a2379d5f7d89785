"""Which layers lose units together, and which inputs and channels go with them."""

from typing import NamedTuple

import torch
from torch import fx, nn

from uecompress.networks import calls
from uecompress.networks.graph import hooks, order_of_execution
from uecompress.networks.padding import ChannelPad2d
from uecompress.networks.plain import obstacles
from uecompress.networks.select import SelectFeatures


class Layout(NamedTuple):
    """How the units of a layer lie in a tensor of the network.

    Attributes:
        images: the tensor is (N, channels, H, W); otherwise (..., entries).
        unit_of: the unit that each channel or entry belongs to; None just behind a flattening,
            where a unit has H * W entries in a row and the graph does not tell how many.
    """

    images: bool
    unit_of: torch.Tensor | None

    def sized(self, size, units):
        """The unit of each of ``size`` channels or entries; None where they cannot be these."""
        if self.unit_of is not None:
            return self.unit_of if len(self.unit_of) == size else None
        return None if size % units else torch.arange(units).repeat_interleave(size // units)

    def same(self, other):
        """Whether the units lie alike in two tensors that are added or multiplied."""
        mine, theirs = self.unit_of, other.unit_of
        known = mine is not None and theirs is not None
        alike = torch.equal(mine, theirs) if known else mine is theirs
        return alike and self.images == other.images


class Ties(NamedTuple):
    """What has to do with the units of one layer.

    Attributes:
        units: how many there are.
        layouts: of every tensor that holds them, by the node of the graph that makes it.
        cuts: (name of a module, axis of its tensors) -> the unit of each entry along that axis.
            Axis 0 is for what makes the units or passes them on, axis 1 for layers that read them.
        readers: name of a layer that reads the units -> the node that it reads.
    """

    units: int
    layouts: dict[fx.Node, Layout]
    cuts: dict[tuple[str, int], torch.Tensor]
    readers: dict[str, fx.Node]


class Paths:
    """The ways that units take through a network.

    Args:
        model: a network. Its layers may get smaller afterwards; its structure may not change.
    """

    def __init__(self, model):
        self.model, order = model, order_of_execution(model)
        self.graph = order.graph
        self.odd = obstacles(model)
        self.fixed = order.obstacles(model) | self.odd
        self.makers = {n.target: n for n in self.graph.nodes if n.op == "call_module"}

    def ties(self, name):
        """Everything that must lose units where the layer ``name`` does.

        The units are followed from call to call: forwards to the layers that read them, and, where
        they are added to others, backwards to the layers that make those.

        Raises:
            ValueError: naming the layer, and the first thing found that cannot lose units.
        """
        layer, node = self.model.get_submodule(name), self.makers.get(name)
        if name in self.fixed:
            raise ValueError(f"{name!r} {self.fixed[name]}")
        units = len(layer.weight)
        start = Layout(isinstance(layer, nn.Conv2d), torch.arange(units))
        ties = Ties(units, {node: start}, {}, {})
        queue = [node]
        for node in queue:  # which grows
            try:
                found = [*self._before(ties, node), *self._behind(ties, node)]
            except _Obstacle as obstacle:
                raise ValueError(f"{name!r}: {obstacle}") from None
            for other, layout in found:
                if other not in ties.layouts:
                    ties.layouts[other] = layout
                    queue.append(other)
                elif not layout.same(ties.layouts[other]):
                    raise ValueError(f"{name!r}: its units lie differently in {_what(other)}")
        for node in ties.layouts:
            if self.moves(node) and node.all_input_nodes[0] not in ties.layouts:
                raise ValueError(f"{name!r}: its units are tied to those behind {_what(node)}")
        return ties

    def _before(self, ties, node):
        """The tensors that a tensor with units is made of, and the units in them."""
        layout = ties.layouts[node]
        self._check_plain(node)
        if self.is_layer(node):
            self._cut(ties, node, 0, layout)
            return []
        if self.moves(node):
            return []
        self._check_passes(ties, node, layout)
        return [(other, layout) for other in node.all_input_nodes]

    def _behind(self, ties, node):
        """The tensors that are made of a tensor with units, and the units in them."""
        layout, found = ties.layouts[node], []
        for user in node.users:
            self._check_plain(user)
            if self.is_layer(user):
                self._cut(ties, user, 1, layout)
                ties.readers[user.target] = node
            elif calls.flattens(self.model, user):
                entries = None if layout.images else layout.unit_of
                found.append((user, Layout(images=False, unit_of=entries)))
            elif calls.averages_images(user) and layout.images:
                found.append((user, layout._replace(images=False)))
            elif self._selects(user):
                unit_of = self._cut(ties, user, 0, layout)
                keep = self.model.get_submodule(user.target).keep.cpu()
                found.append((user, Layout(images=False, unit_of=unit_of[keep])))
            elif not calls.asks_for_batch(user):
                self._check_passes(ties, user, layout)
                found.append((user, layout))
        return found

    def _check_plain(self, node):
        """Refuses a module that has a hook, say, be it one without tensors."""
        if node.op == "call_module" and node.target in self.odd:
            raise _Obstacle(f"{_what(node)} {self.odd[node.target]}")

    def _check_passes(self, ties, node, layout):
        """Refuses a call that does not treat each unit by itself; notes what it loses."""
        module = self.module(node)
        kind = calls.kind(self.model, node)
        if kind.inputs and (not isinstance(module, nn.Conv2d) or _is_depthwise(module)):
            self._cut(ties, node, 0, layout)
        elif not (kind.entrywise or (kind.channelwise and layout.images) or calls.combines(node)):
            raise _Obstacle(self._why_not(node))
        if not node.users:
            raise _Obstacle(f"{_what(node)} gives its result to nobody, or works in place")

    def _cut(self, ties, node, axis, layout):
        """Notes that a module loses entries of its tensors, and returns the unit of each."""
        name, module = node.target, self.module(node)
        if name in self.fixed:
            raise _Obstacle(f"{_what(node)} {self.fixed[name]}")
        if layout.images != isinstance(module, nn.Conv2d | nn.BatchNorm2d | ChannelPad2d):
            raise _Obstacle(f"{_what(node)} is a {type(module).__name__} and cannot take them")
        size = getattr(module, sizes(module, axis)[0])
        unit_of = layout.sized(size, ties.units)
        if unit_of is None:
            raise _Obstacle(f"{ties.units} units do not fit the {size} of {name!r}")
        ties.cuts[name, axis] = unit_of
        return unit_of

    def module(self, node):
        """The module that a node calls, None for other nodes."""
        return self.model.get_submodule(node.target) if node.op == "call_module" else None

    def is_layer(self, node):
        """Whether it is a call of a layer whose outputs are sums over all its inputs."""
        module = self.module(node)
        return type(module) is nn.Linear or (type(module) is nn.Conv2d and module.groups == 1)

    def _selects(self, node):
        return type(self.module(node)) is SelectFeatures

    def moves(self, node):
        """Whether units come out at other places than they go in."""
        flat = calls.flattens(self.model, node) or calls.averages_images(node)
        return flat or self._selects(node)

    def _why_not(self, node):
        """Why a call cannot have fewer units."""
        stacked = calls.operation(node) == "stack" and {user.op for user in node.users}
        if node.op == "output" or stacked == {"output"}:
            return "no layer follows, its outputs are the network's (the classes)"
        if node.op == "placeholder":
            return "its outputs are added to the network's input, or multiplied by it"
        if node.op == "get_attr":
            return f"its outputs meet {node.target!r}, a tensor of the network's own"
        if node.target is hooks:
            return "a hook of a container takes its outputs"
        if calls.operation(node) in ("cat", "concat", "concatenate"):
            return f"its outputs are concatenated with others, by {_what(node)}"
        groups = getattr(self.module(node), "groups", 1)
        if groups != 1:
            return f"{_what(node)} is a convolution in {groups} groups"
        return f"{_what(node)} is not known to treat each unit by itself"


class _Obstacle(ValueError):
    """Why units cannot go, as the end of a sentence that begins with the layer."""


def sizes(module, axis):
    """The attributes that hold how many entries a module's tensors have along an axis.

    Axis 0 is for the units that it makes or passes on, axis 1 for those that a layer reads.
    """
    if isinstance(module, nn.Linear):
        return (("out_features",), ("in_features",))[axis]
    if isinstance(module, nn.Conv2d) and module.groups > 1:
        return ("out_channels", "in_channels", "groups")
    if isinstance(module, nn.Conv2d):
        return (("out_channels",), ("in_channels",))[axis]
    return ("features",) if type(module) is SelectFeatures else (calls.kind_of(module).inputs,)


def _is_depthwise(conv):
    return conv.groups == conv.in_channels == conv.out_channels


def _what(node):
    """How a message names a call."""
    if node.op == "call_module":
        return repr(node.target)
    return f"{calls.operation(node) or node.name!r} ({node.name})"
