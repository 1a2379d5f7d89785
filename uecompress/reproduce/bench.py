"""The two fixed rows of every table: LeNet-300-100 on digits with tuned decay, cut and clustered.

How the settings were chosen: rate and decay by the validation NLL, share and clusters as the
shortest file whose validation NLL is at most 0.05 nats above that of the dense network, all with
the first seed; the whole search is kept. Epochs and batch size were not searched.
"""

from uecompress import bench, data, networks, storage, uncertainty

VERSION = 1
SETTINGS = {
    "data": "digits",
    "foreign": ["glyphs", {"name": "digits", "degrees": 90}],
    "network": "lenet300",
    "seeds": list(bench.SEEDS),
    "dense": bench.SETTINGS,
    "baseline": {"share": bench.SHARE, "epochs": bench.EPOCHS, "clusters": bench.CLUSTERS},
    "search": {
        "lr": [5e-4, 1e-3, 2e-3, 4e-3, 8e-3],
        "weight_decay": [0.0, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3],
        "share": [0.9, 0.95, 0.96, 0.97, 0.98, 0.99],
        "clusters": [2, 3, 4, 6, 8, 16],
        "allowed_nll": 0.05,  # what the baseline may lose, in nats on the validation images
    },
}


def units(store):
    """The searches and the rows, all independent of one another."""
    searches = {"search-dense": search_dense, "search-baseline": search_baseline}
    found = [(name, store.value, (name, search)) for name, search in searches.items()]
    return [found + [(f"rows-{seed}", rows, (store, seed)) for seed in SETTINGS["seeds"]]]


def run(store):
    """The searches, and the rows that they lead to."""
    return {
        "search_dense": store.value("search-dense", search_dense),
        "search_baseline": store.value("search-baseline", search_baseline),
        "rows": [row for seed in SETTINGS["seeds"] for row in rows(store, seed)],
    }


def rows(store, seed):
    """The two rows of one seed."""
    found = store.value(f"rows-{seed}", lambda: bench.measure([seed]))
    rounded = [{k: round(v, 6) if isinstance(v, float) else v for k, v in r.items()} for r in found]
    return [{"seed": seed, **row} for row in rounded]


def search_dense():
    """The validation NLL of every rate and every decay, first seed."""
    grid, seed = SETTINGS["search"], SETTINGS["seeds"][0]
    return [
        {"lr": lr, "weight_decay": decay, "nll": round(nll(dense(seed, lr, decay)), 4)}
        for lr in grid["lr"]
        for decay in grid["weight_decay"]
    ]


def dense(seed, lr, weight_decay):
    """A network of the bench with another rate and decay."""
    how = bench.SETTINGS | {"lr": lr, "weight_decay": weight_decay}
    return bench.fit(networks.lenet300(seed=seed), seed, **how)


def search_baseline():
    """Validation NLL and bytes of every share and number of clusters, first seed.

    Chosen is the shortest file whose NLL is at most ``allowed_nll`` above that of the dense one.
    """
    grid, seed = SETTINGS["search"], SETTINGS["seeds"][0]
    network = bench.dense(seed)
    found = [{"share": 0.0, "clusters": None, "nll": round(nll(network), 4), "bytes": None}]
    for share in grid["share"]:
        for clusters in grid["clusters"]:
            small = bench.baseline(network, seed, share, clusters)
            row = {"share": share, "clusters": clusters, "nll": round(nll(small), 4)}
            found.append(row | {"bytes": storage.size(small)})
    return found


def nll(network):
    """On the validation images."""
    x, y = data.load("digits", "validation")
    return uncertainty.nll(uncertainty.predict(network, x), y)
