"""Bayesian compression: evidence, the ELBO, variational layers, and what they let one remove."""

from uecompress.bayes.bits import (
    BitPrecision,
    bit_precision,
    counted_rates,
    fast_prediction,
    fixed_point,
    mantissa_bits,
    round_to_precision,
)
from uecompress.bayes.clip_sigma import clip_sigma
from uecompress.bayes.description_length import DescriptionLength, description_length
from uecompress.bayes.elbo import elbo_loss, kl
from uecompress.bayes.evidence import linear_posterior, log_evidence, maximize_evidence
from uecompress.bayes.gaussian import draw
from uecompress.bayes.graves import graves_prior, graves_prune, log_alpha_of
from uecompress.bayes.group_jeffreys import GroupJeffreysConv2d, GroupJeffreysLinear
from uecompress.bayes.horseshoe import (
    HorseshoeConv2d,
    HorseshoeLinear,
    log_normal_gamma_kl,
    log_normal_inverse_gamma_kl,
)
from uecompress.bayes.laplace import laplace
from uecompress.bayes.log_uniform import (
    exact_log_uniform_kl,
    gaussian_dropout_kl,
    log_uniform_kl,
)
from uecompress.bayes.mean_field import MeanFieldConv2d, MeanFieldLinear
from uecompress.bayes.prune import group_scores, prune, prune_groups
from uecompress.bayes.quantize import quantize
from uecompress.bayes.quantizing_prior import multi_spike_kl
from uecompress.bayes.sparse_vd import SparseVDConv2d, SparseVDLinear
from uecompress.bayes.variational import deterministic_layers, variational
from uecompress.bayes.vnq import VNQConv2d, VNQLinear, clip_vnq

__all__ = [
    "BitPrecision",
    "DescriptionLength",
    "GroupJeffreysConv2d",
    "GroupJeffreysLinear",
    "HorseshoeConv2d",
    "HorseshoeLinear",
    "MeanFieldConv2d",
    "MeanFieldLinear",
    "SparseVDConv2d",
    "SparseVDLinear",
    "VNQConv2d",
    "VNQLinear",
    "bit_precision",
    "clip_sigma",
    "clip_vnq",
    "counted_rates",
    "description_length",
    "deterministic_layers",
    "draw",
    "elbo_loss",
    "exact_log_uniform_kl",
    "fast_prediction",
    "fixed_point",
    "gaussian_dropout_kl",
    "graves_prior",
    "graves_prune",
    "group_scores",
    "kl",
    "laplace",
    "linear_posterior",
    "log_alpha_of",
    "log_evidence",
    "log_normal_gamma_kl",
    "log_normal_inverse_gamma_kl",
    "log_uniform_kl",
    "mantissa_bits",
    "maximize_evidence",
    "multi_spike_kl",
    "prune",
    "prune_groups",
    "quantize",
    "round_to_precision",
    "variational",
]
