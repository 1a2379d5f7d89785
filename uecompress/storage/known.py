"""The classes of torch that a file may name, with the arguments of their constructors."""

from torch import nn

from uecompress.networks.kinds import KINDS

# The arguments read from each layer's attributes; ... where there is no usual value.
LAYERS = {kind: row.arguments for kind, row in KINDS.items() if row.arguments is not None}
CONTAINERS = {"Sequential": nn.Sequential, "ModuleList": nn.ModuleList}
BY_NAME = {layer.__name__: layer for layer in LAYERS}
