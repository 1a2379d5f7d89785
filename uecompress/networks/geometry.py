"""The geometry of Linear and Conv2d layers of our own: sizes, checks, conversion, description.

A layer that stands for a dense one (a variational, hashed, quantized layer, one with weights for
each member) has everything in common with ``nn.Linear`` or ``nn.Conv2d`` but where its weight comes
from. That is all that it adds to :class:`LinearLayer` or :class:`Conv2dLayer`, usually in one class
for both kinds:

- ``start(**settings)`` creates parameters and buffers, and keeps the settings as plain numbers;
- ``dense_weight`` is the weight that it stands for, and ``dense_bias`` the bias;
- ``take(weight, bias)``, if it can keep the weights of another layer;
- ``forward``, if it does more than multiply by that weight.
"""

from abc import ABC, abstractmethod

import torch
from torch import nn
from torch.nn import functional as F

from uecompress import checks


class _Layer(nn.Module, ABC):
    """What the two kinds share."""

    @abstractmethod
    def start(self, **settings):
        """Create parameters and buffers; keep the settings, as a file has them, in ``settings``.

        It is called by the constructor, with its keyword arguments, when the sizes are known.
        """

    @property
    @abstractmethod
    def dense_weight(self):
        """The weight that the layer stands for, in the shape that torch's layer has."""

    @property
    def dense_bias(self):
        """The bias that the layer adds, or None."""
        return self.bias

    def take(self, weight, bias):
        """Keep a weight and a bias (or None) as well as the layer can; without gradients.

        Raises:
            TypeError: the layer draws weights of its own and keeps no others.
        """
        raise TypeError(f"a {type(self).__name__} cannot keep the weights of another layer")

    def forward(self, x):
        """What torch's layer gives with ``dense_weight`` and ``dense_bias``."""
        return self.product(x, self.dense_weight, self.dense_bias)

    @abstractmethod
    def product(self, x, weight, bias):
        """What torch's layer of this geometry gives with a weight and a bias or None."""

    @abstractmethod
    def ordinary(self, **factory):
        """Torch's layer of this geometry with the weights that torch draws.

        Args:
            factory: ``device`` and ``dtype``.
        """

    @abstractmethod
    def config(self):
        """The constructor's arguments."""

    def extra_repr(self):
        """The constructor's arguments, for ``print``."""
        return ", ".join(f"{name}={value!r}" for name, value in self.config().items())


class LinearLayer(_Layer):
    """A layer that stands for an ``nn.Linear``; see the head of this file for what to add.

    Args:
        in_features: size of the input.
        out_features: size of the output.
        bias: whether there are biases.
        settings: the arguments of :meth:`start`.

    Raises:
        TypeError: a size that is no number, a ``bias`` that is not True or False.
        ValueError: a size that is not a whole number of at least 1.
    """

    def __init__(self, in_features, out_features, bias=True, **settings):
        super().__init__()
        self.in_features = checks.whole("in_features", in_features)
        self.out_features = checks.whole("out_features", out_features)
        self.has_bias, self.settings = checks.flag("bias", bias), {}
        self.start(**settings)

    @classmethod
    def from_linear(cls, linear, **settings):
        """The layer with the weights of another, its dtype, device, mode and ``requires_grad``.

        Parameters whose names begin with ``bias`` are frozen where the bias is, all others where
        the weight is. The caller's random numbers stay as they were.

        Args:
            linear: an ``nn.Linear``; it is not changed.
            settings: as in the constructor.

        Raises:
            TypeError: not an ``nn.Linear``.
            ValueError: weights that are not finite.
        """
        return _from(cls, linear, nn.Linear, ("in_features", "out_features"), settings)

    def product(self, x, weight, bias):
        """(..., in_features) -> (..., out_features)."""
        return F.linear(x, weight, bias)

    def ordinary(self, **factory):
        """An ``nn.Linear`` of these sizes, with the weights that torch draws."""
        return nn.Linear(self.in_features, self.out_features, self.has_bias, **factory)

    def config(self):
        """The constructor's arguments."""
        sizes = {"in_features": self.in_features, "out_features": self.out_features}
        return sizes | {"bias": self.has_bias} | self.settings


