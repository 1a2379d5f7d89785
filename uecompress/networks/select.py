"""A choice among the entries of a vector, for layers that have lost inputs."""

import torch
from torch import nn

from uecompress import checks


class SelectFeatures(nn.Module):
    """The entries of a vector that the next layer looks at; which ones is the buffer ``keep``.

    Args:
        features: size of the input.
    """

    def __init__(self, features):
        super().__init__()
        self.features = checks.whole("features", features)
        self.register_buffer("keep", torch.ones(self.features, dtype=torch.bool))

    def forward(self, x):
        """(..., features) -> (..., kept)."""
        return x[..., self.keep]

    def config(self):
        """The constructor's arguments."""
        return {"features": self.features}

    def extra_repr(self):
        """The size of the input and how many are kept."""
        kept = "" if self.keep.is_meta else f", kept={int(self.keep.sum())}"
        return f"features={self.features}{kept}"
