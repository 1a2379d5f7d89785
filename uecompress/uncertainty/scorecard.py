"""One row for every network of the book: its size, its cost, its answers, and its doubts."""

import os

import torch

from uecompress import checks, storage
from uecompress.data import noise, roll, rotate
from uecompress.networks import check_inputs, parameter_count
from uecompress.storage.state import collect
from uecompress.uncertainty.calibration import ece, scale, temperature
from uecompress.uncertainty.conformal import (
    conformal_quantile,
    coverage,
    mean_set_size,
    prediction_sets,
)
from uecompress.uncertainty.cost import latency as quartiles
from uecompress.uncertainty.cost import multiply_adds, peak_memory
from uecompress.uncertainty.metrics import accuracy, brier, entropy, nll, real_tensor
from uecompress.uncertainty.nonzero import nonzero_count
from uecompress.uncertainty.ood import aupr, auroc, fpr95
from uecompress.uncertainty.predict import predict

_COUNTED = 100  # examples that go through the network at once while multiply-adds are counted


def scorecard(
    model,
    data,
    ood,
    path=None,
    *,
    validation=None,
    conformal=None,
    shifted=None,
    uncompressed=None,
    samples=None,
    latency=False,
    name="",
    seed=0,
    batch_size=1000,
):
    """All that the book says about one network: a dict with the same keys for every network.

    What is not measured, because the argument for it is missing, is None. Only the latency depends
    on the machine, so it is left out unless it is asked for. Neither the model nor the global
    random state changes. The keys, in this order:

    - name; parameters (of the uncompressed network, without buffers), nonzero
      (:func:`nonzero_count`) and parameter_ratio = parameters / nonzero;
    - bytes and byte_ratio = 4 · parameters / bytes; both ratios are None where a network keeps
      everything in buffers and has no parameters;
    - multiply_adds per example (:func:`multiply_adds` of the test data, in batches of 100, a last
      one that is not full left out), peak_memory of the first example (:func:`peak_memory`),
      latency_1 and latency_256 with the quartiles _low and _high (:func:`latency`);
    - accuracy, nll, temperature, nll_scaled (at that temperature), brier, ece;
    - coverage and set_size, the mean number of classes, of split-conformal sets
      (:func:`prediction_sets`): these two keys are there only with ``conformal``;
    - entropy and entropy_ood (means), and auroc, aupr, fpr95 of the entropy as a score; with named
      foreign sets the last four keys are instead, for each of them, entropy_<name>, auroc_<name>,
      aupr_<name>, fpr95_<name>;
    - nll_shifted, the mean over the shifts.

    Args:
        model: a network or an ensemble; where there is a file, the one that it holds.
        data: test inputs (N, ...) and labels (N,).
        ood: foreign inputs (K, ...), or a dict of several such sets by name.
        path: the file of the network, from :func:`uecompress.storage.save`, of this very model or
            of its state dict. Its length is the size that counts.
        validation: inputs and labels to which the temperature and the sets are fitted, not those of
            the test.
        conformal: the share of conformal sets that may miss the label; needs ``validation``.
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
            something that is no file, or to the file of another network, ``samples`` for a network
            without random weights, ``conformal`` without ``validation``.
        DamagedFile: a file that :func:`uecompress.storage.load` refuses.
    """

    def ask(what, x):
        try:
            check_inputs(model, x)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{what}: {error}") from None
        return predict(model, x, samples=samples, seed=seed, batch_size=batch_size)

    x, y = _pair("data", data)
    sets = _foreign_sets(ood)
    if conformal is not None and validation is None:
        raise ValueError("conformal sets are fitted to validation data: give them")
    row = {"name": name} | _size(model, uncompressed, path) | _cost(model, x, samples, latency)
    test, fitted_to = ask("data", x), None
    if validation is not None:
        x_validation, y_validation = _pair("validation", validation)
        fitted_to = ask("validation", x_validation), y_validation
    row |= _quality(test, y, fitted_to, conformal)
    inside = entropy(test)
    row["entropy"] = inside.mean().item()
    for end, (what, foreign) in sets.items():
        row |= _doubts(inside, entropy(ask(what, foreign)), end)
    versions = default_shifts(x, seed) if shifted is None else shifted
    named = {f"shifted[{key!r}]": version for key, version in versions.items()}
    costs = [nll(ask(what, _pair(what, (z, y))[0]), y) for what, z in named.items()]
    return row | {"nll_shifted": sum(costs) / len(costs) if costs else None}


