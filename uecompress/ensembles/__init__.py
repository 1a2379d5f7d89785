"""Many answers from many networks, or from one that drops units at random."""

from uecompress.ensembles.deep import fit_ensemble, fused_adam
from uecompress.ensembles.mc_dropout import MCDropout, mc_dropout
from uecompress.ensembles.stacked import Stacked, stackable

__all__ = ["MCDropout", "Stacked", "fit_ensemble", "fused_adam", "mc_dropout", "stackable"]
