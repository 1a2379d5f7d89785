"""What pruning does to doubt: the questions of chapters 18 to 22, each beside its control."""

import functools
import tempfile
from pathlib import Path

import torch

from uecompress import data, networks, pruning, storage, uncertainty
from uecompress.pruning import scores
from uecompress.reproduce import bayesian, pruning_rows, pruning_tickets
from uecompress.reproduce import pruning_training as common
from uecompress.reproduce.pruning_settings import SETTINGS
from uecompress.reproduce.store import Store

QUESTIONS, NETWORK = SETTINGS["questions"], "lenet300"
# Ways to cut a trained network: "ink" looks at the pixels alone, in "noise" half of the images are.
UNPRUNED = ("none", "magnitude", "wanda", "ink", "noise")


def ink():
    """The ink of each pixel in the training split, (784,)."""
    return data.load("mnist", "train")[0].double().sum(0).flatten()


def variant(kind, of, seed):
    """The row of a network with another mask than a method's, trained as that method's are.

    Args:
        kind: "shuffled", the method's mask at random places of each layer; "ink", the same, but
            none at as many least inked pixels as the method has cut off; "noise", the method with
            a batch of which half is noise.
        of: the method.
        seed: of the network.
    """
    density, choice = QUESTIONS["density"], common.choice(of)
    decided = [kind, common.described(of)]

    def model():
        new = masked(kind, of, seed, density, choice)
        store = Store("pruning-variants", decided, common.VERSION)
        length = common.METHODS[of]["training"]["epochs"]
        return store.network(
            f"{kind}-{of}-{density}-{seed}",
            new,
            lambda: common.finished(of, new, seed, density, choice, length),
        )

    found = pruning_rows.measured(
        f"{of}_{kind}", seed, density, lambda: (model(), common.untrained(NETWORK, seed)), decided
    )
    return found | {"network": NETWORK, "epochs": pruning_rows.epochs(of)}


def masked(kind, of, seed, density, choice):
    """The untrained network of a variant."""
    new = common.untrained(NETWORK, seed)
    if kind == "noise":
        seen = common.batch(seed, SETTINGS["batch"], noise=True)
        return pruning.prune(new, getattr(scores, of)(new, seen), density=density)
    original = common.prepared(of, seed, density, choice)
    shares, order = pruning.densities(original), scores.random(new, seed=seed)
    if kind == "ink":
        first = next(iter(shares))
        cut = int((original.get_submodule(first).weight == 0).all(0).sum())
        order[first][:, ink().argsort(stable=True)[:cut]] = -1.0
    return pruning.prune(new, order, density=shares)


def unpruned(base, way, seed):
    """The row of a trained network that is cut and not trained again (the pilot of the notes).

    Args:
        base: "dense" or "decay".
        way: of :data:`UNPRUNED`.
        seed: of the network and the batch.
    """
    settings = QUESTIONS["unpruned"]

    def make():
        model = bayesian.trained(NETWORK, base, seed)
        return cut(model, way, seed, **settings), common.untrained(NETWORK, seed)

    decided = [base, way, SETTINGS[base][NETWORK], settings]
    found = pruning_rows.measured(f"{base}_{way}", seed, settings["share"], make, decided)
    return found | {"method": way, "base": base, "network": NETWORK}


@torch.no_grad()
def cut(model, way, seed, share, images):
    """A share of the weights of all layers but the last gone, of each output the same."""
    model = networks.plain(model)
    if way == "none":
        return model
    *names, _ = networks.plain_layers(model)
    if way == "ink":  # whole columns of the first layer
        weight = model.get_submodule(names[0]).weight
        weight[:, ink().argsort(stable=True)[: round((1 - share) * weight.shape[1])]] = 0
        return model
    seen = common.batch(seed, images, noise=way == "noise")
    score = scores.magnitude(model) if way == "magnitude" else pruning.wanda(model, seen)
    return pruning.prune_rows(model, {name: score[name] for name in names}, density=share)


def members(mask):
    """The row of an ensemble: all members with one seed's mask, or each with its own.

    Args:
        mask: a seed; "own"; or "dense", without masks.
    """
    seeds, rounds = SETTINGS["imp"]["seeds"], QUESTIONS["mask_round"]

    def make():
        if mask in ("own", "dense"):
            place = rounds if mask == "own" else 0
            chains = [pruning_tickets.chain("reset", seed, place + 1) for seed in seeds]
            found = [chain[-1][0] for chain in chains]
        else:
            found = [pruning_tickets.on(mask, seed, rounds) for seed in seeds]
        whole = networks.Ensemble([common.untrained(NETWORK, seed) for seed in seeds])
        return networks.Ensemble(found), whole

    decided = [pruning_tickets.told(pruning_tickets.how()), rounds, seeds]
    row = pruning_rows.measured(f"members_{mask}", 0, rounds, make, decided)
    store = Store("pruning-shared", decided, common.VERSION)
    size = store.value(f"bytes-{mask}", lambda: shared_bytes(make()[0].members))
    return row | {"method": "members", "mask": mask, "shared_bytes": size}


def shared_bytes(models):
    """The length of a file that holds the places of the weights once, or None if they differ."""
    layers = [dict(networks.linear_and_conv_layers(model)) for model in models]
    state = {}
    for name in layers[0]:
        weights = torch.stack([each[name].weight.detach() for each in layers])
        alive = weights != 0
        if (alive != alive[0]).double().mean() > 1e-4:  # a first weight may be zero by chance
            return None
        places = alive.any(0)
        state[f"{name}.places"], state[f"{name}.values"] = places, weights[:, places]
        state[f"{name}.bias"] = torch.stack([each[name].bias.detach() for each in layers])
    with tempfile.TemporaryDirectory() as folder:
        return storage.save(state, Path(folder) / "state")


def exemplars():
    """The test images that networks see differently, beside what two dense populations do.

    Returns:
        A dict: "pruned" and "control", each with the places of such images in the test split; of
        the former their labels, the modal labels that both populations give, and the first images,
        28 x 28 bytes each, in hexadecimal digits.
    """
    seeds, density = SETTINGS["methods"]["magnitude"]["seeds"], QUESTIONS["exemplars"]
    ordinary = [SETTINGS[kind][NETWORK] for kind in ("dense", "decay")]
    decided = [common.described("magnitude"), seeds, density, QUESTIONS["shown"], ordinary]

    def compute():
        x, y = data.load("mnist", "test")
        grey, ask = (255 * x).round().byte(), functools.partial(uncertainty.predict, x=x)
        populations = {
            kind: torch.cat([ask(bayesian.trained(NETWORK, kind, seed)) for seed in seeds])
            for kind in ("decay", "dense")
        }
        pruned = torch.cat([ask(common.trained("magnitude", seed, density)) for seed in seeds])
        found = pruning.exemplars(populations["decay"], pruned).nonzero().flatten()
        control = pruning.exemplars(populations["decay"], populations["dense"])
        return {
            "pruned": found.tolist(),
            "control": control.nonzero().flatten().tolist(),
            "labels": y[found].tolist(),
            "images": [
                image.numpy().tobytes().hex() for image in grey[found][: QUESTIONS["shown"]]
            ],
            "dense_says": populations["decay"][:, found].argmax(-1).mode(0).values.tolist(),
            "pruned_says": pruned[:, found].argmax(-1).mode(0).values.tolist(),
        }

    return Store("pruning-exemplars", decided, common.VERSION).value("exemplars", compute)
