"""Networks of half of the units, trained from new weights: accuracy comes back, and doubt?"""

from uecompress import data, networks, pruning
from uecompress.pruning import scores
from uecompress.reproduce import bayesian, pruning_rows
from uecompress.reproduce import pruning_training as common
from uecompress.reproduce.pruning_settings import SETTINGS
from uecompress.reproduce.store import Store

DENSITY = SETTINGS["methods"]["neurons"]["densities"][0]


def row(way, seed):
    """The row of a network of half of the units with new weights: does doubt come back too?

    Args:
        way: "e", as many epochs as the dense network, and "b", as much arithmetic, both in the
            widths of the pruned network; "found", widths that the units' saliencies decide
            together; "uniform", widths that are the same share everywhere, and as many parameters.
        seed: of the pruned network, and the new weights are those of this seed plus 100.
    """
    how = SETTINGS["scratch"]["training"]
    base = common.described("neurons") if way in ("e", "b") else [SETTINGS["batch"], DENSITY]
    decided = [way, how, SETTINGS["decay"]["lenet300"], base]

    def make():
        dense, length = common.untrained("lenet300", seed), how["epochs"]
        pruned = way in ("e", "b")
        small = common.trained("neurons", seed, DENSITY) if pruned else found(seed)
        if way == "uniform":
            small = pruning.uniform_width(dense, networks.parameter_count(small))
        if way == "b":
            x, _ = data.load("mnist", "validation")
            new, length = pruning.scratch_b(small, length, dense=dense, x=x[:1], seed=100 + seed)
        else:
            new, length = pruning.scratch_e(small, length, seed=100 + seed)
        store = Store("pruning-scratch", decided, common.VERSION)
        longer = how | {"epochs": length}
        model = store.network(f"{way}-{seed}", new, lambda: common.fit(new, longer, seed))
        return model, dense

    measured = pruning_rows.measured(f"scratch_{way}", seed, DENSITY, make, decided)
    return measured | {"network": "lenet300"}


def found(seed):
    """An untrained network in the widths that the units' saliencies in the decayed one decide.

    Its pixels are all there, other than in a network from which silent ones are removed, so that
    it differs from one of uniform widths in nothing but widths.
    """
    decayed = bayesian.trained("lenet300", "decay", seed)
    saliency = scores.snip(decayed, common.batch(seed, SETTINGS["batch"]))
    keep = pruning.top_units(pruning.unit_scores(decayed, saliency), DENSITY, "global")
    return networks.shrink(pruning.silence_units(common.untrained("lenet300", seed), keep))
