"""The best codebook against k-means of others, and integers against floats."""

from functools import partial

import torch
from sklearn.cluster import KMeans
from torch import nn

from uecompress import networks
from uecompress.benchmarks.comparing import optional
from uecompress.quantization import int8 as in_integers
from uecompress.quantization import kmeans_1d


def kmeans():
    """A million normal weights into 32 values: exactly, and as kmeans1d and Lloyd do it."""
    weights = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))
    ours, name = partial(kmeans_1d, weights, 32), "kmeans_1d, 10⁶ weights, 32 values /"
    start = torch.linspace(weights.min(), weights.max(), 32)[:, None].numpy()
    points = weights[:, None].numpy()
    lloyd = KMeans(32, init=start, n_init=1, max_iter=20)
    yield f"{name} 20 steps of sklearn's Lloyd", ours, lambda: lloyd.fit(points)
    if oracle := optional("kmeans1d"):
        values = weights.double().numpy()
        yield f"{name} kmeans1d", ours, lambda: oracle.cluster(values, 32)


def int8():
    """Eight-bit integers against float32: a small network, and wide layers."""
    lenet, wide = networks.lenet300().eval(), nn.Sequential(nn.Linear(1024, 1024))
    for name, model, shape in (("lenet300", lenet, (784,)), ("1024²", wide, (1024,))):
        integers = in_integers(model)
        for n in (1, 16, 256):
            x = torch.rand(n, *shape)
            yield (
                f"int8 {name}, batch {n} / float32",
                partial(_run, integers, x),
                partial(_run, model, x),
            )


def _run(model, x):
    with torch.no_grad():
        model(x)
