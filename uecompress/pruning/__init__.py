"""Pruning: scores of weights and units, zeros where they are low, training around them."""

from uecompress.networks.given import hessian
from uecompress.pruning import scores
from uecompress.pruning.choosing import top_units
from uecompress.pruning.conservation import Neurons, bias_saliency, neuron_saliency
from uecompress.pruning.controls import reinitialized, scratch_b, scratch_e, uniform_width
from uecompress.pruning.erk import erk_densities, random_erk
from uecompress.pruning.exemplars import exemplars
from uecompress.pruning.gradual import gradual
from uecompress.pruning.heads import head_scores, prune_heads, shrink_heads
from uecompress.pruning.masks import (
    densities,
    maximal_critical_compression,
    prune,
    with_zeros_of,
)
from uecompress.pruning.obs import obs, obs_scores, sparsegpt, sparsegpt_rows
from uecompress.pruning.proximal import l1
from uecompress.pruning.rigl import rigl
from uecompress.pruning.rounds import prune_in_rounds
from uecompress.pruning.saliency import layer_saliency, saliency
from uecompress.pruning.schedules import cubic, exponential, linear
from uecompress.pruning.slimming import gamma_scores, slimming_loss
from uecompress.pruning.structured import (
    UnitGroup,
    prune_units,
    silence_units,
    unit_groups,
    unit_scores,
)
from uecompress.pruning.tickets import lottery_tickets, one_shot
from uecompress.pruning.two_four import two_four
from uecompress.pruning.wanda import prune_rows, wanda

__all__ = [
    "Neurons",
    "UnitGroup",
    "bias_saliency",
    "cubic",
    "densities",
    "erk_densities",
    "exemplars",
    "exponential",
    "gamma_scores",
    "gradual",
    "head_scores",
    "hessian",
    "l1",
    "layer_saliency",
    "linear",
    "lottery_tickets",
    "maximal_critical_compression",
    "neuron_saliency",
    "obs",
    "obs_scores",
    "one_shot",
    "prune",
    "prune_heads",
    "prune_in_rounds",
    "prune_rows",
    "prune_units",
    "random_erk",
    "reinitialized",
    "rigl",
    "saliency",
    "scores",
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
    "with_zeros_of",
]
