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
from uecompress.bayes.clusters import cluster_weights, maximum_compression
from uecompress.bayes.description_length import DescriptionLength, description_length
from uecompress.bayes.elbo import elbo_loss, kl
from uecompress.bayes.evidence import linear_posterior, log_evidence, maximize_evidence
from uecompress.bayes.gaussian import diagonal_gaussian_kl, draw, gaussian_kl
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
from uecompress.bayes.masks import SelectFeatures, group_scores, prune_groups, shrink
from uecompress.bayes.mean_field import MeanFieldConv2d, MeanFieldLinear
from uecompress.bayes.prune import hold_zeros, nonzero_weights, prune
from uecompress.bayes.quantize import quantize
from uecompress.bayes.quantizing_prior import multi_spike_kl
from uecompress.bayes.sparse_vd import SparseVDConv2d, SparseVDLinear
from uecompress.bayes.standard_normal import standard_normal_kl
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
    "SelectFeatures",
    "SparseVDConv2d",
    "SparseVDLinear",
    "VNQConv2d",
    "VNQLinear",
    "bit_precision",
    "clip_sigma",
    "clip_vnq",
    "cluster_weights",
    "counted_rates",
    "description_length",
    "deterministic_layers",
    "diagonal_gaussian_kl",
    "draw",
    "elbo_loss",
    "exact_log_uniform_kl",
    "fast_prediction",
    "fixed_point",
    "gaussian_dropout_kl",
    "gaussian_kl",
    "graves_prior",
    "graves_prune",
    "group_scores",
    "hold_zeros",
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
    "maximum_compression",
    "multi_spike_kl",
    "nonzero_weights",
    "prune",
    "prune_groups",
    "quantize",
    "round_to_precision",
    "shrink",
    "standard_normal_kl",
    "variational",
]
