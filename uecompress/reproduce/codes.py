"""Codes on MNIST: hashing, rounding with and without training, and what they make of doubt.

Chapters 23 to 27 at full scale, on LeNet-300-100, and ternary weights on LeNet-5 too. Methods begin
with new weights or with the network of tuned weight decay, which is the reference of all that is
rounded; hashed networks have dense ones of as many numbers beside them.

How the settings were chosen: the rate, the weight decay and a method's own knob by the validation
NLL of the first seed, one after the other, of five values each and more where the last was the
best, in shorter trainings; where a method takes over the choice of another, the settings name it.
The grids are among the results, as ``search``. Epochs, ratios and bits were chosen beforehand.
"""

import functools

from uecompress import data, uncertainty
from uecompress.reproduce import bayesian, foreign
from uecompress.reproduce import codes_rounding as rounding
from uecompress.reproduce import codes_training as common
from uecompress.reproduce.codes_settings import SETTINGS
from uecompress.reproduce.store import Store

VERSION = common.VERSION
METHODS = SETTINGS["methods"]


def units(store):
    """What can be computed independently, the searches before the rows."""
    seeds = METHODS["float"]["seeds"]
    own = [(name,) for name, how in METHODS.items() if "like" not in how["search"]]
    return [
        _named("base", bayesian.trained, bases()),
        _named("search", common.search, own) + _named("rounded", rounded, rounded_cases()),
        _named("row", row, cases())
        + _named("base row", base_row, [(seed,) for seed in seeds])
        + _named("clipping", rounding.clipping, [(seed,) for seed in seeds]),
        _named("posterior", rounding.posterior, [(s,) for s in SETTINGS["variances"]["seeds"]]),
        _named("variances", variances, variance_cases()),
    ]


def run(store):
    """All rows, the grids of the searches, and what clipping does."""
    seeds = METHODS["float"]["seeds"]
    own = [name for name, how in METHODS.items() if "like" not in how["search"]]
    return {
        "search": {name: common.search(name) for name in own},
        "rows": [base_row(seed) for seed in seeds] + [row(*case) for case in cases()],
        "rounded": [rounded(*case) for case in rounded_cases()],
        "clipping": [row for seed in seeds for row in rounding.clipping(seed)],
        "variances": [variances(*case) for case in variance_cases()],
        "frame": store.value("frame", foreign.frame_row),
    }


def bases():
    """(network, kind, seed) of the ordinary networks that others begin with."""
    found = {("lenet300", "decay", seed) for seed in METHODS["float"]["seeds"]}
    seeds = [*SETTINGS["variances"]["seeds"], *METHODS["svd_16"]["seeds"]]
    found |= {("lenet300", "dense", seed) for seed in seeds}
    found |= {("lenet5", "dense", seed) for seed in METHODS["lenet5_bitnet"]["seeds"]}
    return sorted(found)


def cases():
    """(method, seed) of all methods that train."""
    return [(name, seed) for name, how in METHODS.items() for seed in how["seeds"]]


def rounded_cases():
    """(way, seed) of the networks that are rounded and not trained again."""
    return [(way, seed) for way in SETTINGS["rounded"] for seed in METHODS["float"]["seeds"]]


def variance_cases():
    """(grid, bits, seed) of the posteriors with variances on a grid, and as they are."""
    how = SETTINGS["variances"]
    grids = [(None, None), *((grid, bits) for grid in how["grids"] for bits in how["bits"])]
    return [(*grid, seed) for grid in grids for seed in how["seeds"]]


def measured(name, seed, make, told, samples=None):
    """The card of a network, with all foreign sets.

    Args:
        name, seed: of the row.
        make: a function without arguments that gives the network and the one before compression.
        told: what decides it.
        samples: passes with random weights or units.
    """

    def compute():
        model, dense = make()
        return bayesian.quality(model, dense, samples) | doubt(model, samples)

    store = Store("codes-cards", [told, samples, SETTINGS["foreign"]], VERSION)
    return {"method": name, "seed": seed} | store.value(f"{name}-{seed}", compute)


def doubt(model, samples):
    """What foreign sets but notMNIST say, by entropy and by mutual information."""
    result = foreign.row(model, batch_size=100, samples=samples)
    predict = functools.partial(uncertainty.predict, model, samples=samples, batch_size=100)
    log_probs = predict(data.load("mnist", "test")[0])
    if len(log_probs) == 1:  # one network agrees with itself
        return result
    inside = uncertainty.mutual_information(log_probs)
    for name in foreign.NAMES:
        outside = uncertainty.mutual_information(predict(foreign.images(name)))
        auroc = uncertainty.auroc(inside, outside)
        result[f"auroc_mutual_information_{name}"] = round(auroc, 6)
    return result


def row(method, seed):
    """The row of a method that trains."""
    settings = METHODS[method]
    samples = SETTINGS["samples"] if settings["make"] == "hashed_dropout" else None

    def make():
        return common.final(method, seed), common.untrained(settings["network"], seed)

    told = common.described(method, common.choice(method))
    return measured(method, seed, make, told, samples) | {"network": settings["network"]}


def base_row(seed):
    """The row of the network with tuned weight decay."""

    def make():
        model = bayesian.trained("lenet300", "decay", seed)
        return model, common.untrained("lenet300", seed)

    found = measured("decay", seed, make, SETTINGS["decay"]["lenet300"])
    return found | {"network": "lenet300"}


def rounded(way, seed):
    """The row of the network with tuned weight decay, rounded."""

    def make():
        model = bayesian.trained("lenet300", "decay", seed)
        small = rounding.rounded(model, seed, *SETTINGS["rounded"][way])
        return small, common.untrained("lenet300", seed)

    told = [SETTINGS["rounded"][way], SETTINGS["batch"], SETTINGS["decay"]["lenet300"]]
    return measured(way, seed, make, told) | {"network": "lenet300"}


def variances(grid, bits, seed):
    """The row of a posterior whose variances take few values, by weight samples."""

    def make():
        return rounding.posterior(seed, grid, bits), bayesian.trained("lenet300", "dense", seed)

    told = [bayesian.run_of("lenet300", "graves"), grid, bits]
    found = measured(f"variances_{grid}_{bits}", seed, make, told, SETTINGS["samples"])
    return found | {"network": "lenet300", "grid": grid, "bits": bits}


def artefacts():
    """Small networks of the first seed as they are stored: name of the file -> bytes."""
    kept = ("hashed_64", "structured_32", "lsq_2", "bitnet", "lenet5_bitnet")
    files = {}
    for method in kept:
        seed = METHODS[method]["seeds"][0]
        files[f"{method}-{seed}.uec"] = bayesian.as_bytes(common.final(method, seed))
    return files


def _named(what, function, arguments):
    """One unit for each case."""
    return [(" ".join(map(str, [what, *case])), function, case) for case in arguments]
