"""Speed, side by side with what one would use otherwise: ``python -m uecompress.benchmarks``.

Every line is a ratio of two medians measured in turn on this machine; above 1 ours is faster.
Nothing here asserts anything, and no test depends on a time.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from sklearn.utils.extmath import randomized_svd as sklearn_randomized_svd
from torch.utils.data import DataLoader, TensorDataset

from uecompress import lowrank, networks, tensors, training


def compare(name, ours, theirs, *, repeats=15):
    """Time two functions in turn and print the ratio of their medians, theirs over ours."""
    ours(), theirs()  # warm up
    times = {ours: [], theirs: []}
    for _ in range(repeats):
        for function, seconds in times.items():
            start = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - start)
    a, b = (1000 * statistics.median(seconds) for seconds in times.values())
    print(f"{name:62} {a:9.2f} ms {b:9.2f} ms {b / a:7.2f}×", flush=True)


def svd():
    """The randomized SVD against scikit-learn's, torch's, and a full SVD."""
    a = np.random.default_rng(0).standard_normal((2000, 1000))
    t = torch.from_numpy(a)

    def ours():
        return tensors.randomized_svd(a, 20)

    compare("randomized_svd 2000×1000 rank 20 / scikit-learn, 4 iterations", ours,
            lambda: sklearn_randomized_svd(a, 20, n_iter=4, random_state=0))  # fmt: skip
    compare("randomized_svd 2000×1000 rank 20 / torch.svd_lowrank", ours,
            lambda: torch.svd_lowrank(t, q=30, niter=4))  # fmt: skip
    compare("randomized_svd 2000×1000 rank 20 / full SVD", ours,
            lambda: np.linalg.svd(a, full_matrices=False), repeats=3)  # fmt: skip


def inference():
    """The MLP with every layer of low rank against the same network as it was."""
    dense = networks.mlp().eval()
    for rank in (5, 25, 90):
        small = lowrank.compress(dense, rank=rank)
        saved = networks.parameter_count(dense) / networks.parameter_count(small)
        for batch in (1, 256):
            x = torch.rand(batch, 1, 28, 28)
            with torch.no_grad():
                compare(f"MLP at rank {rank}, {saved:.1f}× fewer numbers, batch {batch} / dense",
                        lambda: small(x), lambda: dense(x), repeats=200)  # noqa: B023  # fmt: skip


def fit():
    """One epoch of ``fit`` against the usual loop over a DataLoader."""
    x, y = torch.rand(5000, 1, 28, 28), torch.arange(5000) % 10

    def ours():
        training.fit(networks.mlp(), (x, y), epochs=1, batch_size=64, lr=1e-3, seed=0,
                     progress=False)  # fmt: skip

    def theirs():
        model = networks.mlp().train()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for batch, labels in DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(batch), labels).backward()
            optimizer.step()

    compare("fit, 5,000 images, one epoch / loop over a DataLoader", ours, theirs, repeats=5)


BENCHMARKS = {function.__name__: function for function in (svd, inference, fit)}


def main(arguments=None):
    """Run the benchmarks that the command line names, all of them without a name."""
    parser = argparse.ArgumentParser(prog="python -m uecompress.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], metavar="NAME",
                        help=f"one of {', '.join(BENCHMARKS)}")  # fmt: skip
    names = parser.parse_args(arguments).names or BENCHMARKS
    print(f"{torch.get_num_threads()} threads\n{'ours / the alternative':65} ours    alternative")
    for name in names:
        BENCHMARKS[name]()


if __name__ == "__main__":
    main()
