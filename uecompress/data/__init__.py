"""The data of the course: ``load(name, split)`` for every set, ``results(name)`` of long runs.

``digits`` and ``glyphs`` come with the package; ``mnist``, ``notmnist`` and ``cifar10`` are looked
for on this machine and otherwise downloaded once, proven by their checksums.
"""

from uecompress.data.sets import folder, load, results

__all__ = ["folder", "load", "results"]
