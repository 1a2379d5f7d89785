"""Zeros: do they save time as they are, or only where whole units are gone?"""

import warnings
from functools import partial

import torch

from uecompress import networks, pruning


def sparse():
    """Products with a matrix of zeros: as compressed sparse rows (CSR) and as a dense matrix.

    A layer holds its inputs as rows, the sparse product wants them as columns: what turning them
    costs is the difference between the two.
    """
    generator = torch.Generator().manual_seed(0)
    for rows, columns in ((300, 784), (1024, 1024)):
        x = torch.randn(64, columns, generator=generator)
        inputs = {"one input": x[0], "64 inputs in rows": x.mT, "in columns": x.mT.contiguous()}
        for density in (0.01, 0.02, 0.05, 0.1, 0.2):
            kept = torch.rand(rows, columns, generator=generator) < density
            dense = torch.randn(rows, columns, generator=generator) * kept
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch calls its sparse rows a beta version
                compressed = dense.to_sparse_csr()
            for form, given in inputs.items():
                name = f"CSR {columns}×{rows}, density {density:.0%}, {form} / dense"
                yield (
                    name,
                    partial(torch.matmul, compressed, given),
                    partial(torch.matmul, dense, given),
                )


def units():
    """Networks without half of their units: smaller, or with zeros in their place."""
    for make in (networks.lenet300, networks.lenet5, networks.cnn):
        model = make().eval()
        weights = {name: layer.weight.abs() for name, layer in networks.plain_layers(model).items()}
        scores = pruning.unit_scores(model, weights)
        silent = pruning.prune_units(model, scores, density=0.5, scope="layer")
        small = networks.shrink(silent)
        for batch in (1, 64):
            x = torch.rand(batch, 1, 28, 28)
            name = f"{make.__name__}, half of the units gone, batch {batch} /"
            yield f"{name} dense", partial(_forward, small, x), partial(_forward, model, x)
            yield f"{name} with zeros", partial(_forward, small, x), partial(_forward, silent, x)


def _forward(model, x):
    with torch.no_grad():
        return model(x)
