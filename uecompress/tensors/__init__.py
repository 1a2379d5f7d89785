"""Matrices and tensors in compressed form. No neural networks here."""

from uecompress.tensors.svd import (
    randomized_svd,
    rank_for_error,
    truncated_svd,
    truncation_error,
)

__all__ = ["randomized_svd", "rank_for_error", "truncated_svd", "truncation_error"]
