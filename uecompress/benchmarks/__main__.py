"""The command line: all benchmarks, or those that it names."""

import argparse

import torch

import uecompress.benchmarks
from uecompress.benchmarks import (
    algebra,
    comparing,
    files,
    hashing,
    learning,
    pruning,
    quantization,
    zeros,
)

BENCHMARKS = {
    function.__name__: function
    for function in (
        algebra.svd, algebra.tt_svd, algebra.rounding, algebra.dot, algebra.inference,
        learning.fit, learning.ece, learning.ensemble, algebra.tt_linear,
        files.storage, files.lengths, pruning.saliency, pruning.synflow,
        zeros.sparse, zeros.units, hashing.hashing, quantization.kmeans, quantization.int8,
    )
}  # fmt: skip


def main(arguments=None):
    """Run the benchmarks that the command line names, all of them without a name."""
    parser = argparse.ArgumentParser(
        prog="python -m uecompress.benchmarks", description=uecompress.benchmarks.__doc__
    )
    known = ", ".join(BENCHMARKS)
    parser.add_argument(
        "names", nargs="*", choices=[*BENCHMARKS, []], metavar="NAME", help=f"one of {known}"
    )
    parser.add_argument("--threads", type=int, default=1, help="of torch; one if not given")
    given = parser.parse_args(arguments)
    before = torch.get_num_threads()
    torch.set_num_threads(given.threads)
    print(f"threads: {given.threads}\n{'ours / the alternative':65} ours    alternative")
    try:
        for name in given.names or BENCHMARKS:
            comparing.run(BENCHMARKS[name]())
    finally:
        torch.set_num_threads(before)


if __name__ == "__main__":
    main()
