"""Hashing: weights that share few numbers, by hash functions that no file has to hold."""

from uecompress.hashing.collisions import Collisions, collisions
from uecompress.hashing.hashed import hashed, hashed_ensemble
from uecompress.hashing.layers import HashedConv2d, HashedLinear
from uecompress.hashing.structured import StructuredConv2d, StructuredLinear, structured
from uecompress.hashing.subspace import SubspaceConv2d, SubspaceLinear, random_subspace
from uecompress.hashing.xxh64 import xxh64

__all__ = [
    "Collisions",
    "HashedConv2d",
    "HashedLinear",
    "StructuredConv2d",
    "StructuredLinear",
    "SubspaceConv2d",
    "SubspaceLinear",
    "collisions",
    "hashed",
    "hashed_ensemble",
    "random_subspace",
    "structured",
    "xxh64",
]
