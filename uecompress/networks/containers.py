"""The two containers that, beside ``nn.Sequential``, the trees of the course are made of."""

from collections.abc import Sequence

import torch
from torch import nn


class Residual(nn.Module):
    """The sum of a branch and a shortcut, ``y = branch(x) + shortcut(x)``.

    The ReLU that usually follows the sum is a module of its own, after this one in the tree.

    Args:
        branch: any module, usually an ``nn.Sequential``.
        shortcut: the other summand; the identity if not given.

    Raises:
        ValueError: in the forward pass, if the two summands differ in shape (the sum would
            broadcast).
    """

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None):
        super().__init__()
        self.branch = branch
        self.shortcut = nn.Identity() if shortcut is None else shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``branch(x) + shortcut(x)``."""
        y, skipped = self.branch(x), self.shortcut(x)
        if y.shape != skipped.shape:
            raise ValueError(
                f"the branch gives shape {tuple(y.shape)}, the shortcut {tuple(skipped.shape)}"
            )
        return y + skipped

    def config(self) -> dict:
        """The constructor's arguments."""
        return {"branch": self.branch, "shortcut": self.shortcut}


class Ensemble(nn.Module):
    """M ordinary networks asked side by side: a list of members, logits of shape (M, N, C).

    The input is one batch for all members, (N, ...), or one batch of images per member. The rule
    is the number of dimensions and nothing else: an input of five dimensions is
    (M, N, channels, height, width), member m sees ``x[m]``; any other input goes to every member
    as it is.

    Args:
        members: the networks, each from (N, ...) to logits (N, C).

    Raises:
        ValueError: if there are no members; in the forward pass, if five-dimensional input does
            not bring one batch per member, or if a member does not return (N, C).
    """

    def __init__(self, members: Sequence[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)
        if not len(self.members):
            raise ValueError("an ensemble needs at least one member, got none")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The members' logits, (M, N, C), for ``x`` of shape (N, ...) or (M, N, ch, h, w)."""
        count = len(self.members)
        if x.dim() == 5 and x.shape[0] != count:
            raise ValueError(
                f"five dimensions mean one batch per member, but the first is {x.shape[0]} "
                f"for {count} members"
            )
        batches = x if x.dim() == 5 else [x] * count
        logits = [member(batch) for member, batch in zip(self.members, batches, strict=True)]
        for m, each in enumerate(logits):
            if each.dim() != 2:
                raise ValueError(
                    f"members.{m} returns shape {tuple(each.shape)} where (N, C) is expected"
                )
            if each.shape != logits[0].shape:
                raise ValueError(
                    f"members.{m} returns shape {tuple(each.shape)}, members.0 "
                    f"{tuple(logits[0].shape)}"
                )
        return torch.stack(logits)

    def config(self) -> dict:
        """The constructor's arguments."""
        return {"members": list(self.members)}
