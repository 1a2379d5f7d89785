"""Bayesian compression of two LeNets on MNIST, by five methods.

Chapters 12 to 17 at full scale. Every method begins with the weights of the same trained networks,
which it trains on: of the LeNet-300-100, ``dense`` has 20 epochs, ``decay`` 60 from scratch, a
variational one 20 and then 50 or 60 and, for Graves, 3 of fine-tuning. ``python -m
uecompress.reproduce bayesian`` also writes the compressed networks as files.

How the settings were chosen: rates, epochs, the weight of the KL divergence and the thresholds by
hand, with the first seed, by validation errors and by the compression aimed at; the weight decay,
of 1e-6, 1e-5, 3e-5, 1e-4, 3e-4 and 1e-3, by the validation NLL. None of these searches was kept.
"""

import functools
import tempfile
from pathlib import Path

import torch

from uecompress import bayes, data, networks, storage, training, uncertainty
from uecompress.reproduce import foreign, recipe
from uecompress.reproduce.bayesian_settings import DENSE, ORDINARY, SETTINGS
from uecompress.reproduce.card import card
from uecompress.reproduce.store import Store

VERSION = 1
LAYERS = {"graves": "mean_field"}  # what `variational` calls the layers of a method, if not alike
KEPT = ("dense", "compressed")  # the ways to predict whose networks are kept, or soon trained again
adam = functools.partial(torch.optim.Adam, fused=True)


def units(store):
    """The dense networks, with which all begin, then one unit for every row of the tables."""
    dense = [case for case in cases() if case[1] == "dense"]
    return [
        [("train {} {} {}".format(*case), trained, case) for case in dense],
        [("{} {} {}".format(*case), measured, case) for case in cases()],
    ]


def run(store):
    """The rows of every network, the ordinary ones and each variational one before and after, and
    what the frame of an image alone tells."""
    rows = [row for case in cases() for row in measured(*case)]
    return {"rows": rows, "frame": store.value("frame", foreign.frame_row)}


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


def trained(network, method, seed):
    """An ordinary or variational network, read from its own store or trained."""
    settings = run_of(network, method)
    how = settings["training"]
    if method in ORDINARY:
        model, after_step = getattr(networks, network)(seed=seed), None
    else:
        kind = LAYERS.get(method, method)
        model = bayes.variational(trained(network, "dense", seed), kind, **how["posterior"])
        after_step = clipping(kind, how)
    units = Store(f"{method}-{network}", [how, settings.get("start")], VERSION)
    return units.network(str(seed), model, lambda: fit(model, how, seed, after_step))


def clipping(kind, how):
    """What a variational network does after each step of its training."""
    if how["clip_sigma"] is not None:
        return bayes.clip_sigma(how["clip_sigma"])
    return {"mean_field": bayes.graves_prior, "vnq": bayes.clip_vnq}.get(kind)


def fit(model, how, seed, after_step):
    """``model`` trained as ``how`` says, by the ELBO if it has a warm-up.

    In bfloat16 a convolutional network takes two thirds of the time; the parameters stay float32.
    """
    loss = training.cross_entropy
    if "warm_up" in how:
        images, _ = data.load("mnist", "train")
        loss = bayes.elbo_loss(len(images) / how["kl_weight"], how["warm_up"])

    def short(*arguments):
        with torch.autocast("cpu", torch.bfloat16, enabled=how["bfloat16"]):
            return loss(*arguments)

    model = model.to(memory_format=torch.channels_last)
    return recipe.fit(model, how, seed, optimizer=adam, loss=short, after_step=after_step)


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
        units = Store(f"tuned-{method}-{network}", settings, VERSION)
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


def measured(network, method, seed):
    """The rows of one network, one for each way to predict with it."""
    model = trained(network, method, seed)
    dense = trained(network, "dense", seed)
    settings, small, ways = run_of(network, method), {}, {"dense": (model, None)}
    if method not in ORDINARY:
        small = compressed(network, method, seed)
        ways = {"mean": (model, None), "samples": (model, SETTINGS["samples"])}
        ways |= {way: (each, None) for way, each in small.items()}
    rows = []
    for way, (each, samples) in ways.items():
        units = Store("bayesian-cards", [network, method, settings, way, samples], VERSION)
        row = units.value(str(seed), lambda m=each, s=samples: quality(m, dense, s))
        if way in small:
            row |= size(small[way], dense)
        if way == "fast":
            bits = [each.bits for each in precision(model, small["pruned"], settings)]
            rates = bayes.counted_rates(dense, small["fast"], bits)
            row |= dict(zip(("pruning_rate", "fast_rate"), rates, strict=True)) | {"bits": bits}
        row |= dict.fromkeys(foreign.KEYS)  # None where it is not measured
        if way in KEPT:
            row |= units.value(f"{seed}-foreign", lambda m=each: foreign.row(m, batch_size=100))
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
