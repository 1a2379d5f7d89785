"""Pruning: scores of weights, zeros where they are low, and training before, between and after."""

from uecompress.pruning import scores
from uecompress.pruning.conservation import Neurons, bias_saliency, neuron_saliency
from uecompress.pruning.erk import erk_densities, random_erk
from uecompress.pruning.gradual import gradual
from uecompress.pruning.masks import (
    densities,
    maximal_critical_compression,
    prune,
    with_zeros_of,
)
from uecompress.pruning.proximal import l1
from uecompress.pruning.rigl import rigl
from uecompress.pruning.rounds import prune_in_rounds
from uecompress.pruning.saliency import layer_saliency, saliency
from uecompress.pruning.schedules import cubic, exponential, linear
from uecompress.pruning.tickets import lottery_tickets, one_shot

__all__ = [
    "Neurons",
    "bias_saliency",
    "cubic",
    "densities",
    "erk_densities",
    "exponential",
    "gradual",
    "l1",
    "layer_saliency",
    "linear",
    "lottery_tickets",
    "maximal_critical_compression",
    "neuron_saliency",
    "one_shot",
    "prune",
    "prune_in_rounds",
    "random_erk",
    "rigl",
    "saliency",
    "scores",
    "with_zeros_of",
]
