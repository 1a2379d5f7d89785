"""Records on MNIST: networks that are trained for the length of their own files.

Chapter 25 at full scale, LeNet-300-100 and LeNet-5. Each is trained for some epochs as it is, and
then with rounded weights and a penalty on the code length, on images that are warped a little.
``python -m uecompress.reproduce rate_distortion`` also writes the networks as files.

How the settings were chosen: the penalty by a search with the first seed, in shorter trainings; it
is the largest with a validation error within ``allowed``, and where that was the last one the
search went on. The rate, its fall, the warp and the epochs are those of a pilot with one seed,
whose network was that of the last epoch.
"""

import torch
from torch.nn import functional as F

from uecompress import data, networks, quantization, training, uncertainty
from uecompress.reproduce import bayesian, codes, foreign, recipe
from uecompress.reproduce.bayesian_settings import ordinary
from uecompress.reproduce.search import beyond
from uecompress.reproduce.store import Store

VERSION = 1


def how(epochs, **more):
    """Adam at 1e-3 for three fifths of the training, then linear to a fiftieth of it."""
    return ordinary(epochs, 1e-3, hold=0.6, **more) | {"lr_end": 2e-5}


SETTINGS = {
    "data": "mnist",
    "foreign": ["notmnist", *foreign.NAMES],
    "warp": {"degrees": 5.0, "scale": 0.05, "shear": 0.05, "shift": 1.0},
    "networks": {
        "lenet300": {
            "seeds": [0, 1, 2],
            "float": ordinary(4, 1e-3) | {"lr_end": 1e-3},
            "training": how(120),
            "ramp": 0.1,
            "search": {"epochs": 60, "penalty": [1.0, 1.5, 2.0, 3.0, 4.0], "allowed": 1.7},
        },
        "lenet5": {
            "seeds": [0, 1, 2],
            "float": ordinary(2, 1e-3, bfloat16=True) | {"lr_end": 1e-3},
            "training": how(40, bfloat16=True),
            "ramp": 0.1,
            "search": {"epochs": 15, "penalty": [1.5, 2.5, 3.5, 5.0, 7.0], "allowed": 1.0},
        },
    },
}


def units(store):
    """The networks before rounding, the penalties, the searches that go on, then the rows."""
    seeds = [(n, s) for n, how in SETTINGS["networks"].items() for s in how["seeds"]]
    tries = [
        (n, how["seeds"][0], penalty, how["search"]["epochs"])
        for n, how in SETTINGS["networks"].items()
        for penalty in how["search"]["penalty"]
    ]
    return [
        [(f"begin {n} {s}", begun, (n, s)) for n, s in seeds],
        [("try {} {} {} {}".format(*case), tried, case) for case in tries],
        [(f"search {n}", search, (n,)) for n in SETTINGS["networks"]],
        [(f"row {n} {s}", row, (n, s)) for n, s in seeds],
    ]


def run(store):
    """The searches with their choices, and the rows of all networks."""
    return {
        "search": {name: search(name) for name in SETTINGS["networks"]},
        "rows": [row(n, s) for n, how in SETTINGS["networks"].items() for s in how["seeds"]],
        "frame": store.value("frame", foreign.frame_row),
    }


def artefacts():
    """The networks as they are stored: name of the file -> bytes."""
    return {
        f"{name}-{seed}.uec": bayesian.as_bytes(final(name, seed))
        for name, how in SETTINGS["networks"].items()
        for seed in how["seeds"]
    }


