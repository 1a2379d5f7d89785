"""Pruning: which weights, units and heads can go, and the network without them."""

from uecompress.pruning.choosing import top_units
from uecompress.pruning.controls import reinitialized, scratch_b, scratch_e, uniform_width
from uecompress.pruning.exemplars import exemplars
from uecompress.pruning.heads import head_scores, prune_heads, shrink_heads
from uecompress.pruning.obs import hessian, obs, obs_scores, sparsegpt, sparsegpt_rows
from uecompress.pruning.slimming import gamma_scores, slimming_loss
from uecompress.pruning.structured import (
    UnitGroup,
    prune_units,
    silence_units,
    unit_groups,
    unit_scores,
)
from uecompress.pruning.two_four import two_four
from uecompress.pruning.wanda import prune_rows, wanda

__all__ = [
    "UnitGroup",
    "exemplars",
    "gamma_scores",
    "head_scores",
    "hessian",
    "obs",
    "obs_scores",
    "prune_heads",
    "prune_rows",
    "prune_units",
    "reinitialized",
    "scratch_b",
    "scratch_e",
    "shrink_heads",
    "silence_units",
    "slimming_loss",
    "sparsegpt",
    "sparsegpt_rows",
    "top_units",
    "two_four",
    "uniform_width",
    "unit_groups",
    "unit_scores",
    "wanda",
]
