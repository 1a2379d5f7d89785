"""Low-rank factorizations of the layers of a network."""

from uecompress.lowrank.compress import LayerPlan, compress, plan
from uecompress.lowrank.svd import break_even_rank, svd_linear

__all__ = ["LayerPlan", "break_even_rank", "compress", "plan", "svd_linear"]