def warped(x, *, degrees, scale, shear, shift):
    """Images turned, scaled, sheared and shifted a little, each by random numbers of its own.

    Args:
        x: (N, 1, H, W).
        degrees: the largest turn, to either side.
        scale, shear: the largest change of a length, as a share, and of its direction.
        shift: the largest shift, in pixels.
    """

    def uniform(largest):
        return (2 * torch.rand(len(x)) - 1) * largest

    angle, zoom = torch.deg2rad(uniform(degrees)), 1 + uniform(scale)
    cos, sin, slant = angle.cos() * zoom, angle.sin() * zoom, uniform(shear)
    pixel = 2 / x.shape[-1]  # the grid goes from −1 to 1
    rows = [cos, -sin + slant * cos, uniform(shift * pixel), sin, cos + slant * sin,
            uniform(shift * pixel)]  # fmt: skip
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def fit(model, training_of, seed, loss):
    """``model`` trained on warped images."""

    def short(model, x, y, progress):
        x = warped(x, **SETTINGS["warp"])
        with torch.autocast("cpu", torch.bfloat16, enabled=training_of["bfloat16"]):
            return loss(model, x, y, progress)

    return recipe.fit(model, training_of, seed, optimizer=bayesian.adam, loss=short)


def told(name):
    """What decides the networks of one name."""
    settings = SETTINGS["networks"][name]
    return [name, SETTINGS["warp"], settings["float"], settings["training"], settings["ramp"]]


def begun(name, seed):
    """The network after its first epochs, not rounded."""
    settings = SETTINGS["networks"][name]
    model = getattr(networks, name)(seed=seed)
    store = Store("rate-begun", [name, SETTINGS["warp"], settings["float"]], VERSION)
    return store.network(
        f"{name}-{seed}", model, lambda: fit(model, settings["float"], seed, training.cross_entropy)
    )


def trained(name, seed, penalty, epochs):
    """The network as it is trained."""
    settings = SETTINGS["networks"][name]
    model = quantization.rate_distortion(begun(name, seed))
    store = Store("rate-networks", told(name), VERSION)
    training_of = settings["training"] | {"epochs": epochs}
    return store.network(
        f"{name}-{seed}-{penalty}-{epochs}",
        model,
        lambda: fit(model, training_of, seed, quantization.rate_loss(penalty, settings["ramp"])),
    )


def tried(name, seed, penalty, epochs):
    """Validation error and bytes with one penalty."""

    def compute():
        model = quantization.finish(trained(name, seed, penalty, epochs))
        x, y = data.load("mnist", "validation")
        accuracy = uncertainty.accuracy(uncertainty.predict(model, x, batch_size=100), y)
        return {"error": round(100 * (1 - accuracy), 2), "bytes": len(bayesian.as_bytes(model))}

    store = Store("rate-tried", told(name), VERSION)
    value = store.value(f"{name}-{seed}-{penalty}-{epochs}", compute)
    return {"penalty": penalty} | value


def search(name):
    """The penalties with what came out, and the largest within the allowed validation error.

    Where that is the last one the search goes on in the same ratio, up to twice as many.
    """
    settings = SETTINGS["networks"][name]
    how, seed = settings["search"], settings["seeds"][0]
    grid = [tried(name, seed, penalty, how["epochs"]) for penalty in how["penalty"]]
    while grid[-1]["error"] <= how["allowed"] and len(grid) < 2 * len(how["penalty"]):
        (larger,) = beyond([each["penalty"] for each in grid], grid[-1]["penalty"])
        grid.append(tried(name, seed, larger, how["epochs"]))
    within = [each["penalty"] for each in grid if each["error"] <= how["allowed"]]
    if not within:
        raise ValueError(f"no penalty has a validation error of {how['allowed']} % or less")
    return {"grid": grid, "choice": {"penalty": max(within)}}


def final(name, seed):
    """The network of integer codes."""
    penalty = search(name)["choice"]["penalty"]
    epochs = SETTINGS["networks"][name]["training"]["epochs"]
    return quantization.finish(trained(name, seed, penalty, epochs))


def row(name, seed):
    """The row of a network with its foreign sets."""
    penalty = search(name)["choice"]["penalty"]

    def make():
        return final(name, seed), getattr(networks, name)(seed=seed)

    found = codes.measured(f"rate_{name}", seed, make, [told(name), penalty])
    return found | {"network": name, "penalty": penalty}
