"""Speed, side by side with what one would use otherwise: ``python -m uecompress.benchmarks``.

Every line is a ratio of two medians measured in turn on this machine; above 1 ours is faster.
Nothing here asserts anything, and no test depends on a time.
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

import numpy as np
import tensorly
import torch
from sklearn.utils.extmath import randomized_svd as sklearn_randomized_svd
from tensorly.decomposition import tensor_train
from torch.utils.data import DataLoader, TensorDataset

from uecompress import ensembles, lowrank, networks, tensors, training, uncertainty
from uecompress.storage import load, save


def compare(name, ours, theirs, *, repeats=15):
    """Time two functions in turn; print and return the ratio of their medians, theirs over ours."""
    ours(), theirs()  # warm up
    times = {ours: [], theirs: []}
    for _ in range(repeats):
        for function, seconds in times.items():
            start = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - start)
    a, b = (1000 * statistics.median(seconds) for seconds in times.values())
    print(f"{name:62} {a:9.2f} ms {b:9.2f} ms {b / a:7.2f}×", flush=True)
    return b / a


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


def tt_svd():
    """TT-SVD at a given rank against tensorly's; both errors are the same."""
    for dtype in (torch.float32, torch.float64):
        t = torch.randn((16,) * 5, dtype=dtype, generator=torch.Generator().manual_seed(0))
        for rank in (8, 32):
            for backend, a in (("pytorch", t), ("numpy", t.numpy())):
                with tensorly.backend_context(backend):
                    compare(f"tt_svd 16⁵ {t.dtype} rank {rank} / tensorly, {backend}",
                            lambda: tensors.tt_svd(a, max_rank=rank),  # noqa: B023
                            lambda: tensor_train(a, [1, *[rank] * 4, 1]),  # noqa: B023
                            repeats=7)  # fmt: skip


def rounding():
    """A sum of two equal trains rounded to the ranks of one, against torchTT and TT-SVD."""
    for size, d, rank, torchtt in _sizes():
        ours = _train(size, d, rank)
        ours = ours + ours
        name = f"round {size}^{d} rank {2 * rank} to {rank} /"
        if size**d < 1e6:
            compare(f"{name} tt_svd of the full tensor", lambda: ours.round(1e-10),  # noqa: B023
                    lambda: tensors.tt_svd(ours.full(), 1e-10))  # noqa: B023  # fmt: skip
        if torchtt:
            theirs = torchtt.TT(ours.cores)
            compare(f"{name} torchTT", lambda: ours.round(1e-10),  # noqa: B023
                    lambda: theirs.round(1e-10))  # noqa: B023  # fmt: skip


def dot():
    """The scalar product of two trains against torchTT and the full tensors."""
    for size, d, rank, torchtt in _sizes():
        ours, name = _train(size, d, rank), f"dot {size}^{d} rank {rank} /"
        if size**d < 1e6:
            full = ours.full().reshape(-1)
            compare(f"{name} full tensors", lambda: ours.dot(ours),  # noqa: B023
                    lambda: full @ full)  # noqa: B023  # fmt: skip
        if torchtt:
            theirs = torchtt.TT(ours.cores)
            compare(f"{name} torchTT", lambda: ours.dot(ours),  # noqa: B023
                    lambda: torchtt.dot(theirs, theirs))  # noqa: B023  # fmt: skip


def _sizes():
    """Size, dimensions and rank of some trains, and the module torchtt where it is installed."""
    torchtt = None
    with warnings.catch_warnings(), contextlib.suppress(ModuleNotFoundError):
        warnings.simplefilter("ignore")  # it warns that it has no compiled part
        torchtt = importlib.import_module("torchtt")
    if torchtt is None:
        print("torchTT is not installed: no comparison with it")
    for size, d, rank in ((8, 6, 3), (10, 10, 8), (20, 6, 30), (50, 4, 40)):
        yield size, d, rank, torchtt


def _train(size, d, rank):
    ranks, generator = [1, *[rank] * (d - 1), 1], torch.Generator().manual_seed(0)
    return tensors.TensorTrain([
        torch.randn(ranks[k], size, ranks[k + 1], dtype=torch.float64, generator=generator)
        for k in range(d)
    ])  # fmt: skip


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


def ece():
    """The ECE of a million predictions against torchmetrics and a loop over the bins in NumPy."""
    generator = torch.Generator().manual_seed(0)
    log_probs = torch.randn(1, 1_000_000, 10, generator=generator).log_softmax(-1)
    y = torch.randint(10, (1_000_000,), generator=generator)

    def ours():
        return uncertainty.ece(log_probs, y)

    def loop():
        p = log_probs[0].exp().numpy()
        confidence, correct, total = p.max(-1), p.argmax(-1) == y.numpy(), 0.0
        edges = np.linspace(0, 1, 16)
        for low, high in itertools.pairwise(edges):
            inside = (confidence > low) & (confidence <= high)
            if inside.any():
                total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
        return total

    compare("ece, 10⁶ predictions / NumPy, a loop over the bins", ours, loop, repeats=7)
    with contextlib.suppress(ModuleNotFoundError):
        theirs = importlib.import_module("torchmetrics.functional.classification")
        theirs, probs = theirs.multiclass_calibration_error, log_probs[0].exp()
        compare("ece, 10⁶ predictions / torchmetrics, from log-probabilities", ours,
                lambda: theirs(log_probs[0], y, num_classes=10), repeats=7)  # fmt: skip
        compare("ece, 10⁶ predictions / torchmetrics, from probabilities", ours,
                lambda: theirs(probs, y, num_classes=10), repeats=7)  # fmt: skip


