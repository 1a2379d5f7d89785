"""Bayesian compression of two LeNets on MNIST, by five methods.

Chapters 12 to 17 at full scale. Every method begins with the weights of the same trained networks.
The settings were chosen with the first seed, on the validation split. ``python -m
uecompress.reproduce bayesian`` also writes the compressed networks as files.
"""

import functools
import tempfile
from pathlib import Path

import torch

from uecompress import bayes, data, networks, storage, training, uncertainty
from uecompress.reproduce.card import card
from uecompress.reproduce.store import Store

DENSE = {
    "lenet300": {"epochs": 20, "batch_size": 128, "lr": 1e-3, "bfloat16": False},
    "lenet5": {"epochs": 12, "batch_size": 128, "lr": 1e-3, "bfloat16": True},
}
# A Gaussian prior of the weights without an ELBO, from scratch. Of 1e-6, 1e-5, 3e-5, 1e-4, 3e-4 and
# 1e-3 this decay gave the smallest validation NLL.
DECAY = {
    "lenet300": {"epochs": 60, "batch_size": 128, "lr": 1e-3, "weight_decay": 3e-4},
}
ORDINARY = {"dense": DENSE, "decay": DECAY}


def elbo(epochs, batch_size, lr, warm_up, log_sigma2, **more):
    """How a variational network is trained."""
    settings = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "warm_up": warm_up}
    return settings | {"posterior": {"initial_log_sigma2": log_sigma2}} | more


SETTINGS = {
    "data": "mnist",
    "foreign": "notmnist",
    "samples": 10,
    **ORDINARY,
    "runs": [
        {
            "network": "lenet300",
            "method": "graves",
            "seeds": [0, 1, 2, 3, 4],
            "training": elbo(60, 256, 3e-3, [0.0, 0.3], -6, hold=0.0, bfloat16=False),
            "threshold": 1.5,
            "fine_tuning": {"epochs": 3, "batch_size": 128, "lr": 1e-3, "hold": 0.0},
            "clusters": 32,
        },
        {
            "network": "lenet300",
            "method": "sparse_vd",
            "seeds": [0, 1, 2, 3, 4],
            "training": elbo(60, 256, 5e-3, [0.05, 0.3], -8, hold=0.0, bfloat16=False),
            "threshold": 1.0,
            "clusters": 32,
        },
        {
            "network": "lenet300",
            "method": "group_jeffreys",
            "seeds": [0, 1, 2, 3, 4],
            "training": elbo(50, 256, 8e-3, [0.0, 0.2], -5, hold=0.2, bfloat16=False),
            "threshold": -2.7,
            "more_bits": 2,
            "clusters": 32,
        },
        {
            "network": "lenet5",
            "method": "sparse_vd",
            "seeds": [0, 1, 2],
            "training": elbo(30, 128, 3e-3, [0.05, 0.3], -8, bfloat16=True),
            "threshold": 1.0,
            "clusters": 32,
        },
        {
            "network": "lenet5",
            "method": "group_horseshoe",
            "seeds": [0, 1, 2],
            "training": elbo(25, 128, 5e-3, [0.0, 0.2], -5, hold=0.2, kl_weight=5, bfloat16=True),
            "threshold": {"conv1": 0.0, "conv2": 2.5, "linear1": 1.5, "linear2": -0.6},
            "fine_tuning": {"epochs": 8, "batch_size": 128, "lr": 3e-3, "hold": 0.0},
            "more_bits": 2,
            "clusters": 32,
        },
        {
            "network": "lenet5",
            "method": "vnq",
            "seeds": [0, 1, 2],
            "training": elbo(15, 128, 2e-3, [0.0, 0.25], -8, hold=0.2, bfloat16=True),
            "threshold": 2.0,
        },
    ],
}
LAYERS = {"graves": "mean_field"}  # what `variational` calls the layers of a method, if not alike
AFTER_STEP = {
    "mean_field": bayes.graves_prior,
    "group_jeffreys": bayes.clip_sigma(0.2),
    "group_horseshoe": bayes.clip_sigma(0.2),
    "vnq": bayes.clip_vnq,
}
adam = functools.partial(torch.optim.Adam, fused=True)


def run(store):
    """The rows of every network: the ordinary ones, and each variational one before and after."""
    return {"rows": [row for case in cases() for row in measured(store, *case)]}


def artefacts():
    """The compressed networks as they are stored: name of the file -> bytes."""
    files = {}
    for network, method, seed in cases():
        if method not in ORDINARY:
            model = compressed(network, method, seed)["compressed"]
            files[f"{network}-{method}-{seed}.uec"] = as_bytes(model)
    return files


def cases():
    """(network, method, seed) of all networks, the ordinary ones first."""
    seeds = {}
    for each in SETTINGS["runs"]:
        seeds.setdefault(each["network"], set()).update(each["seeds"])
    for network, those in seeds.items():
        for method in ORDINARY:
            if network in ORDINARY[method]:
                yield from ((network, method, seed) for seed in sorted(those))
    for each in SETTINGS["runs"]:
        yield from ((each["network"], each["method"], seed) for seed in each["seeds"])


def run_of(network, method):
    """The settings of one method for one network, whatever the seed."""
    if method in ORDINARY:
        return {"training": ORDINARY[method][network]}
    (found,) = (
        each for each in SETTINGS["runs"] if (each["network"], each["method"]) == (network, method)
    )
    found = {key: value for key, value in found.items() if key != "seeds"}
    return found | {"start": DENSE[network]}


