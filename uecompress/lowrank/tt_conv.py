"""A convolution whose kernel is a tensor train with paired channels (Garipov et al., 2016)."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from uecompress import checks
from uecompress.lowrank.conv_chain import balanced, kernel_of
from uecompress.lowrank.tt_linear import check_ranks, check_shapes, draw
from uecompress.lowrank.tt_product import examples
from uecompress.networks.geometry import window
from uecompress.tensors import tt_matrix

_PADDING_MODES = "zeros", "reflect", "replicate", "circular"


class TTConv2d(nn.Module):
    """A convolution whose kernel is a tensor train with paired channels.

    The channels are split into d indices, C = c₁⋯c_d and S = s₁⋯s_d, last index fastest, and
    K(s, c, x, y) = G₀[x, y] G₁[s₁, c₁] ⋯ G_d[s_d, c_d] (Garipov et al., 2016). The
    weights are random, normal with the variance that keeps a ReLU network's signals at their size.

    Attributes:
        cores: core 0 of shape (1, kh·kw, r₁), core k of shape (rₖ, sₖ, cₖ, rₖ₊₁), r_d₊₁ = 1.
        ranks: (1, r₁, …, r_d, 1).

    Args:
        in_shape: (c₁, …, c_d).
        out_shape: (s₁, …, s_d).
        kernel_size: (kh, kw), or one number for both.
        rank: one number, capped at what the train can use, or all of ``ranks``.
        stride, padding, dilation, bias, padding_mode: as in ``nn.Conv2d``.
        seed: of the weights.

    Raises:
        TypeError: an argument that is no number, a ``bias`` that is not True or False.
        ValueError: shapes that are empty, of different lengths or not of positive whole numbers;
            more than 64 factors; ranks below 1, or of another number; a stride, padding or dilation
            that is not whole or out of range; an unknown ``padding_mode``; in the forward pass,
            inputs that are not (N, C, H, W).
    """

    def __init__(
        self,
        in_shape,
        out_shape,
        kernel_size,
        rank,
        stride=1,
        padding=0,
        dilation=1,
        bias=True,
        padding_mode="zeros",
        *,
        seed=0,
    ):
        super().__init__()
        self.out_shape, self.in_shape = check_shapes(out_shape, in_shape)
        self.in_channels, self.out_channels = math.prod(self.in_shape), math.prod(self.out_shape)
        self.kernel_size, geometry = window(kernel_size, stride, padding, dilation)
        self.stride, self.padding, self.dilation = geometry.values()
        if padding_mode not in _PADDING_MODES:
            raise ValueError(f"padding_mode must be one of {_PADDING_MODES}, not {padding_mode!r}")
        self.padding_mode = padding_mode
        points = math.prod(self.kernel_size)
        self.ranks = check_ranks(rank, (points, *self.out_shape), (1, *self.in_shape))
        shapes = [(points,), *zip(self.out_shape, self.in_shape, strict=True)]
        # Var K = σ^(2(d+1)) r₁⋯r_d shall be 2 / (C·kh·kw) (He et al., 2015)
        variance = 2 / (self.in_channels * points * math.prod(self.ranks))
        scale = variance ** (0.5 / len(shapes))
        generator = torch.Generator().manual_seed(checks.seed(seed))
        self.cores = nn.ParameterList(
            draw((left, *shape, right), scale, generator)
            for left, shape, right in zip(self.ranks[:-1], shapes, self.ranks[1:], strict=True)
        )
        self.bias = None
        if checks.flag("bias", bias):
            self.bias = nn.Parameter(torch.zeros(self.out_channels))

    @classmethod
    def from_conv2d(cls, conv, in_shape, out_shape, rank=None, eps=0.0):
        """The layer with the weights of ``conv``, by TT-SVD of its kernel; the bias is kept.

        Args:
            conv: ``nn.Conv2d`` with ``groups=1``; it is not changed.
            in_shape: (c₁, …, c_d) with the product C.
            out_shape: (s₁, …, s_d) with the product S.
            rank: the largest rank, for all bonds; None for no limit.
            eps: the relative error of the kernel to stay within, in the Frobenius norm.

        Raises:
            TypeError: not an ``nn.Conv2d``.
            ValueError: shapes that do not multiply to the channels, a rank below 1, eps below 0, a
                convolution in groups, weights that are not finite.
        """
        kernel = kernel_of(conv)
        checks.finite(weight=kernel, bias=conv.bias)
        out_shape, in_shape = check_shapes(out_shape, in_shape)
        for shape, channels in ((in_shape, conv.in_channels), (out_shape, conv.out_channels)):
            if math.prod(shape) != channels:
                raise ValueError(f"the shape {shape} does not multiply to {channels} channels")
        points = math.prod(conv.kernel_size)
        matrix = kernel.permute(2, 3, 0, 1).reshape(-1, conv.in_channels)  # (kh·kw·S, C)
        train = tt_matrix(matrix, (points, *out_shape), (1, *in_shape), eps, rank)
        geometry = conv.stride, conv.padding, conv.dilation, conv.bias is not None
        layer = cls(
            in_shape, out_shape, conv.kernel_size, train.ranks, *geometry, conv.padding_mode
        )
        layer.to(kernel).train(conv.training)
        with torch.no_grad():
            for core, values in zip(layer.cores, balanced(train.cores), strict=True):
                core.copy_(values.reshape(core.shape))
                core.requires_grad_(conv.weight.requires_grad)
            if conv.bias is not None:
                layer.bias.copy_(conv.bias)
                layer.bias.requires_grad_(conv.bias.requires_grad)
        return layer

    @property
    def dense_weight(self):
        """The kernel (S, C, kh, kw), through which gradients flow."""
        rows = self.cores[0]
        for core in self.cores[1:]:
            r = len(core)
            rows = rows.reshape(-1, r) @ core.reshape(r, -1)  # (kh·kw·s₁c₁⋯, sₖcₖrₖ₊₁)
        d = len(self.in_shape)
        pairs = [n for pair in zip(self.out_shape, self.in_shape, strict=True) for n in pair]
        kernel = rows.reshape(*self.kernel_size, *pairs)  # (kh, kw, s₁, c₁, …, s_d, c_d)
        kernel = kernel.permute(*range(2, 2 + 2 * d, 2), *range(3, 3 + 2 * d, 2), 0, 1)
        return kernel.reshape(self.out_channels, self.in_channels, *self.kernel_size)

    @property
    def dense_bias(self):
        """The bias (S,), or None."""
        return self.bias

    def forward(self, x):
        """(N, C, H, W) -> (N, S, H', W'), by the route that takes fewer operations."""
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"expected (N, {self.in_channels}, H, W), not {tuple(x.shape)}")
        operations = self.operations((examples(x), *x.shape[1:]))
        route = min(operations, key=operations.get)
        return self.by_factors(x) if route == "factors" else self.by_kernel(x)

    def by_kernel(self, x):
        """The output by way of the kernel, which is rebuilt first."""
        return self._correlate(x, self.dense_weight, self.bias)

    def by_factors(self, x):
        """The output by one core after the other: first all pictures, then channel by channel.

        After core k the numbers are y(s₁, …, sₖ; αₖ₊₁, cₖ₊₁, …, c_d, n, x, y), so that no core
        needs them in another order.
        """
        n, c, r = x.shape[0], self.in_channels, self.ranks[1]
        spatial = self.cores[0].reshape(-1, r).T.reshape(r, 1, *self.kernel_size)
        y = self._correlate(x.transpose(0, 1).reshape(c * n, 1, *x.shape[2:]), spatial, None)
        height, width = y.shape[2:]
        y = y.reshape(c, n, r, height * width).permute(2, 0, 1, 3)  # (r₁, C, n, H'W')
        done, rest = 1, c * n * height * width  # s₁⋯sₖ₋₁ and cₖ⋯c_d·n·H'W'
        for core in self.cores[1:]:
            left, s, inputs, right = core.shape
            rest //= inputs
            matrix = core.permute(1, 3, 0, 2).reshape(s * right, left * inputs)
            y = matrix @ y.reshape(done, left * inputs, rest)  # (s₁⋯sₖ₋₁, sₖrₖ₊₁, rest)
            done *= s
        y = y.reshape(self.out_channels, n, height, width).transpose(0, 1)
        return y if self.bias is None else y + self.bias[:, None, None]

    def operations(self, shape):
        """The multiply-adds of both routes for an input (N, C, H, W).

        Returns:
            A dict of ``"factors"`` and ``"kernel"``; the second counts the rebuilding too.
        """
        left, right, top, bottom = self._around()
        padded = shape[2] + top + bottom, shape[3] + left + right
        outputs = shape[0] * math.prod(
            (size - d * (k - 1) - 1) // s + 1
            for size, d, k, s in zip(
                padded, self.dilation, self.kernel_size, self.stride, strict=True
            )
        )
        points = math.prod(self.kernel_size)
        done, rest = 1, self.in_channels
        factors, rebuilding = rest * points * self.ranks[1] * outputs, 0
        for core in self.cores[1:]:
            _, s, c, _ = core.shape
            rest //= c
            factors += done * core.numel() * rest * outputs
            rebuilding += points * done * (self.in_channels // (rest * c)) * core.numel()
            done *= s
        kernel = self.out_channels * self.in_channels * points * outputs
        return {"factors": factors, "kernel": kernel + rebuilding}

    def config(self):
        """The constructor's arguments; the weights are in the state."""
        names = ["in_shape", "out_shape", "kernel_size", "stride", "padding", "dilation"]
        values = {name: getattr(self, name) for name in [*names, "padding_mode"]}
        return values | {"rank": self.ranks, "bias": self.bias is not None}

    def extra_repr(self):
        """Shown by ``print``."""
        return ", ".join(f"{name}={value}" for name, value in self.config().items())

    def _around(self):
        """The padding of the picture: left, right, top, bottom."""
        if isinstance(self.padding, tuple):
            height, width = self.padding
            return width, width, height, height
        if self.padding == "valid":
            return 0, 0, 0, 0
        high, wide = (d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True))
        return wide // 2, wide - wide // 2, high // 2, high - high // 2  # "same", as in torch

    def _correlate(self, x, kernel, bias):
        padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = F.pad(x, self._around(), mode=self.padding_mode), 0
        return F.conv2d(x, kernel, bias, self.stride, padding, self.dilation)
