"""Side by side with what one would use otherwise: ``python -m uecompress.benchmarks``.

Every line is a ratio of two medians of times, measured in turn on this machine, or of two lengths;
above 1 ours is faster, or shorter. Nothing here asserts anything, and no test depends on a time.

A benchmark is a generator of triples: a name "ours / the alternative", and the two functions
without arguments, or the two lengths in bytes. It is sent the ratio that was measured.
"""

import argparse
import contextlib
import importlib
import io
import itertools
import lzma
import statistics
import tempfile
import time
import warnings
from collections import Counter
from functools import partial

import numpy as np
import tensorly
import torch
from sklearn.utils.extmath import randomized_svd as sklearn_randomized_svd
from tensorly.decomposition import tensor_train
from torch.utils.data import DataLoader, TensorDataset

from uecompress import data, ensembles, lowrank, networks, tensors, training, uncertainty
from uecompress.storage import decode_state, load, save, sizes


def compare(name, ours, theirs, *, seconds=1.0):
    """Time two functions in turn; print and return the ratio of their medians, theirs over ours.

    Args:
        name: what is compared.
        ours: a function without arguments.
        theirs: the alternative, too.
        seconds: about how long each may take in all; there are at least 3 repeats and at most 200.
    """
    functions = ours, theirs
    slower = max(map(_seconds, functions))  # warms up, too
    repeats = int(min(max(seconds / max(slower, 1e-9), 3), 200))
    times = [[_seconds(function) for function in functions] for _ in range(repeats)]
    a, b = (1000 * statistics.median(column) for column in zip(*times, strict=True))
    return _line(name, a, b, "9.2f", "ms")


def compare_lengths(name, ours, theirs):
    """Print and return the ratio of two lengths in bytes, theirs over ours."""
    return _line(name, ours, theirs, "9,d", "B ")


def _line(name, a, b, number, unit):
    print(f"{name:62} {a:{number}} {unit} {b:{number}} {unit} {b / a:7.2f}×", flush=True)
    return b / a


def _seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def svd():
    """The randomized SVD against scikit-learn's, torch's, and a full SVD."""
    a = np.random.default_rng(0).standard_normal((2000, 1000))
    ours, t = partial(tensors.randomized_svd, a, 20), torch.from_numpy(a)
    name = "randomized_svd 2000×1000 rank 20 /"
    scikit = partial(sklearn_randomized_svd, a, 20, n_iter=4, random_state=0)
    yield f"{name} scikit-learn, 4 iterations", ours, scikit
    yield f"{name} torch.svd_lowrank", ours, partial(torch.svd_lowrank, t, q=30, niter=4)
    yield f"{name} full SVD", ours, partial(np.linalg.svd, a, full_matrices=False)


def tt_svd():
    """TT-SVD at a given rank against tensorly's; both errors are the same."""
    for dtype, rank in itertools.product((torch.float32, torch.float64), (8, 32)):
        t = torch.randn((16,) * 5, dtype=dtype, generator=torch.Generator().manual_seed(0))
        for backend, a in (("pytorch", t), ("numpy", t.numpy())):
            name = f"tt_svd 16⁵ {dtype} rank {rank} / tensorly, {backend}"
            ours = partial(tensors.tt_svd, a, max_rank=rank)
            with tensorly.backend_context(backend):
                yield name, ours, partial(tensor_train, a, [1, *[rank] * 4, 1])


def rounding():
    """A sum of two equal trains rounded to the ranks of one, against torchTT and TT-SVD."""
    torchtt = _module("torchtt")
    for size, d, rank, train in _trains():
        total = train + train
        name, ours = f"round {size}^{d} rank {2 * rank} to {rank} /", partial(total.round, 1e-10)
        if size**d < 1e6:
            theirs = partial(lambda total: tensors.tt_svd(total.full(), 1e-10), total)
            yield f"{name} tt_svd of the full tensor", ours, theirs
        if torchtt:
            yield f"{name} torchTT", ours, partial(torchtt.TT(total.cores).round, 1e-10)


def dot():
    """The scalar product of two trains against torchTT and the full tensors."""
    torchtt = _module("torchtt")
    for size, d, rank, train in _trains():
        name, ours = f"dot {size}^{d} rank {rank} /", partial(train.dot, train)
        if size**d < 1e6:
            full = train.full().reshape(-1)
            yield f"{name} full tensors", ours, partial(torch.dot, full, full)
        if torchtt:
            theirs = torchtt.TT(train.cores)
            yield f"{name} torchTT", ours, partial(torchtt.dot, theirs, theirs)


