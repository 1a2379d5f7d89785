"""What each kind of module does: the one table that removal, stacking and storage read."""

from typing import NamedTuple

from torch import nn

from uecompress.networks.padding import ChannelPad2d


class Kind(NamedTuple):
    """A row of the table; one without entries, ``Kind()``, is a module of which nothing is known.

    Attributes:
        arguments: those of the constructor, in the order in which a file holds them, each with its
            usual value, or ``...`` where there is none; an attribute of the module has the name of
            the argument. None for a class that torch does not have: it says its own ``config``.
        entrywise: it treats every entry of its input by itself, whatever the shape, hence M
            networks that are stacked can share one.
        channelwise: it treats every channel of an image (N, C, H, W) by itself.
        keeps_zero: where the input of a unit or channel is zero, so is its output.
        inputs: the attribute that holds the number of inputs, for a module that can lose some.
    """

    arguments: dict | None = None
    entrywise: bool = False
    channelwise: bool = False
    keeps_zero: bool = False
    inputs: str | None = None


def kind_of(module: nn.Module) -> Kind:
    """The row of a module, by its exact class; of ``Kind()`` where the table has none.

    A class of ours that does what a class of torch does, and something beside it, names that class
    in its attribute ``acts_as``. A subclass of it does not inherit the attribute.
    """
    return KINDS.get(vars(type(module)).get("acts_as", type(module)), Kind())


_INPLACE = {"inplace": False}
_DROPOUT = {"p": 0.5, "inplace": False}
_NORM = {"num_features": ..., "eps": 1e-5, "momentum": 0.1, "affine": True,
         "track_running_stats": True}  # fmt: skip


def _conv(d):
    return {"in_channels": ..., "out_channels": ..., "kernel_size": ..., "stride": (1,) * d,
            "padding": (0,) * d, "dilation": (1,) * d, "groups": 1, "bias": True,
            "padding_mode": "zeros"}  # fmt: skip


KINDS = {
    # layers and norms
    nn.Linear: Kind({"in_features": ..., "out_features": ..., "bias": True}, inputs="in_features"),
    nn.Conv1d: Kind(_conv(1)),
    nn.Conv2d: Kind(_conv(2), inputs="in_channels"),
    nn.Embedding: Kind({"num_embeddings": ..., "embedding_dim": ..., "padding_idx": None,
                        "max_norm": None, "norm_type": 2.0, "scale_grad_by_freq": False,
                        "sparse": False}),
    nn.BatchNorm1d: Kind(_NORM, inputs="num_features"),
    nn.BatchNorm2d: Kind(_NORM, inputs="num_features"),
    nn.LayerNorm: Kind({"normalized_shape": ..., "eps": 1e-5, "elementwise_affine": True,
                        "bias": True}),
    nn.GroupNorm: Kind({"num_groups": ..., "num_channels": ..., "eps": 1e-5, "affine": True}),
    # shapes
    nn.Flatten: Kind({"start_dim": 1, "end_dim": -1}, keeps_zero=True),
    nn.Unflatten: Kind({"dim": ..., "unflattened_size": ...}),
    nn.Identity: Kind({}, entrywise=True, keeps_zero=True),
    # activations
    nn.ReLU: Kind(_INPLACE, entrywise=True, keeps_zero=True),
    nn.ReLU6: Kind(_INPLACE, entrywise=True, keeps_zero=True),
    nn.LeakyReLU: Kind({"negative_slope": 0.01, **_INPLACE}, entrywise=True, keeps_zero=True),
    nn.PReLU: Kind({"num_parameters": 1}),  # its slopes belong to channels
    nn.ELU: Kind({"alpha": 1.0, **_INPLACE}, entrywise=True, keeps_zero=True),
    nn.SELU: Kind(_INPLACE, entrywise=True, keeps_zero=True),
    nn.GELU: Kind({"approximate": "none"}, entrywise=True, keeps_zero=True),
    nn.SiLU: Kind(_INPLACE, entrywise=True, keeps_zero=True),
    nn.Mish: Kind(_INPLACE, entrywise=True, keeps_zero=True),
    nn.Hardswish: Kind(_INPLACE, entrywise=True, keeps_zero=True),
    nn.Hardsigmoid: Kind(_INPLACE, entrywise=True),
    nn.Tanh: Kind({}, entrywise=True, keeps_zero=True),
    nn.Sigmoid: Kind({}, entrywise=True),
    nn.Softplus: Kind({"beta": 1.0, "threshold": 20.0}, entrywise=True),
    nn.Softmax: Kind({"dim": None}),
    nn.LogSoftmax: Kind({"dim": None}),
    # dropout
    nn.Dropout: Kind(_DROPOUT, entrywise=True, keeps_zero=True),
    nn.Dropout2d: Kind(_DROPOUT, channelwise=True, keeps_zero=True),
    # images; a ChannelPad2d adds a border that is not zero
    nn.MaxPool2d: Kind({"kernel_size": ..., "stride": ..., "padding": 0, "dilation": 1,
                        "return_indices": False, "ceil_mode": False},
                       channelwise=True, keeps_zero=True),
    nn.AvgPool2d: Kind({"kernel_size": ..., "stride": ..., "padding": 0, "ceil_mode": False,
                        "count_include_pad": True, "divisor_override": None},
                       channelwise=True, keeps_zero=True),
    nn.AdaptiveMaxPool2d: Kind({"output_size": ..., "return_indices": False},
                               channelwise=True, keeps_zero=True),
    nn.AdaptiveAvgPool2d: Kind({"output_size": ...}, channelwise=True, keeps_zero=True),
    nn.ZeroPad2d: Kind({"padding": ...}, channelwise=True, keeps_zero=True),
    nn.Upsample: Kind({"size": None, "scale_factor": None, "mode": "nearest",
                       "align_corners": None, "recompute_scale_factor": None},
                      channelwise=True, keeps_zero=True),
    ChannelPad2d: Kind(inputs="channels"),
}  # fmt: skip
