"""Training and measuring against the usual loops and torchmetrics."""

import itertools
from functools import partial

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from uecompress import ensembles, networks, training, uncertainty
from uecompress.benchmarks.comparing import optional


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
    if metrics := optional("torchmetrics.functional.classification"):
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