def trained(network, method, seed, store=None):
    """An ordinary or variational network, read from its own store or trained.

    ``store``, if given, learns how many seconds that took.
    """
    settings = run_of(network, method)
    how = settings["training"]
    if method in ORDINARY:
        model, after_step = getattr(networks, network)(seed=seed), None
    else:
        kind = LAYERS.get(method, method)
        model = bayes.variational(trained(network, "dense", seed), kind, **how["posterior"])
        after_step = AFTER_STEP.get(kind)
    units = Store(f"{method}-{network}", [how, settings.get("start")])
    result = units.network(str(seed), model, lambda: fit(model, how, seed, after_step))
    if store is not None:
        store.seconds += units.seconds
    return result


def fit(model, settings, seed, after_step):
    """``model`` trained as ``settings`` say, by the ELBO if they have a warm-up.

    In bfloat16 a convolutional network takes two thirds of the time; the parameters stay float32.
    """
    images = data.load("mnist", "train")
    loss = training.cross_entropy
    if "warm_up" in settings:
        loss = bayes.elbo_loss(len(images[0]) / settings.get("kl_weight", 1), settings["warm_up"])

    def short(*arguments):
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.get("bfloat16", False)):
            return loss(*arguments)

    hold = settings.get("hold", 0.5)  # the share of the training before the rate falls
    return training.fit(
        model.to(memory_format=torch.channels_last),
        images,
        epochs=settings["epochs"],
        batch_size=settings["batch_size"],
        lr=lambda progress: settings["lr"] * min(1, (1 - progress) / (1 - hold)),
        optimizer=functools.partial(adam, weight_decay=settings.get("weight_decay", 0.0)),
        loss=short,
        after_step=after_step,
        seed=seed,
    )


def compressed(network, method, seed):
    """The ordinary networks that a trained variational network becomes.

    Returns:
        A dict: "compressed" is what the file holds. Where a method prunes there is also "pruned",
        after some fine-tuning "tuned", and where it prunes groups "fast", with its weights rounded
        to a few bits.
    """
    model, settings = trained(network, method, seed), run_of(network, method)
    if method == "vnq":
        return {"compressed": bayes.quantize(model, settings["threshold"])}
    groups = method.startswith("group")
    prune = bayes.prune_groups if groups else bayes.prune
    final = prune(model, settings["threshold"])
    ways = {"pruned": final}
    if "fine_tuning" in settings:
        small, how = networks.shrink(final), settings["fine_tuning"]
        units = Store(f"tuned-{method}-{network}", settings)
        ways["tuned"] = final = units.network(
            str(seed), small, lambda: fit(small, how, seed, networks.hold_zeros(small))
        )
    if groups:
        names = [name for name, _ in networks.linear_and_conv_layers(final)]
        bits = dict(zip(names, precision(model, ways["pruned"], settings), strict=True))
        ways["fast"] = networks.shrink(bayes.round_to_precision(final, bits))
    return ways | {"compressed": networks.maximum_compression(final, settings["clusters"])}


def precision(model, pruned, settings):
    """The format of each layer: what the posterior allows, and some bits more."""
    return [
        bayes.BitPrecision(each.exponent, each.mantissa + settings["more_bits"])
        for each in bayes.bit_precision(model, pruned).values()
    ]


def measured(store, network, method, seed):
    """The rows of one network, one for each way to predict with it."""
    model = trained(network, method, seed, store)
    dense = trained(network, "dense", seed)
    settings, small, ways = run_of(network, method), {}, {"dense": (model, None)}
    if method not in ORDINARY:
        small = compressed(network, method, seed)
        ways = {"mean": (model, None), "samples": (model, SETTINGS["samples"])}
        ways |= {way: (ordinary, None) for way, ordinary in small.items()}
    rows = []
    for way, (each, samples) in ways.items():
        units = Store("bayesian-cards", [network, method, settings, way, samples])
        row = units.value(str(seed), lambda m=each, s=samples: quality(m, dense, s))
        store.seconds += units.seconds
        if way in small:
            row |= size(small[way], dense)
        if way == "fast":
            bits = [each.bits for each in precision(model, small["pruned"], settings)]
            rates = bayes.counted_rates(dense, small["fast"], bits)
            row |= dict(zip(("pruning_rate", "fast_rate"), rates, strict=True)) | {"bits": bits}
        rows.append({"network": network, "method": method, "seed": seed, "way": way} | row)
    return rows


def quality(model, dense, samples):
    """The card of a network, with both errors in percent; batches that fit the cache are faster."""
    x, y = data.load("mnist", "validation")
    model = model.to(memory_format=torch.channels_last)
    validation = uncertainty.accuracy(
        uncertainty.predict(model, x, samples=samples, batch_size=100), y
    )
    row = card(model, dense, samples=samples, batch_size=100)
    return {
        "validation_error": round(100 * (1 - validation), 2),
        "error": round(100 * (1 - row["accuracy"]), 2),
    } | row


def size(model, dense):
    """The weights that there were, and those that are left."""
    layers = networks.linear_and_conv_layers(networks.shrink(model))
    return {
        "weights": sum(layer.weight.numel() for _, layer in networks.linear_and_conv_layers(dense)),
        "nonzero_weights": [int(layer.weight.count_nonzero()) for _, layer in layers],
        "shapes": [list(layer.weight.shape) for _, layer in layers],
    }


def as_bytes(model):
    """The file of a network."""
    with tempfile.TemporaryDirectory() as folder:
        storage.save(model, path := Path(folder) / "network")
        return path.read_bytes()
