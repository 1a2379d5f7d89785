"""Padding with a value of its own for every channel: zero padding as seen before a batch norm."""

import torch
import torch.nn.functional as F
from torch import nn

from uecompress import checks


class ChannelPad2d(nn.Module):
    """Pads the images of channel c with the number ``value[c]``.

    A convolution pads with zeros *after* the batch norm ``s x + t`` in front of it. Once the batch
    norm is folded into the convolution, the same border is had by padding x with ``-t / s``.

    Args:
        padding: one number of pixels, or (left, right, top, bottom) as in ``nn.ZeroPad2d``.
        channels: the number of channels C.

    The values are the buffer ``value`` of shape (C,), zero at first; they are set by copying into
    it, and are part of the state as a layer's weights are.

    Raises:
        TypeError: what is no number.
        ValueError: padding that is not one or four whole numbers of at least 0, ``channels`` below
            1; in the forward pass, if the input has another number of channels.
    """

    def __init__(self, padding: int | tuple[int, int, int, int], channels: int):
        super().__init__()
        sides = tuple(padding) if isinstance(padding, list | tuple) else (padding,) * 4
        if len(sides) != 4:
            raise ValueError(f"padding must be one number or four, not {padding!r}")
        self.padding = tuple(checks.whole("padding", side, 0) for side in sides)
        self.channels = checks.whole("channels", channels)
        self.register_buffer("value", torch.zeros(self.channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., C, H, W) -> (..., C, top + H + bottom, left + W + right)."""
        if x.shape[-3] != self.channels:
            raise ValueError(f"the input has {x.shape[-3]} channels, the padding {self.channels}")
        inside = F.pad(torch.ones_like(x[..., :1, :, :], dtype=torch.bool), self.padding)
        return torch.where(inside, F.pad(x, self.padding), self.value[:, None, None])

    def config(self) -> dict:
        """The constructor's arguments; the values are in the state."""
        return {"padding": self.padding, "channels": self.channels}

    def extra_repr(self) -> str:
        """Shown by ``print``."""
        return f"{self.padding}, channels={self.channels}"
