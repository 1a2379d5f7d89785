"""Quantization: fewer bits for each weight and each activation, and where they do most harm."""

from uecompress.quantization.activations import (
    DynamicFakeQuantize,
    FakeQuantize,
    clipped_share,
    round_activations,
)
from uecompress.quantization.affine import (
    code_range,
    fake_quantize,
    from_codes,
    round_half_up,
    scale_and_zero_point,
    scale_of,
    to_codes,
)
from uecompress.quantization.bitnet import TernaryConv2d, TernaryLinear, bitnet
from uecompress.quantization.gptq import gptq, gptq_rows
from uecompress.quantization.int8 import Int8Linear, int8
from uecompress.quantization.kl import histogram, kl_bins, kl_threshold
from uecompress.quantization.kmeans import codebooks, kmeans_1d
from uecompress.quantization.layer import QuantizedConv2d, QuantizedLinear
from uecompress.quantization.lsq import (
    LearnedFakeQuantize,
    LSQConv2d,
    LSQLinear,
    learned_rounding,
    lsq,
)
from uecompress.quantization.mixed import choose_bits, mixed_precision, sensitivity
from uecompress.quantization.quantize import quantize, round_floats
from uecompress.quantization.ranges import max_threshold, mse_threshold, percentile_threshold
from uecompress.quantization.rate import (
    RateConv2d,
    RateLinear,
    code_length,
    rate_distortion,
    rate_loss,
)
from uecompress.quantization.smooth import smooth
from uecompress.quantization.splitting import (
    DuplicateChannels,
    quantize_split,
    split_channels,
    split_weight,
)
from uecompress.quantization.trained import finish, round_through
from uecompress.quantization.variances import quantize_variances
from uecompress.quantization.weights import NF4, code_weight

__all__ = [
    "NF4",
    "DuplicateChannels",
    "DynamicFakeQuantize",
    "FakeQuantize",
    "Int8Linear",
    "LSQConv2d",
    "LSQLinear",
    "LearnedFakeQuantize",
    "QuantizedConv2d",
    "QuantizedLinear",
    "RateConv2d",
    "RateLinear",
    "TernaryConv2d",
    "TernaryLinear",
    "bitnet",
    "choose_bits",
    "clipped_share",
    "code_length",
    "code_range",
    "code_weight",
    "codebooks",
    "fake_quantize",
    "finish",
    "from_codes",
    "gptq",
    "gptq_rows",
    "histogram",
    "int8",
    "kl_bins",
    "kl_threshold",
    "kmeans_1d",
    "learned_rounding",
    "lsq",
    "max_threshold",
    "mixed_precision",
    "mse_threshold",
    "percentile_threshold",
    "quantize",
    "quantize_split",
    "quantize_variances",
    "rate_distortion",
    "rate_loss",
    "round_activations",
    "round_floats",
    "round_half_up",
    "round_through",
    "scale_and_zero_point",
    "scale_of",
    "sensitivity",
    "smooth",
    "split_channels",
    "split_weight",
    "to_codes",
]
