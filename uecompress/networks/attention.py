"""What a transformer has beside ordinary layers: attention, positions, and a mean over tokens.

A token is one row of a sequence (N, T, D): of an image, the features of one patch.
"""

import torch
from torch import nn

from uecompress import checks


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al., 2017, Section 3.2) made of four plain layers.

    Each head h has its share of the queries, keys and values that three layers compute, and mixes
    the values of all tokens,

        softmax(q_h k_hᵀ / √d) v_h,

    with d features in a query. What the heads give, side by side, goes through the fourth layer.
    The four are children like any other, so a method that acts on ``nn.Linear`` acts on them; a
    torch.nn.MultiheadAttention reads the weights of its layers itself, and allows none but its own.

    Args:
        q: queries, (N, T, D) to (N, T, heads · d).
        k: keys, to as many features as the queries have.
        v: values, (N, T, D) to (N, T, heads · e).
        projection: of the heads, (N, T, heads · e) to (N, T, D).
        heads: their number, which divides the features of queries, keys and values.

    Raises:
        TypeError: ``heads`` is no number.
        ValueError: it is no whole number of at least 1.
        RuntimeError: in the forward pass, features that the heads cannot share.
    """

    def __init__(self, q: nn.Module, k: nn.Module, v: nn.Module, projection: nn.Module, heads: int):
        super().__init__()
        self.q, self.k, self.v, self.projection = q, k, v, projection
        self.heads = checks.whole("heads", heads)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, T, D) to (N, T, D): every token looks at every token."""
        # (N, T, heads · d) -> (N, T, heads, d) -> (N, heads, T, d)
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(-3, -2)
            for layer in (self.q, self.k, self.v)
        )
        # Two products, and not torch's fused one, which counters of multiply-adds do not see.
        looks = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)  # (N, heads, T, T), rows sum to 1
        mixed = (looks @ v).transpose(-3, -2)  # (N, heads, T, e) -> (N, T, heads, e)
        return self.projection(mixed.flatten(-2))

    def config(self) -> dict:
        """The constructor's arguments."""
        layers = {"q": self.q, "k": self.k, "v": self.v, "projection": self.projection}
        return layers | {"heads": self.heads}

    def extra_repr(self) -> str:
        """The number of heads, for ``print``."""
        return f"heads={self.heads}"


class PositionEmbedding(nn.Module):
    """An image of features as a sequence of tokens, to each of which its place adds a vector.

    To attention a sequence is a set: without these vectors a picture and the same patches in
    another order would be one to it. They start normal with standard deviation 0.3, which is about
    the size of the features that a fresh convolution makes of an image in [0, 1]: with the 0.02
    that is usual for large data, a thousand images are not enough to tell places apart.

    Args:
        tokens: H · W, the number of places.
        width: D, the number of features.

    Raises:
        TypeError: a size that is no number.
        ValueError: a size that is no whole number of at least 1; in the forward pass, an image of
            another size.
    """

    def __init__(self, tokens: int, width: int):
        super().__init__()
        self.tokens, self.width = checks.whole("tokens", tokens), checks.whole("width", width)
        self.weight = nn.Parameter(torch.empty(self.tokens, self.width))
        self.reset_parameters()

    def reset_parameters(self):
        """Draw the vectors."""
        nn.init.normal_(self.weight, std=0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, D, H, W) to (N, H · W, D), row by row."""
        sequence = x.flatten(-2).mT  # (N, D, H, W) -> (N, D, H · W) -> (N, H · W, D)
        if sequence.shape[-2:] != self.weight.shape:
            raise ValueError(
                f"{self.tokens} tokens of {self.width} features are expected, but the image has "
                f"{sequence.shape[-2]} of {sequence.shape[-1]}"
            )
        return sequence + self.weight

    def config(self) -> dict:
        """The constructor's arguments."""
        return {"tokens": self.tokens, "width": self.width}

    def extra_repr(self) -> str:
        """The sizes, for ``print``."""
        return f"tokens={self.tokens}, width={self.width}"


class TokenMean(nn.Module):
    """The mean over the tokens, (N, T, D) to (N, D)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The mean of ``x`` along the axis of tokens, the last but one."""
        return x.mean(-2)

    def config(self) -> dict:
        """The constructor's arguments: none."""
        return {}