def _trains():
    """Size, number of dimensions and rank of some trains, and the trains."""
    for size, d, rank in ((8, 6, 3), (10, 10, 8), (20, 6, 30), (50, 4, 40)):
        ranks, generator = [1, *[rank] * (d - 1), 1], torch.Generator().manual_seed(0)
        shapes = [(r, size, s) for r, s in itertools.pairwise(ranks)]
        draw = partial(torch.randn, dtype=torch.float64, generator=generator)
        yield size, d, rank, tensors.TensorTrain([draw(shape) for shape in shapes])


def _module(name):
    """A module that need not be installed; None, and a line that says so, where it is not."""
    with warnings.catch_warnings(), contextlib.suppress(ModuleNotFoundError):
        warnings.simplefilter("ignore")  # torchTT warns that it has no compiled part
        return importlib.import_module(name)
    print(f"{name} is not installed: no comparison with it")
    return None


def inference():
    """The MLP with every layer of low rank against the same network as it was."""
    dense = networks.mlp().eval()
    for rank, batch in itertools.product((5, 25, 90), (1, 256)):
        small = lowrank.compress(dense, rank=rank)
        saved = networks.parameter_count(dense) / networks.parameter_count(small)
        x = torch.rand(batch, 1, 28, 28)
        name = f"MLP at rank {rank}, {saved:.1f}× fewer numbers, batch {batch} / dense"
        yield name, partial(_forward, small, x), partial(_forward, dense, x)


def fit():
    """One epoch of ``fit`` against the usual loop over a DataLoader."""
    x, y = torch.rand(5000, 1, 28, 28), torch.arange(5000) % 10
    settings = {"epochs": 1, "batch_size": 64, "lr": 1e-3, "seed": 0, "progress": False}

    def theirs():
        model = networks.mlp().train()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for batch, labels in DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(batch), labels).backward()
            optimizer.step()

    ours = partial(training.fit, networks.mlp(), (x, y), **settings)
    yield "fit, 5,000 images, one epoch / loop over a DataLoader", ours, theirs


def ece():
    """The ECE of a million predictions against torchmetrics and a loop over the bins in NumPy."""
    generator = torch.Generator().manual_seed(0)
    log_probs = torch.randn(1, 1_000_000, 10, generator=generator).log_softmax(-1)
    y = torch.randint(10, (1_000_000,), generator=generator)
    ours, name = partial(uncertainty.ece, log_probs, y), "ece, 10⁶ predictions /"

    def loop():
        p = log_probs[0].exp().numpy()
        confidence, correct, total = p.max(-1), p.argmax(-1) == y.numpy(), 0.0
        for low, high in itertools.pairwise(np.linspace(0, 1, 16)):
            inside = (confidence > low) & (confidence <= high)
            if inside.any():
                total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
        return total

    yield f"{name} NumPy, a loop over the bins", ours, loop
    if metrics := _module("torchmetrics.functional.classification"):
        theirs = partial(metrics.multiclass_calibration_error, target=y, num_classes=10)
        probs = log_probs[0].exp()
        yield f"{name} torchmetrics, from log-probabilities", ours, partial(theirs, log_probs[0])
        yield f"{name} torchmetrics, from probabilities", ours, partial(theirs, probs)


def ensemble():
    """One epoch of five MLPs with stacked weights against five calls of ``fit``."""
    data = torch.rand(1280, 1, 28, 28), torch.arange(1280) % 10
    models = [networks.mlp(seed=m) for m in range(5)]
    optimizers = {"Adam": torch.optim.Adam, "fused Adam": ensembles.fused_adam}
    for batch, (name, optimizer) in itertools.product((32, 128), optimizers.items()):
        settings = {"epochs": 1, "batch_size": batch, "lr": 1e-3, "progress": False}
        alone = partial(training.fit, data=data, optimizer=optimizer, **settings)
        yield (
            f"fit_ensemble, 5 MLPs, batch {batch} / fit in a loop, {name}",
            partial(ensembles.fit_ensemble, models, data, seeds=range(5), **settings),
            partial(lambda alone: [alone(m, seed=s) for s, m in enumerate(models)], alone),
        )


