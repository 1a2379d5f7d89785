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
from uecompress.quantization.gptq import gptq, gptq_rows
from uecompress.quantization.kl import histogram, kl_bins, kl_threshold
from uecompress.quantization.kmeans import codebooks, kmeans_1d
from uecompress.quantization.layer import QuantizedConv2d, QuantizedLinear
from uecompress.quantization.quantize import quantize, round_floats
from uecompress.quantization.ranges import max_threshold, mse_threshold, percentile_threshold
from uecompress.quantization.smooth import smooth
from uecompress.quantization.splitting import (
    DuplicateChannels,
    quantize_split,
    split_channels,
    split_weight,
)
from uecompress.quantization.weights import NF4, code_weight

__all__ = [
    "NF4",
    "DuplicateChannels",
    "DynamicFakeQuantize",
    "FakeQuantize",
    "QuantizedConv2d",
    "QuantizedLinear",
    "clipped_share",
    "code_range",
    "code_weight",
    "codebooks",
    "fake_quantize",
    "from_codes",
    "gptq",
    "gptq_rows",
    "histogram",
    "kl_bins",
    "kl_threshold",
    "kmeans_1d",
    "max_threshold",
    "mse_threshold",
    "percentile_threshold",
    "quantize",
    "quantize_split",
    "round_activations",
    "round_floats",
    "round_half_up",
    "scale_and_zero_point",
    "scale_of",
    "smooth",
    "split_channels",
    "split_weight",
    "to_codes",
]
