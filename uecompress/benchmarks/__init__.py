"""Side by side with what one would use otherwise: ``python -m uecompress.benchmarks``.

Every line is a ratio of two medians of times, measured in turn on this machine, or of two lengths;
above 1 ours is faster, or shorter. Nothing here asserts anything, and no test depends on a time.

A benchmark is a generator of triples: a name "ours / the alternative", and the two functions
without arguments, or the two lengths in bytes. It is sent the ratio that was measured.
"""

from uecompress.benchmarks.comparing import compare, compare_lengths, run

__all__ = ["compare", "compare_lengths", "run"]
