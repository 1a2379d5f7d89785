"""A choice among the entries of a vector, for layers that have lost inputs."""

import torch
from torch import nn


class SelectFeatures(nn.Module):
    """The entries of a vector that the next layer looks at; which ones is the buffer ``keep``.

    Args:
        features: size of the input.
    """

    def __init__(self, features):
        super().__init__()
        self.features = features
        self.register_buffer("keep", torch.ones(features, dtype=torch.bool))

    def forward(self, x):
        """(..., features) -> (..., kept)."""
        return x[..., self.keep]

    def config(self):
        """The constructor's arguments."""
        return {"features": self.features}
