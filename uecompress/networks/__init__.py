"""The course's networks as plain trees, and surgery on them: replacement, removal, fusion.

A network is a nest of ``nn.Sequential`` with named children and of the containers
:class:`Residual`, :class:`Attention`, :class:`Ensemble` and :class:`SharedEnsemble`, so a layer is
replaced by assigning it: ``model.linear1 = smaller``.
"""

from uecompress.networks.attention import Attention, PositionEmbedding, TokenMean
from uecompress.networks.containers import Ensemble, Residual, SharedEnsemble
from uecompress.networks.fusion import fuse_batch_norm
from uecompress.networks.geometry import Conv2dLayer, LinearLayer
from uecompress.networks.given import grams, hessian, input_sums
from uecompress.networks.inputs import (
    check_inputs,
    dtype_and_device,
    example_axis,
    examples,
    for_members,
)
from uecompress.networks.padding import ChannelPad2d
from uecompress.networks.plain import obstacles, plain, plain_layers
from uecompress.networks.select import SelectFeatures
from uecompress.networks.shrinking import shrink
from uecompress.networks.tree import linear_and_conv_layers, parameter_count, replace_layers
from uecompress.networks.units import keep_units
from uecompress.networks.values import cluster_weights, maximum_compression
from uecompress.networks.vit import vit_tiny
from uecompress.networks.zeros import hold_zeros, nonzero_weights
from uecompress.networks.zoo import cnn, cnn_as_printed, lenet5, lenet300, mlp, resnet_small

__all__ = [
    "Attention",
    "ChannelPad2d",
    "Conv2dLayer",
    "Ensemble",
    "LinearLayer",
    "PositionEmbedding",
    "Residual",
    "SelectFeatures",
    "SharedEnsemble",
    "TokenMean",
    "check_inputs",
    "cluster_weights",
    "cnn",
    "cnn_as_printed",
    "dtype_and_device",
    "example_axis",
    "examples",
    "for_members",
    "fuse_batch_norm",
    "grams",
    "hessian",
    "hold_zeros",
    "input_sums",
    "keep_units",
    "lenet5",
    "lenet300",
    "linear_and_conv_layers",
    "maximum_compression",
    "mlp",
    "nonzero_weights",
    "obstacles",
    "parameter_count",
    "plain",
    "plain_layers",
    "replace_layers",
    "resnet_small",
    "shrink",
    "vit_tiny",
]
