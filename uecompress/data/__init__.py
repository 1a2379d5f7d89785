"""The data of the course: ``load(name, split)`` for every set, ``results(name)`` of long runs.

``digits`` and ``glyphs`` come with the package; ``mnist``, ``notmnist``, ``omniglot`` and
``cifar10`` are looked for on this machine and otherwise downloaded once, proven by their checksums.
"""

from uecompress.data.corruptions import CORRUPTIONS, corrupt
from uecompress.data.sets import folder, load, results
from uecompress.data.shifts import noise, roll, rotate

__all__ = ["CORRUPTIONS", "corrupt", "folder", "load", "noise", "results", "roll", "rotate"]
