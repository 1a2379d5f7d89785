"""What the tests of batch-norm fusion share."""

import contextlib
import copy

import pytest
import torch
from torch import nn

from uecompress import networks

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)


def norms(model):
    return [name for name, module in model.named_modules() if isinstance(module, NORMS)]


def relative_difference(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


def assert_fused_exactly(model, x, left=(), reason=""):
    """Fused, it computes the same, and ``left`` are the norms that stay, for this reason."""
    before = copy.deepcopy(model.state_dict())
    if len(left) == len(norms(model)) > 0:
        with pytest.raises(ValueError, match=f"no batch norm can be folded: .*{reason}"):
            networks.fuse_batch_norm(model)
        fused = None
    else:
        warns = pytest.warns(UserWarning, match=f"left as they are: .*{reason}")
        with warns if left else contextlib.nullcontext():
            fused = networks.fuse_batch_norm(model)
        assert relative_difference(fused(x), model(x)) <= 1e-12
        assert norms(fused) == list(left)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    return fused
