"""The transformer of the course: an image cut into patches that look at one another."""

from collections import OrderedDict

from torch import nn

from uecompress import checks
from uecompress.networks.attention import Attention, PositionEmbedding, TokenMean
from uecompress.networks.containers import Residual
from uecompress.randomness import seeded


def vit_tiny(
    in_channels: int = 1,
    num_classes: int = 10,
    width: int = 64,
    depth: int = 2,
    heads: int = 4,
    dropout: float = 0.1,
    *,
    image_size: int = 28,
    patch_size: int = 7,
    seed: int = 0,
) -> nn.Sequential:
    """A small vision transformer (Dosovitskiy et al., 2021): 71,946 parameters.

    A convolution that does not overlap turns 28x28 pixels into 16 patches of ``width`` features.
    ``depth`` times the patches look at one another and each goes through two layers of its own;
    both are residual branches that begin with a layer norm. The logits are a linear function of
    the patches' mean; there is no class token. Torch's default initialisation, and the positions
    of :class:`PositionEmbedding`, are drawn from ``seed``.

    Args:
        in_channels: channels of the input (N, in_channels, image_size, image_size).
        num_classes: number of classes.
        width: features of a patch; twice as many in the middle of the two layers.
        depth: number of pairs of residual blocks.
        heads: of each attention; they divide the width.
        dropout: probability of dropping what a branch adds, or a unit in the middle of it.
        image_size: height and width of an image.
        patch_size: height and width of a patch; it divides ``image_size``.
        seed: seed of the initialisation.

    Raises:
        TypeError: what is no number.
        ValueError: sizes that are no whole numbers of at least 1, or that do not divide one
            another; a dropout outside [0, 1].
    """
    sizes = {"in_channels": in_channels, "num_classes": num_classes, "width": width}
    sizes |= {"depth": depth, "heads": heads, "image_size": image_size, "patch_size": patch_size}
    in_channels, num_classes, width, depth, heads, image_size, patch_size = (
        checks.whole(name, size) for name, size in sizes.items()
    )
    dropout = checks.within("dropout", dropout, 0, 1)
    if image_size % patch_size:
        raise ValueError(f"patches of {patch_size} pixels do not fill an image of {image_size}")
    if width % heads:
        raise ValueError(f"{heads} heads cannot share {width} features")
    with seeded(seed):
        layers = OrderedDict(
            patches=nn.Conv2d(in_channels, width, kernel_size=patch_size, stride=patch_size),
            positions=PositionEmbedding((image_size // patch_size) ** 2, width),
        )
        for k in range(1, depth + 1):
            layers[f"attention{k}"] = _attention_block(width, heads, dropout)
            layers[f"mlp{k}"] = _mlp_block(width, dropout)
        layers["norm"] = nn.LayerNorm(width)
        layers["pool"] = TokenMean()
        layers["linear"] = nn.Linear(width, num_classes)
    return nn.Sequential(layers)


def _attention_block(width: int, heads: int, dropout: float) -> Residual:
    """norm-attention-dropout beside the identity."""
    branch = OrderedDict(
        norm=nn.LayerNorm(width),
        attention=Attention(*(nn.Linear(width, width) for _ in range(4)), heads=heads),
        dropout=nn.Dropout(dropout),
    )
    return Residual(nn.Sequential(branch))


def _mlp_block(width: int, dropout: float) -> Residual:
    """norm-linear-GELU-dropout-linear, of every token by itself, beside the identity."""
    branch = OrderedDict(
        norm=nn.LayerNorm(width),
        linear1=nn.Linear(width, 2 * width),
        gelu=nn.GELU(),
        dropout=nn.Dropout(dropout),
        linear2=nn.Linear(2 * width, width),
    )
    return Residual(nn.Sequential(branch))