def default_shifts(x, seed=0):
    """Test images (N, C, H, W) turned by 15°, rolled by 2 pixels, and with noise of deviation 0.1.

    They are mild, so that a network still knows something and its NLL is not all one failure. For
    the MNIST-C-style set give ``shifted={name: data.corrupt(x, name) for name in CORRUPTIONS}``.

    Raises:
        TypeError: ``seed`` is no number.
        ValueError: ``x`` are no images, or not finite.
    """
    if x.ndim != 4:
        raise ValueError(
            "the inputs are no images (N, C, H, W): say which shifted= versions to use"
        )
    checks.finite(x=x)
    return {
        "rotated 15°": rotate(x, 15),
        "rolled 2 pixels": roll(x, 2),
        "noise 0.1": noise(x, 0.1, checks.seed(seed)),
    }


def _size(model, uncompressed, path):
    """The part of the row that counts numbers and bytes."""
    parameters = parameter_count(model if uncompressed is None else uncompressed)
    nonzero, written = nonzero_count(model), None if path is None else _length(path, model)
    return {
        "parameters": parameters,
        "nonzero": nonzero,
        "parameter_ratio": parameters / nonzero if parameters and nonzero else None,
        "bytes": written,
        "byte_ratio": 4 * parameters / written if parameters and written else None,
    }


def _length(path, model):
    """The length of the network's file; an error where the file holds something else."""
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file of the network at {path!r}")
    if not os.path.isfile(path) or os.path.getsize(path) == 0:
        raise ValueError(f"{path!r} is not the file of a network: it is empty or a folder")
    stored, state = storage.decode_state(path), model.state_dict()
    if state.keys() != stored.keys():  # of parametrized and masked weights a file has the values
        state, shared, _ = collect(model)
        state |= {name: state[first] for name, first in shared.items()}
    for name in sorted(state.keys() | stored.keys()):
        if (difference := _difference(state.get(name), stored.get(name))) is not None:
            raise ValueError(
                f"{path!r} is the file of another network: tensor {name!r} {difference}"
            )
    return os.path.getsize(path)


def _difference(tensor, array):
    """What is not the same in a network's tensor and in a file's array, in words, or None."""
    if tensor is None or array is None:
        return f"is in the {'file' if tensor is None else 'network'} only"
    tensor = tensor.detach().cpu()  # NumPy has no bfloat16: decode_state gives float32 for it
    mine = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    if (mine.shape, mine.dtype) != (array.shape, array.dtype):
        kinds = (f"{each.dtype} {each.shape}" for each in (array, mine))
        return "is {} in the file and {} in the network".format(*kinds)
    return None if mine.tobytes() == array.tobytes() else "has other values"


def _cost(model, x, samples, latency):
    """The part of the row that counts operations, memory and, if asked for, time."""
    full = len(x) // _COUNTED * _COUNTED or len(x)  # what a layer does once a batch, 100 share
    row = {
        "multiply_adds": multiply_adds(model, x[:full], samples=samples, batch_size=_COUNTED),
        "peak_memory": peak_memory(model, x[:1], samples=samples),
    }
    for batch in (1, 256):
        keys = (f"latency_{batch}_low", f"latency_{batch}", f"latency_{batch}_high")
        times = quartiles(model, x, batch_size=batch, samples=samples) if latency else [None] * 3
        row |= zip(keys, times, strict=True)
    return row


def _quality(test, y, fitted_to, conformal):
    """The part of the row about predictions and labels.

    Args:
        test: predictions (M, N, C).
        y: labels (N,).
        fitted_to: predictions and labels of the validation data, or None.
        conformal: the share of sets that may miss the label, or None.
    """
    row = {"accuracy": accuracy(test, y), "nll": nll(test, y)}
    row |= {"temperature": None, "nll_scaled": None, "brier": brier(test, y), "ece": ece(test, y)}
    if fitted_to is not None:
        row["temperature"] = temperature(*fitted_to)
        row["nll_scaled"] = nll(scale(test, row["temperature"]), y)
    if conformal is not None:
        sets = prediction_sets(test, conformal_quantile(*fitted_to, conformal))
        row |= {"coverage": coverage(sets, y), "set_size": mean_set_size(sets)}
    return row


def _doubts(inside, outside, end):
    """The part of the row about one foreign set, by the entropies inside and outside."""
    row = {f"entropy{end or '_ood'}": outside.mean().item()}
    return row | {f"{f.__name__}{end}": f(inside, outside) for f in (auroc, aupr, fpr95)}


def _foreign_sets(ood):
    """The foreign sets by the end of their keys, each with what an error calls it."""
    if not isinstance(ood, dict):
        return {"": ("ood", ood)}
    if not ood or not all(isinstance(name, str) and name for name in ood):
        raise ValueError(f"ood must name its foreign sets, not {list(ood)}")
    return {f"_{name}": (f"ood[{name!r}]", x) for name, x in ood.items()}


def _pair(what, data):
    """Inputs and labels, checked for their number."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(f"{what} must be a pair of inputs and labels, not {type(data).__name__}")
    x, y = data
    if len(x) != len(y):
        raise ValueError(f"{what}: {len(x)} inputs but {len(y)} labels")
    return x, real_tensor("labels", y)