def ensemble():
    """One epoch of five MLPs with stacked weights against five calls of ``fit``."""
    x, y = torch.rand(1280, 1, 28, 28), torch.arange(1280) % 10
    models = [networks.mlp(seed=m) for m in range(5)]
    for batch in (32, 128):
        settings = {"epochs": 1, "batch_size": batch, "lr": 1e-3, "progress": False}
        for name, adam in (("Adam", torch.optim.Adam), ("fused Adam", ensembles.fused_adam)):
            compare(f"fit_ensemble, 5 MLPs, batch {batch} / fit in a loop, {name}",
                    lambda: ensembles.fit_ensemble(
                        models, (x, y), seeds=range(5), **settings),  # noqa: B023
                    lambda: [training.fit(
                        models[m], (x, y), seed=m, optimizer=adam, **settings)  # noqa: B023
                        for m in range(5)],
                    repeats=7)  # fmt: skip


def tt_linear():
    """TTLinear 1024 to 1024 against a dense layer and both modes of tensorly-torch's layer."""
    tltorch, dense, ratios = None, torch.nn.Linear(1024, 1024), {}
    with warnings.catch_warnings(), contextlib.suppress(ModuleNotFoundError):
        warnings.simplefilter("ignore")
        tltorch = importlib.import_module("tltorch")
    shapes = ((4, 8, 8, 4), (16, 8, 8), (32, 32))
    for shape, rank, batch in itertools.product(shapes, (4, 8, 16), (1, 16, 256)):
        ours, theirs = lowrank.TTLinear(shape, shape, rank), {"dense": dense}
        if tltorch:
            theirs |= {mode: tltorch.FactorizedLinear(
                shape, shape, factorization="blocktt", rank=list(ours.ranks), implementation=mode
            ) for mode in ("factorized", "reconstructed")}  # fmt: skip
        x = torch.randn(batch, 1024, requires_grad=True)
        share = ours.multiply_adds(batch) / (1024 * 1024 * batch)
        for kind, step in (("forward", _forward), ("step", _forward_and_backward)):
            name = f"TT {shape} rank {rank} batch {batch} {kind} ({share:.2f} of dense)"
            found = [compare(f"{name} / {other}", lambda: step(ours, x),  # noqa: B023
                             lambda: step(layer, x))  # noqa: B023
                     for other, layer in theirs.items()]  # fmt: skip
            if tltorch and all(found):
                ratios.setdefault(f"batch {batch} {kind}", []).append(min(found[1:]))
    for name, values in ratios.items():
        print(f"{name}, against the better mode: geometric mean "
              f"{statistics.geometric_mean(values):.2f}×, least {min(values):.2f}×")  # fmt: skip


def _forward(layer, x):
    with torch.no_grad():
        layer(x)


def _forward_and_backward(layer, x):
    layer(x).sum().backward()


def storage():
    """A network to bytes and back against lzma, zstd and torch.save, and the size of the file."""
    zstandard = None
    with contextlib.suppress(ModuleNotFoundError):
        zstandard = importlib.import_module("zstandard")
    generator = torch.Generator().manual_seed(0)
    dense = torch.randn(1000, 1000, generator=generator) / 30
    kept = torch.rand(1000, 1000, generator=generator) < 0.05
    for kind, weight in {
        "dense": dense,
        "5 % not zero": dense.masked_fill(~kept, 0),
        "16 levels": (dense * 100).round().clamp(-8, 7) / 100,
    }.items():
        with tempfile.TemporaryDirectory() as folder:
            model, path = torch.nn.Linear(1000, 1000, bias=False), f"{folder}/network.uec"
            model.weight.data = weight
            raw, size = weight.numpy().tobytes(), save(model, path)
            packed = {"lzma -9": (lambda r: lzma.compress(r, preset=9), lzma.decompress)}
            if zstandard:
                packed["zstd -19"] = (lambda r: zstandard.compress(r, 19), zstandard.decompress)
            for other, (pack, unpack) in packed.items():
                content = pack(raw)
                name = f"4 MB {kind}, {size / 1e3:.0f} kB / {other}, {len(content) / 1e3:.0f} kB"
                compare(f"save {name}", lambda: save(model, path),  # noqa: B023
                        lambda: pack(raw), repeats=1)  # noqa: B023  # fmt: skip
                compare(f"load {name}", lambda: load(path),  # noqa: B023
                        lambda: unpack(content), repeats=3)  # noqa: B023  # fmt: skip
            compare(f"save 4 MB {kind} / torch.save", lambda: save(model, path),  # noqa: B023
                    lambda: torch.save(model.state_dict(), io.BytesIO()), repeats=3)  # noqa: B023  # fmt: skip


BENCHMARKS = {
    function.__name__: function
    for function in (svd, tt_svd, rounding, dot, inference, fit, ece, ensemble, tt_linear, storage)
}


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
