"""The containers that, beside ``nn.Sequential``, the trees of the course are made of."""

from collections.abc import Sequence

import torch
from torch import nn

from uecompress import checks
from uecompress.networks.inputs import for_members


class Residual(nn.Module):
    """The sum of a branch and a shortcut, ``y = branch(x) + shortcut(x)``.

    The ReLU that usually follows the sum is a module of its own, after this one in the tree.

    Args:
        branch: any module, usually an ``nn.Sequential``.
        shortcut: the other summand; the identity if not given.

    Raises:
        TypeError: one of them is no module.
        ValueError: in the forward pass, if the two summands differ in shape (the sum would
            broadcast).
    """

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None):
        super().__init__()
        self.branch = _module("branch", branch)
        self.shortcut = nn.Identity() if shortcut is None else _module("shortcut", shortcut)

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
    """M networks asked side by side: a list of members, logits of shape (M, N, C).

    The input is one batch for all members, (N, ...), or one batch of images per member,
    (M, N, channels, height, width): :func:`~uecompress.networks.example_axis` has the rule.

    A member may be an ensemble itself. Its members then take its place, one after another, so that
    M₁ ensembles of M₂ networks give M₁·M₂ rows, the outer one slowest. One batch per member means
    one for each of the M₁, which an inner ensemble hands to all of its members.

    Args:
        members: the networks, each from (N, ...) to logits (N, C), or (M₂, N, C) if it is an
            ensemble.

    Raises:
        TypeError: a member that is no module.
        ValueError: if there are no members; in the forward pass, if five-dimensional input does
            not bring one batch per member, or if a member returns no logits like the others.
    """

    def __init__(self, members: Sequence[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(
            _module(f"members.{m}", each) for m, each in enumerate(members)
        )
        if not len(self.members):
            raise ValueError("an ensemble needs at least one member, got none")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The members' logits, (M, N, C), for ``x`` of shape (N, ...) or (M, N, ch, h, w)."""
        batches = for_members(x, len(self.members))
        logits = [member(batch) for member, batch in zip(self.members, batches, strict=True)]
        for m, each in enumerate(logits):
            if each.dim() not in (2, 3) or each.shape[-2] != batches.shape[1]:
                raise ValueError(
                    f"members.{m} returns shape {tuple(each.shape)} where (N, C) is expected"
                )
            if each.shape[-2:] != logits[0].shape[-2:]:
                raise ValueError(
                    f"members.{m} returns shape {tuple(each.shape)}, members.0 "
                    f"{tuple(logits[0].shape)}"
                )
        return torch.cat([each if each.dim() == 3 else each[None] for each in logits])

    def config(self) -> dict:
        """The constructor's arguments."""
        return {"members": list(self.members)}


class SharedEnsemble(nn.Module):
    """M members that share layers: one network in which they lie in the batch, (M·N, ...).

    Row m·N + n is example n of member m. Ordinary layers, which treat every row alike, are shared
    by all members as they are; a layer with something of its own for each member unflattens the
    first axis into (M, N). This is the one place that folds members into the batch and unfolds it.

    Args:
        network: from (M·N, ...) to logits (M·N, C), or (M₂, M·N, C) if it ends in an ensemble.
        num_estimators: the number of members M.

    Raises:
        TypeError: ``network`` is no module, ``num_estimators`` no number.
        ValueError: ``num_estimators`` below 1; in the forward pass, five-dimensional input without
            one batch per member, or a network that does not return a row for each of its own.
    """

    def __init__(self, network: nn.Module, num_estimators: int):
        super().__init__()
        self.network = _module("network", network)
        self.num_estimators = checks.whole("num_estimators", num_estimators)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The members' logits, (M, N, C), for ``x`` of shape (N, ...) or (M, N, ch, h, w)."""
        batches = for_members(x, self.num_estimators)  # (M, N, ...)
        count, n = batches.shape[:2]
        logits = self.network(batches.flatten(0, 1))  # (M, N, ...) -> (M·N, ...)
        if logits.dim() not in (2, 3) or logits.shape[-2] != count * n:
            raise ValueError(
                f"the shared network returns shape {tuple(logits.shape)} for {count} × {n} rows"
            )
        members = logits.unflatten(-2, (count, n))  # (..., M·N, C) -> (..., M, N, C)
        return members.movedim(-3, 0).flatten(0, -3)  # -> (M, ..., N, C) -> (M·M₂, N, C)

    def config(self) -> dict:
        """The constructor's arguments."""
        return {"network": self.network, "num_estimators": self.num_estimators}

    def extra_repr(self) -> str:
        """The number of members."""
        return f"num_estimators={self.num_estimators}"


def _module(name: str, value: nn.Module) -> nn.Module:
    if not isinstance(value, nn.Module):
        raise TypeError(f"{name} must be a module, not {value!r}")
    return value
