"""The classes of torch that a file may name, with the arguments of their constructors."""

from torch import nn

# The arguments read from each layer's attributes; ... where there is no usual value.
_CONV = {"in_channels": ..., "out_channels": ..., "kernel_size": ...}
_NORM = {"num_features": ..., "eps": 1e-5, "momentum": 0.1, "affine": True}
_NORM |= {"track_running_stats": True}


def _conv(d):
    return _CONV | {"stride": (1,) * d, "padding": (0,) * d, "dilation": (1,) * d, "groups": 1,
                    "bias": True, "padding_mode": "zeros"}  # fmt: skip


LAYERS = {
    nn.Linear: {"in_features": ..., "out_features": ..., "bias": True},
    nn.Conv1d: _conv(1),
    nn.Conv2d: _conv(2),
    nn.BatchNorm1d: _NORM,
    nn.BatchNorm2d: _NORM,
    nn.LayerNorm: {"normalized_shape": ..., "eps": 1e-5, "elementwise_affine": True, "bias": True},
    nn.GroupNorm: {"num_groups": ..., "num_channels": ..., "eps": 1e-5, "affine": True},
    nn.Embedding: {"num_embeddings": ..., "embedding_dim": ..., "padding_idx": None,
                   "max_norm": None, "norm_type": 2.0, "scale_grad_by_freq": False,
                   "sparse": False},
    nn.Flatten: {"start_dim": 1, "end_dim": -1},
    nn.Unflatten: {"dim": ..., "unflattened_size": ...},
    nn.Identity: {},
    nn.ReLU: {"inplace": False},
    nn.LeakyReLU: {"negative_slope": 0.01, "inplace": False},
    nn.GELU: {"approximate": "none"},
    nn.SiLU: {"inplace": False},
    nn.Tanh: {},
    nn.Sigmoid: {},
    nn.Softplus: {"beta": 1.0, "threshold": 20.0},
    nn.Softmax: {"dim": None},
    nn.LogSoftmax: {"dim": None},
    nn.Dropout: {"p": 0.5, "inplace": False},
    nn.Dropout2d: {"p": 0.5, "inplace": False},
    nn.MaxPool2d: {"kernel_size": ..., "stride": ..., "padding": 0, "dilation": 1,
                   "return_indices": False, "ceil_mode": False},
    nn.AvgPool2d: {"kernel_size": ..., "stride": ..., "padding": 0, "ceil_mode": False,
                   "count_include_pad": True, "divisor_override": None},
    nn.AdaptiveAvgPool2d: {"output_size": ...},
    nn.ZeroPad2d: {"padding": ...},
    nn.Upsample: {"size": None, "scale_factor": None, "mode": "nearest", "align_corners": None,
                  "recompute_scale_factor": None},
}  # fmt: skip
CONTAINERS = {"Sequential": nn.Sequential, "ModuleList": nn.ModuleList}
BY_NAME = {layer.__name__: layer for layer in LAYERS}
