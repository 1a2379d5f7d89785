"""Networks of half of the units, trained from new weights: accuracy comes back, and doubt?"""

from uecompress import data, networks, pruning
from uecompress.reproduce import pruning_rows
from uecompress.reproduce import pruning_training as common
from uecompress.reproduce.pruning_settings import SETTINGS
from uecompress.reproduce.store import Store


def row(way, seed):
    """The row of a network of half of the units with new weights: does doubt come back too?

    Args:
        way: "e", as many epochs as the dense network; "b", as much arithmetic; "uniform", widths
            that are the same share everywhere, and as many parameters.
        seed: of the pruned network, and the new weights are those of this seed plus 100.
    """
    settings = SETTINGS["scratch"]
    density = SETTINGS["methods"]["neurons"]["densities"][0]
    how, decided = settings["training"], [way, settings["training"], common.described("neurons")]

    def make():
        small, dense = common.trained("neurons", seed, density), common.untrained("lenet300", seed)
        length = how["epochs"]
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

    found = pruning_rows.measured(f"scratch_{way}", seed, density, make, decided)
    return found | {"network": "lenet300"}
