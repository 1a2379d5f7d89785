"""Sparse variational dropout on MNIST: how many weights of two LeNets are more than noise.

Chapter 12 at full scale: LeNet-300-100 with five seeds, LeNet-5-Caffe with three. Every setting was
chosen on the validation split.
"""

import functools

import torch

from uecompress import bayes, data, networks, training, uncertainty

SETTINGS = {
    "data": "mnist",
    "foreign": "notmnist",
    "seeds": {"lenet300": [0, 1, 2, 3, 4], "lenet5": [0, 1, 2]},
    "epochs": 40,
    "batch_size": 128,
    "lr": {"lenet300": 2e-3, "lenet5": 1e-3},
    "schedule": "constant for half of the training, then linear to 0",
    "warm_up": [0.025, 0.15],
    "initial_log_sigma2": -10.0,
    "threshold": 3.0,
    "samples": 50,
}
adam = functools.partial(torch.optim.Adam, fused=True)


def run(store):
    """One row for each network and seed, before pruning, with weight samples, and after."""
    return [
        row
        for name, seeds in SETTINGS["seeds"].items()
        for seed in seeds
        for row in rows(name, seed, trained(store, name, seed))
    ]


def trained(store, name, seed):
    """The variational network of one seed: read from the store, or trained."""
    model = bayes.variational(
        getattr(networks, name)(seed=seed),
        "sparse_vd",
        initial_log_sigma2=SETTINGS["initial_log_sigma2"],
    )

    def train():
        images = data.load("mnist", "train")
        return training.fit(
            model,
            images,
            epochs=SETTINGS["epochs"],
            batch_size=SETTINGS["batch_size"],
            lr=lambda progress: SETTINGS["lr"][name] * min(1, 2 * (1 - progress)),
            optimizer=adam,
            loss=bayes.elbo_loss(len(images[0]), SETTINGS["warm_up"]),
            seed=seed,
        )

    return store.network(f"{name}-{seed}", model, train)


def rows(name, seed, model):
    """The three ways in which one trained network predicts, each with its quality."""
    pruned = bayes.prune(model, SETTINGS["threshold"])
    ways = {
        "mean": (model, {}),
        "samples": (model, {"samples": SETTINGS["samples"], "seed": seed}),
        "pruned": (pruned, {}),
    }
    layers = networks.linear_and_conv_layers(pruned)
    sizes = {
        "nonzero": {layer: int(m.weight.count_nonzero()) for layer, m in layers},
        "weights": sum(m.weight.numel() for _, m in layers),
    }
    return [
        {"network": name, "seed": seed, "way": way} | measure(*how) | sizes
        for way, how in ways.items()
    ]


def measure(model, settings):
    """Errors on both held-out splits, and uncertainty on digits and on foreign letters."""
    splits = {split: data.load("mnist", split) for split in ("validation", "test")}
    foreign, _ = data.load("notmnist", "test")
    log_probs = {s: uncertainty.predict(model, x, **settings) for s, (x, _) in splits.items()}
    outside = uncertainty.predict(model, foreign, **settings)
    errors = {
        f"{split}_error": round(100 * (1 - uncertainty.accuracy(log_probs[split], y)), 2)
        for split, (_, y) in splits.items()
    }
    inside, y = log_probs["test"], splits["test"][1]
    entropies = [uncertainty.entropy(each) for each in (inside, outside)]
    disagreement = [uncertainty.mutual_information(each) for each in (inside, outside)]
    return errors | {
        "nll": round(uncertainty.nll(inside, y), 5),
        "brier": round(uncertainty.brier(inside, y), 5),
        "ece": round(uncertainty.ece(inside, y), 5),
        "entropy_in": round(entropies[0].mean().item(), 4),
        "entropy_out": round(entropies[1].mean().item(), 4),
        "auroc_entropy": round(uncertainty.auroc(*entropies), 4),
        "auroc_mi": round(uncertainty.auroc(*disagreement), 4),
    }