def tt_linear():
    """TTLinear 1024 to 1024 against a dense layer and both modes of tensorly-torch's layer."""
    tltorch, dense, ratios = _module("tltorch"), torch.nn.Linear(1024, 1024), {}
    shapes = ((4, 8, 8, 4), (16, 8, 8), (32, 32))
    for shape, rank, batch in itertools.product(shapes, (4, 8, 16), (1, 16, 256)):
        ours, theirs = lowrank.TTLinear(shape, shape, rank), {"dense": dense}
        if tltorch:
            make = partial(tltorch.FactorizedLinear, shape, shape, rank=list(ours.ranks))
            for mode in ("factorized", "reconstructed"):
                theirs[mode] = make(factorization="blocktt", implementation=mode)
        x = torch.randn(batch, 1024, requires_grad=True)
        share = ours.multiply_adds(batch) / (1024 * 1024 * batch)
        for kind, step in (("forward", _forward), ("step", _forward_and_backward)):
            name = f"TT {shape} rank {rank} batch {batch} {kind} ({share:.2f} of dense) /"
            found = []
            for other, layer in theirs.items():
                found.append(
                    (yield f"{name} {other}", partial(step, ours, x), partial(step, layer, x))
                )
            if tltorch:
                ratios.setdefault(f"batch {batch} {kind}", []).append(min(found[1:]))
    for name, values in ratios.items():
        mean = statistics.geometric_mean(values)
        print(f"{name}, the better mode: geometric mean {mean:.2f}×, least {min(values):.2f}×")


def _forward(layer, x):
    with torch.no_grad():
        layer(x)


def _forward_and_backward(layer, x):
    layer(x).sum().backward()


def storage():
    """A network to bytes and back against lzma, zstd and torch.save, and the size of the file."""
    zstandard, generator = _module("zstandard"), torch.Generator().manual_seed(0)
    dense = torch.randn(1000, 1000, generator=generator) / 30
    kept = torch.rand(1000, 1000, generator=generator) < 0.05
    packers = {"lzma -9": (partial(lzma.compress, preset=9), lzma.decompress)}
    if zstandard:
        packers["zstd -19"] = partial(zstandard.compress, level=19), zstandard.decompress
    for kind, weight in {
        "dense": dense,
        "5 % not zero": dense.masked_fill(~kept, 0),
        "16 levels": (dense * 100).round().clamp(-8, 7) / 100,
    }.items():
        with tempfile.TemporaryDirectory() as folder:
            model, path = torch.nn.Linear(1000, 1000, bias=False), f"{folder}/network.uec"
            model.weight.data = weight
            raw, size = weight.numpy().tobytes(), save(model, path)
            for other, (pack, unpack) in packers.items():
                content = pack(raw)
                name = f"4 MB {kind}, {size / 1e3:.0f} kB / {other}, {len(content) / 1e3:.0f} kB"
                yield f"save {name}", partial(save, model, path), partial(pack, raw)
                yield f"load {name}", partial(load, path), partial(unpack, content)
            theirs = partial(lambda state: torch.save(state, io.BytesIO()), model.state_dict())
            yield f"save 4 MB {kind} / torch.save", partial(save, model, path), theirs


def lengths():
    """The kept networks, seed after seed: whole files against xz and zstd, weights DeepCABAC.

    xz and zstd get the float32 numbers of all tensors, one after another. DeepCABAC's lengths are
    recorded, and a value of a codebook counts two bytes with them.
    """
    zstandard, kept = _module("zstandard"), data.folder() / "results" / "bayesian"
    recorded = data.results("deepcabac")["results"]
    methods = {name: name.rpartition("-")[0] for name in recorded}
    for method in dict.fromkeys(methods.values()):
        found = Counter()
        for name in (name for name in recorded if methods[name] == method):
            numbers = decode_state(kept / f"{name}.uec").values()
            raw = b"".join(tensor.tobytes() for tensor in numbers)
            rows = sizes(kept / f"{name}.uec").set_index("tensor").bytes
            found["file"] += int(rows.sum())
            found["weights"] += int(rows[[*recorded[name]]].sum())
            found["xz -9"] += len(lzma.compress(raw, preset=9))
            if zstandard:
                found["zstd -19"] += len(zstandard.compress(raw, level=19))
            theirs = recorded[name].values()
            found["DeepCABAC"] += sum(indices + 2 * values for indices, values in theirs)
        for other in [*found][2:]:
            part = "weights" if other == "DeepCABAC" else "file"
            yield f"length of {method}, {part} / {other}", found[part], found[other]


BENCHMARKS = {
    function.__name__: function
    for function in (
        svd, tt_svd, rounding, dot, inference, fit, ece, ensemble, tt_linear, storage, lengths,
    )
}  # fmt: skip


def main(arguments=None):
    """Run the benchmarks that the command line names, all of them without a name."""
    parser = argparse.ArgumentParser(prog="python -m uecompress.benchmarks", description=__doc__)
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
            run(BENCHMARKS[name]())
    finally:
        torch.set_num_threads(before)


def run(benchmark):
    """Measure all pairs that a benchmark yields."""
    with contextlib.suppress(StopIteration):
        pair = next(benchmark)
        while True:
            measure = compare if callable(pair[1]) else compare_lengths
            pair = benchmark.send(measure(*pair))


if __name__ == "__main__":
    main()
