"""Low-rank factorizations of the layers of a network."""

from uecompress.lowrank.compress import LayerPlan, compress, plan
from uecompress.lowrank.conv_chain import chain_kernel
from uecompress.lowrank.cp_conv import component_growth, cp_conv2d
from uecompress.lowrank.given import godec, low_rank_plus_sparse, whitened, whitened_svd
from uecompress.lowrank.naive_tt_conv import naive_tt_conv2d
from uecompress.lowrank.scratch import new_low_rank
from uecompress.lowrank.svd import break_even_rank, svd_linear
from uecompress.lowrank.svd_conv import svd_conv2d
from uecompress.lowrank.tt_conv import TTConv2d
from uecompress.lowrank.tt_linear import TTLinear, factor_shape
from uecompress.lowrank.tucker_conv import tucker_conv2d

__all__ = [
    "LayerPlan",
    "TTConv2d",
    "TTLinear",
    "break_even_rank",
    "chain_kernel",
    "component_growth",
    "compress",
    "cp_conv2d",
    "factor_shape",
    "godec",
    "low_rank_plus_sparse",
    "naive_tt_conv2d",
    "new_low_rank",
    "plan",
    "svd_conv2d",
    "svd_linear",
    "tucker_conv2d",
    "whitened",
    "whitened_svd",
]
