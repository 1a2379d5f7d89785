"""Searches on the validation split, whose whole grids are kept."""

from uecompress import data, networks, uncertainty

ENDLESS = ("lr", "weight_decay", "penalty", "temperature")  # which go on where an end is the best


def searched(store, name, grid, tried, density=1.0):
    """A search of one knob after the other, each with the best of those before, a penalty first.

    The best has the lowest NLL on the validation split, of those that are as sparse as asked for;
    where none is, it is the sparsest. Where the last value of a knob without bounds is the best,
    the search goes on beyond it in the same ratio, up to twice as many values.

    Args:
        store, name: where it is kept, and how it is called.
        grid: the values of each knob; the search begins with those in the middle.
        tried: a function knobs -> trained network.
        density: the share of weights that may be left.

    Returns:
        A dict: "grid", the knobs with what came out, and "choice", the best knobs.
    """

    def compute():
        rows, chosen = [], {knob: values[len(values) // 2] for knob, values in grid.items()}
        for knob in sorted(grid, key=lambda name: name != "penalty"):  # it makes the sparsity
            values = list(grid[knob])
            for value in values:  # which grow
                knobs = chosen | {knob: value}
                if not any(row["knobs"] == knobs for row in rows):
                    one = "-".join(map(str, [name, *knobs.values()]))
                    found = store.value(one, lambda k=knobs: validation(tried(k)))
                    rows.append({"knobs": knobs} | found)
                best = min(rows, key=lambda row: (max(row["density"], 1.001 * density), row["nll"]))
                last = value == values[-1] and len(values) < 2 * len(grid[knob])
                if knob in ENDLESS and last:
                    values += beyond(values, best["knobs"][knob])
            chosen = best["knobs"]
        return {"grid": rows, "choice": chosen}

    return store.value(f"search-{name}", compute)


def beyond(values, best):
    """The value behind the largest or the smallest, if that is the best; a list of one or none."""
    ordered = sorted(values)
    if len(ordered) < 2:
        return []
    for end, before in (ordered[-1], ordered[-2]), (ordered[0], ordered[1]):
        if best == end != 0:
            return [float(f"{end * end / before:.2g}")]
    return []


def validation(model):
    """NLL and error on the validation split, and the share of weights that are left.

    The share is 1 where no layer is torch's own, as in hashed networks: nothing is cut there.
    """
    x, y = data.load("mnist", "validation")
    log_probs = uncertainty.predict(model, x, batch_size=100)
    sizes = [layer.weight.numel() for _, layer in networks.linear_and_conv_layers(model)]
    return {
        "nll": round(uncertainty.nll(log_probs, y), 6),
        "error": round(100 * (1 - uncertainty.accuracy(log_probs, y)), 2),
        "density": round(networks.nonzero_weights(model) / sum(sizes), 6) if sizes else 1.0,
    }
