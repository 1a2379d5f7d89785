"""Decompositions, tensor trains and layers of low rank against other libraries and dense layers."""

import itertools
import statistics
from functools import partial

import numpy as np
import tensorly
import torch
from sklearn.utils.extmath import randomized_svd as sklearn_randomized_svd
from tensorly.decomposition import tensor_train

from uecompress import lowrank, networks, tensors
from uecompress.benchmarks.comparing import optional


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
    torchtt = optional("torchtt")
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
    torchtt = optional("torchtt")
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


def inference():
    """The MLP with every layer of low rank against the same network as it was."""
    dense = networks.mlp().eval()
    for rank, batch in itertools.product((5, 25, 90), (1, 256)):
        small = lowrank.compress(dense, rank=rank)
        saved = networks.parameter_count(dense) / networks.parameter_count(small)
        x = torch.rand(batch, 1, 28, 28)
        name = f"MLP at rank {rank}, {saved:.1f}× fewer numbers, batch {batch} / dense"
        yield name, partial(_forward, small, x), partial(_forward, dense, x)


def tt_linear():
    """TTLinear 1024 to 1024 against a dense layer and both modes of tensorly-torch's layer."""
    tltorch, dense, ratios = optional("tltorch"), torch.nn.Linear(1024, 1024), {}
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
