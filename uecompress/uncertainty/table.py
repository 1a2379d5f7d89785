"""How the rows of scorecards are written: what each quantity is called, and as one table."""

import pandas as pd

HEADS = {  # of every quantity: what a table or an axis calls it, and how a table writes it
    "name": ("network", "{}"),
    "parameters": ("parameters", "{:,}"),
    "nonzero": ("non-zero numbers", "{:,}"),
    "parameter_ratio": ("parameters / non-zero", "{:.1f}×"),
    "bytes": ("bytes", "{:,}"),
    "byte_ratio": ("4 · parameters / bytes", "{:.1f}×"),
    "multiply_adds": ("multiply-adds", "{:,.0f}"),
    "peak_memory": ("peak memory (bytes)", "{:,}"),
    "latency_1_low": ("1 image, lower quartile (ms)", "{:.2f}"),
    "latency_1": ("1 image (ms)", "{:.2f}"),
    "latency_1_high": ("1 image, upper quartile (ms)", "{:.2f}"),
    "latency_256_low": ("256 images, lower quartile (ms)", "{:.2f}"),
    "latency_256": ("256 images (ms)", "{:.2f}"),
    "latency_256_high": ("256 images, upper quartile (ms)", "{:.2f}"),
    "accuracy": ("accuracy", "{:.2%}"),
    "nll": ("NLL (nats)", "{:.4f}"),
    "temperature": ("temperature", "{:.2f}"),
    "nll_scaled": ("NLL at temperature (nats)", "{:.4f}"),
    "brier": ("Brier score", "{:.4f}"),
    "ece": ("ECE", "{:.2%}"),
    "coverage": ("coverage of sets", "{:.2%}"),
    "set_size": ("classes in a set", "{:.2f}"),
    "entropy": ("entropy (nats)", "{:.3f}"),
    "entropy_ood": ("entropy, foreign (nats)", "{:.3f}"),
    "auroc": ("AUROC", "{:.4f}"),
    "aupr": ("AUPR", "{:.4f}"),
    "fpr95": ("FPR95", "{:.2%}"),
    "nll_shifted": ("NLL, shifted (nats)", "{:.4f}"),
}
_FOREIGN = {  # of the foreign set of each name
    "entropy": ("entropy, {} (nats)", "{:.3f}"),
    "auroc": ("AUROC, {}", "{:.4f}"),
    "aupr": ("AUPR, {}", "{:.4f}"),
    "fpr95": ("FPR95, {}", "{:.2%}"),
}


def head(quantity):
    """What a table or an axis calls a quantity of a row, and how a table writes it.

    Args:
        quantity: a key of :data:`HEADS`, or one of those of a named foreign set, as in
            ``auroc_omniglot``.

    Returns:
        A title and a format string.

    Raises:
        ValueError: there is no such quantity.
    """
    if not _is_quantity(quantity):
        raise ValueError(f"unknown quantity {quantity!r}; there are {', '.join(HEADS)}")
    kind, _, name = quantity.partition("_")
    title, form = HEADS.get(quantity) or _FOREIGN[kind]
    return title.format(name), form


def scorecard_table(rows, quantities=None):
    """Rows of :func:`scorecard` as one would print them: a table of strings with units.

    Args:
        rows: a list of rows; the table has one line for each.
        quantities: which columns to show, keys of a row; by default all that any row has measured.

    Returns:
        A pandas DataFrame whose index is the names; "–" stands for what was not measured.

    Raises:
        ValueError: no rows, or an unknown quantity.
    """
    rows, quantities = list(rows), list(quantities or ())
    if not rows:
        raise ValueError("the table needs at least one row")
    there = dict.fromkeys(key for row in rows for key in row)  # in their order
    unknown = sorted(set(quantities) - HEADS.keys() - there.keys())
    if unknown:
        raise ValueError(f"unknown quantities {unknown}; there are {', '.join(HEADS)}")
    columns = {}
    for key in quantities or filter(_is_quantity, there):
        title, form = head(key)
        values = [row.get(key) for row in rows]
        if key != "name" and (quantities or any(value is not None for value in values)):
            columns[title] = ["–" if value is None else form.format(value) for value in values]
    return pd.DataFrame(columns, index=pd.Index([row["name"] for row in rows], name="network"))


def _is_quantity(key):
    kind, _, name = key.partition("_")
    return key in HEADS or (kind in _FOREIGN and bool(name))