class Conv2dLayer(_Layer):
    """A layer that stands for an ``nn.Conv2d``; see the head of this file for what to add.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: a number, or (height, width).
        stride: as in ``nn.Conv2d``.
        padding: zero padding, as in ``nn.Conv2d``.
        dilation: as in ``nn.Conv2d``.
        groups: as in ``nn.Conv2d``.
        bias: whether there are biases.
        settings: the arguments of :meth:`start`.

    Attributes:
        geometry: the arguments that ``F.conv2d`` takes beside the tensors.

    Raises:
        TypeError: an argument that is no number, a ``bias`` that is not True or False.
        ValueError: an argument that is not whole or out of range; channels that ``groups`` does not
            divide; in the forward pass, inputs that are not (N, in_channels, H, W).
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        **settings,
    ):
        super().__init__()
        self.in_channels = checks.whole("in_channels", in_channels)
        self.out_channels = checks.whole("out_channels", out_channels)
        self.kernel_size, self.geometry = window(kernel_size, stride, padding, dilation)
        self.geometry["groups"] = checks.whole("groups", groups)
        for name in ("in_channels", "out_channels"):
            channels = getattr(self, name)
            if channels % self.geometry["groups"]:
                raise ValueError(f"{name} must be a multiple of groups, {groups}, not {channels}")
        self.has_bias, self.settings = checks.flag("bias", bias), {}
        self.start(**settings)

    @classmethod
    def from_conv2d(cls, conv, **settings):
        """The layer with the weights of another, its dtype, device, mode and ``requires_grad``.

        Parameters whose names begin with ``bias`` are frozen where the bias is, all others where
        the weight is. The caller's random numbers stay as they were.

        Args:
            conv: an ``nn.Conv2d`` that pads with zeros; it is not changed.
            settings: as in the constructor.

        Raises:
            TypeError: not an ``nn.Conv2d``.
            ValueError: padding with anything but zeros; weights that are not finite.
        """
        if getattr(conv, "padding_mode", "zeros") != "zeros":
            raise ValueError(f"padding_mode {conv.padding_mode!r} is not supported, only 'zeros'")
        names = "in_channels", "out_channels", "kernel_size"
        names += "stride", "padding", "dilation", "groups"
        return _from(cls, conv, nn.Conv2d, names, settings)

    def product(self, x, weight, bias):
        """(N, in_channels, H, W) -> (N, out_channels, H', W')."""
        if x.ndim != 4:
            raise ValueError(f"expected (N, {self.in_channels}, H, W), not {tuple(x.shape)}")
        return F.conv2d(x, weight, bias, **self.geometry)

    def ordinary(self, **factory):
        """An ``nn.Conv2d`` of this geometry, with the weights that torch draws."""
        sizes = self.in_channels, self.out_channels, self.kernel_size
        return nn.Conv2d(*sizes, **self.geometry, bias=self.has_bias, **factory)

    def config(self):
        """The constructor's arguments."""
        sizes = {name: getattr(self, name) for name in ("in_channels", "out_channels")}
        sizes |= {"kernel_size": self.kernel_size, **self.geometry}
        return sizes | {"bias": self.has_bias} | self.settings


def window(kernel_size, stride, padding, dilation):
    """The window of a convolution as ``nn.Conv2d`` keeps it.

    Args:
        kernel_size: a number of at least 1, or (height, width); so are the others.
        stride: of at least 1.
        padding: of at least 0, or "same" or "valid".
        dilation: of at least 1.

    Returns:
        The kernel's size (height, width), and a dict of the three others.

    Raises:
        TypeError: a size that is no number.
        ValueError: one that is not whole, out of range, or not one or two numbers; another word;
            "same" with strides.
    """
    kernel_size, stride = _pair("kernel_size", kernel_size), _pair("stride", stride)
    if not isinstance(padding, str):
        padding = _pair("padding", padding, 0)
    elif padding not in ("same", "valid"):
        raise ValueError(f'padding must be numbers, "same" or "valid", not {padding!r}')
    elif padding == "same" and stride != (1, 1):
        raise ValueError(f'padding "same" needs stride 1, not {stride}')
    return kernel_size, {
        "stride": stride,
        "padding": padding,
        "dilation": _pair("dilation", dilation),
    }


def _pair(name, value, low=1):
    """(height, width), of one number or of two."""
    values = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(values) != 2:
        raise ValueError(f"{name} must be one number or two, not {value!r}")
    return tuple(checks.whole(name, each, low) for each in values)


def _from(cls, plain, kind, names, settings):
    """A layer of class ``cls`` with the weights of ``plain``, a layer of torch."""
    if not isinstance(plain, kind):
        raise TypeError(f"expected an nn.{kind.__name__}, not {type(plain).__name__}")
    checks.finite(weight=plain.weight, bias=plain.bias)
    arguments = {name: getattr(plain, name) for name in names} | {"bias": plain.bias is not None}
    with torch.random.fork_rng(devices=[]):
        layer = cls(**arguments, **settings).to(plain.weight)  # dtype and device
    with torch.no_grad():
        layer.take(plain.weight, plain.bias)
    for name, parameter in layer.named_parameters():
        like = plain.bias if name.startswith("bias") else plain.weight
        parameter.requires_grad_(like.requires_grad)
    return layer.train(plain.training)
