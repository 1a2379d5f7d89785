"""Matrices and tensors in compressed form. No neural networks here."""

from uecompress.tensors.amen_cross import amen_cross
from uecompress.tensors.analytic import (
    exponential_sum,
    tt_laplacian,
    tt_reciprocal_of_sum,
    tt_sin_of_sum,
    tt_sum,
)
from uecompress.tensors.cp import cp, cp_full
from uecompress.tensors.dmrg_cross import dmrg_cross
from uecompress.tensors.maxvol import maxvol
from uecompress.tensors.svd import (
    randomized_svd,
    rank_for_error,
    truncated_svd,
    truncation_error,
)
from uecompress.tensors.tensor_train import TensorTrain
from uecompress.tensors.tt_cross import tt_cross
from uecompress.tensors.tt_matrix import TTMatrix, tt_matrix
from uecompress.tensors.tt_svd import tt_svd
from uecompress.tensors.tucker import hosvd, mode_product, tucker, tucker_full
from uecompress.tensors.unfolding import fold, fold_mode, unfold, unfold_mode

__all__ = [
    "TTMatrix",
    "TensorTrain",
    "amen_cross",
    "cp",
    "cp_full",
    "dmrg_cross",
    "exponential_sum",
    "fold",
    "fold_mode",
    "hosvd",
    "maxvol",
    "mode_product",
    "randomized_svd",
    "rank_for_error",
    "truncated_svd",
    "truncation_error",
    "tt_cross",
    "tt_laplacian",
    "tt_matrix",
    "tt_reciprocal_of_sum",
    "tt_sin_of_sum",
    "tt_sum",
    "tt_svd",
    "tucker",
    "tucker_full",
    "unfold",
    "unfold_mode",
]
