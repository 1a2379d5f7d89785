"""One row for every network of the book: its size, its cost, its answers, and its doubts."""

import os

import pandas as pd
import torch

from uecompress.data import noise, roll, rotate
from uecompress.networks import check_inputs, parameter_count
from uecompress.uncertainty.calibration import ece, scale, temperature
from uecompress.uncertainty.cost import latency as quartiles
from uecompress.uncertainty.cost import multiply_adds, nonzero_count, peak_memory
from uecompress.uncertainty.metrics import accuracy, brier, entropy, nll
from uecompress.uncertainty.ood import aupr, auroc, fpr95
from uecompress.uncertainty.predict import predict

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
    "entropy": ("entropy (nats)", "{:.3f}"),
    "entropy_ood": ("entropy, foreign (nats)", "{:.3f}"),
    "auroc": ("AUROC", "{:.4f}"),
    "aupr": ("AUPR", "{:.4f}"),
    "fpr95": ("FPR95", "{:.2%}"),
    "nll_shifted": ("NLL, shifted (nats)", "{:.4f}"),
}


def scorecard(
    model,
    data,
    ood,
    path=None,
    *,
    validation=None,
    shifted=None,
    uncompressed=None,
    samples=None,
    latency=False,
    name="",
    seed=0,
    batch_size=1000,
):
    """All that the book says about one network: a dict that has the same keys for every network.

    What is not measured, because the argument for it is missing, is None. Only the latency depends
    on the machine, so it is left out unless it is asked for. Neither the model nor the global
    random state changes. The keys, in this order:

    - name; parameters (of the uncompressed network, without buffers), nonzero
      (:func:`nonzero_count`) and parameter_ratio = parameters / nonzero;
    - bytes and byte_ratio = 4 · parameters / bytes;
    - multiply_adds per example (:func:`multiply_adds` of the first 100), peak_memory of one example
      (:func:`peak_memory`), latency_1 and latency_256 with the quartiles _low and _high
      (:func:`latency`);
    - accuracy, nll, temperature, nll_scaled (at that temperature), brier, ece;
    - entropy and entropy_ood (means), and auroc, aupr, fpr95 of the entropy as a score;
    - nll_shifted, the mean over the shifts.

    Args:
        model: a network or an ensemble; where there is a file, the one that it holds.
        data: test inputs (N, ...) and labels (N,).
        ood: foreign inputs (K, ...).
        path: the file of the network. Its length is the size that counts.
        validation: inputs and labels to which the temperature is fitted, not those of the test.
        shifted: a dict of shifted test inputs, each with the labels of ``data``; by default
            :func:`default_shifts` of the test inputs, which have to be images then.
        uncompressed: the network before compression, with all its members, for the two ratios; the
            model itself if not given.
        samples: passes with random weights; the file is then the one that holds the posterior.
        latency: whether to measure it, with one thread.
        name: for tables and figures.
        seed: as in :func:`predict`.
        batch_size: as in :func:`predict`; it changes nothing but rounding and which samples are
            drawn.

    Raises:
        FileNotFoundError: there is no file at ``path``.
        TypeError, ValueError: data that are empty, not finite or do not fit the network, a path to
            something that is no file, ``samples`` for a network without random weights.
    """

    def ask(what, x):
        try:
            check_inputs(model, x)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{what}: {error}") from None
        return predict(model, x, samples=samples, seed=seed, batch_size=batch_size)

    x, y = pair("data", data)
    row = dict.fromkeys(HEADS) | {"name": name} | size(model, uncompressed, path)
    row |= cost(model, x, samples, latency)
    test = ask("data", x)
    row |= {f.__name__: f(test, y) for f in (accuracy, nll, brier, ece)}
    if validation is not None:
        x_validation, y_validation = pair("validation", validation)
        row["temperature"] = temperature(ask("validation", x_validation), y_validation)
        row["nll_scaled"] = nll(scale(test, row["temperature"]), y)
    inside, outside = entropy(test), entropy(ask("ood", ood))
    row |= {"entropy": inside.mean().item(), "entropy_ood": outside.mean().item()}
    row |= {f.__name__: f(inside, outside) for f in (auroc, aupr, fpr95)}
    versions = default_shifts(x, seed) if shifted is None else shifted
    if versions:
        named = {f"shifted[{key!r}]": version for key, version in versions.items()}
        costs = [nll(ask(what, pair(what, (z, y))[0]), y) for what, z in named.items()]
        row["nll_shifted"] = sum(costs) / len(costs)
    return row


def default_shifts(x, seed=0):
    """Test images (N, C, H, W) turned by 15°, rolled by 2 pixels, and with noise of deviation 0.1.

    They are mild, so that a network still knows something and its NLL is not all one failure. For
    the MNIST-C-style set give ``shifted={name: data.corrupt(x, name) for name in CORRUPTIONS}``.
    """
    if x.ndim != 4:
        raise ValueError(
            "the inputs are no images (N, C, H, W): say which shifted= versions to use"
        )
    return {
        "rotated 15°": rotate(x, 15),
        "rolled 2 pixels": roll(x, 2),
        "noise 0.1": noise(x, 0.1, seed),
    }


def size(model, uncompressed, path):
    """The part of the row that counts numbers and bytes."""
    parameters = parameter_count(model if uncompressed is None else uncompressed)
    nonzero = nonzero_count(model)
    ratio = parameters / nonzero if nonzero else None
    row = {"parameters": parameters, "nonzero": nonzero, "parameter_ratio": ratio}
    if path is None:
        return row
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file of the network at {path!r}")
    if not os.path.isfile(path) or os.path.getsize(path) == 0:
        raise ValueError(f"{path!r} is not the file of a network: it is empty or a folder")
    written = os.path.getsize(path)
    return row | {"bytes": written, "byte_ratio": 4 * parameters / written}


def cost(model, x, samples, latency):
    """The part of the row that counts operations, memory and, if asked for, time."""
    row = {
        "multiply_adds": multiply_adds(model, x[:100], samples=samples),
        "peak_memory": peak_memory(model, x[:1], samples=samples),
    }
    for batch in (1, 256) if latency else ():
        keys = (f"latency_{batch}_low", f"latency_{batch}", f"latency_{batch}_high")
        row |= zip(keys, quartiles(model, x, batch_size=batch, samples=samples), strict=True)
    return row


def pair(what, data):
    """Inputs and labels, checked for their number."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(f"{what} must be a pair of inputs and labels, not {type(data).__name__}")
    x, y = data
    if len(x) != len(y):
        raise ValueError(f"{what}: {len(x)} inputs but {len(y)} labels")
    return x, torch.as_tensor(y)


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
    unknown = set(quantities) - HEADS.keys()
    if unknown:
        raise ValueError(f"unknown quantities {sorted(unknown)}; there are {', '.join(HEADS)}")
    measured = [key for key in HEADS if any(row[key] is not None for row in rows)]
    columns = {
        HEADS[key][0]: ["–" if row[key] is None else HEADS[key][1].format(row[key]) for row in rows]
        for key in quantities or measured
        if key != "name"
    }
    return pd.DataFrame(columns, index=pd.Index([row["name"] for row in rows], name="network"))
