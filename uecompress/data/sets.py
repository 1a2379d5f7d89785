"""The data sets by name, each in the splits "train", "validation" and "test"."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import torch

from uecompress.data import files, formats

SPLITS = ("train", "validation", "test")
HELD_OUT = 5_000  # the last training images of MNIST and CIFAR-10 are their validation split


def load(name, split):
    """Loads one split of a data set.

    ``digits`` (scikit-learn's 8x8 scans of digits, enlarged) and ``glyphs`` (letters from
    matplotlib's fonts: K to Z for training, A to J for the test) come with the package. ``mnist``,
    ``notmnist``, ``omniglot`` (letters of five alphabets, thickened, centred and scaled as MNIST's
    digits are) and ``cifar10`` are looked for below ``$UECOMPRESS_DATA``, then in the user cache,
    then downloaded into it. ``cifar10-jpeg`` (CIFAR-10 re-encoded as JPEG, hence not the same bits)
    is only looked for. The validation split is the last 5,000 training images of MNIST and
    CIFAR-10; the JPEG images come by number, then class, so for them it is the last 500 of each
    class.

    Args:
        name: "digits", "glyphs", "mnist", "notmnist", "omniglot", "cifar10" or "cifar10-jpeg".
        split: "train", "validation" or "test"; notMNIST and Omniglot are only ever test sets.

    Returns:
        Images (N, C, H, W), float32 in [0, 1], where C, H, W is 3, 32, 32 for CIFAR-10 and
        1, 28, 28 for the others; labels (N,), int64. Letters are labelled from 0: A is 0 in the
        test split of ``glyphs`` and in ``notmnist``, K is 0 in the other splits of ``glyphs``. The
        label of an image of ``omniglot`` is its alphabet: 0 Balinese, 1 Early Aramaic, 2 Greek, 3
        Korean, 4 Latin, in this order.

    Raises:
        ValueError: If the name or the split is unknown, or a file found is damaged.
        FileNotFoundError: If the data are nowhere and cannot be downloaded.
    """
    if name not in _READERS:
        raise ValueError(f"no data set is named {name!r}; there are {', '.join(_READERS)}")
    if split not in SPLITS:
        raise ValueError(f"no split is named {split!r}; there are {', '.join(SPLITS)}")
    x, y = _READERS[name](split)
    x = torch.from_numpy(x.astype(np.float32, order="C")).div_(255)
    return x, torch.from_numpy(y.astype(np.int64))


def folder():
    """The folder of the embedded data: in an installed package, or ``data/`` of the checkout."""
    installed = Path(__file__).parent / "embedded"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "data"


def results(name):
    """The stored results of a long run, as a dictionary.

    Args:
        name: The name of a file in ``data/results``, without ``.json``.

    Raises:
        FileNotFoundError: If there are no results of that name; it names those there are.
    """
    known = {path.stem: path for path in sorted((folder() / "results").glob("*.json"))}
    if name not in known:
        names = ", ".join(known) or "none"
        raise FileNotFoundError(f"no results are named {name!r}; there are {names}")
    return json.loads(known[name].read_text(encoding="utf-8"))


def _embedded(name, split):
    with np.load(folder() / f"{name}.npz", allow_pickle=False) as arrays:
        return arrays[f"x_{split}"][:, None], arrays[f"y_{split}"]  # (N, 28, 28) -> (N, 1, 28, 28)


def _mnist(split):
    part = "t10k" if split == "test" else "train"
    x = formats.idx(files.read(f"MNIST/raw/{part}-images-idx3-ubyte"))
    y = formats.idx(files.read(f"MNIST/raw/{part}-labels-idx1-ubyte"))
    return _cut(x[:, None], y, split)  # (N, 28, 28) -> (N, 1, 28, 28)


def _notmnist(split):
    _check_that_it_is_the_test("notMNIST", split)
    x = formats.idx(files.read("notMNIST/t10k-images-idx3-ubyte"))
    return x[:, None], formats.idx(files.read("notMNIST/t10k-labels-idx1-ubyte"))


def _omniglot(split):
    _check_that_it_is_the_test("Omniglot", split)
    return formats.omniglot(files.read("omniglot/images_background_small1.zip"))


def _check_that_it_is_the_test(name, split):
    if split != "test":
        raise ValueError(f"{name} is only ever a test set; it has no split {split!r}")


def _cifar10(split):
    batches = ["test_batch"] if split == "test" else [f"data_batch_{i}" for i in range(1, 6)]
    names = [f"cifar-10-batches-bin/{batch}.bin" for batch in batches]
    # Of the archive, not of its unpacked files, a checksum is published: only the archive is read.
    contents = formats.tar_members(files.read("cifar-10-binary.tar.gz"), names)
    x, y = zip(*map(formats.cifar_binary, contents, names), strict=True)
    return _cut(np.concatenate(x), np.concatenate(y), split)


def _cifar10_jpeg(split):
    numbers = {"train": range(4500), "validation": range(4500, 5000), "test": range(1000)}[split]
    part = "test" if split == "test" else "train"
    return formats.cifar_jpeg(files.read("cifar10-jpeg.zip"), part, numbers)


def _cut(x, y, split):
    """The split's part of the training images, or all of the test images."""
    rows = {"train": slice(-HELD_OUT), "validation": slice(-HELD_OUT, None), "test": slice(None)}
    return x[rows[split]], y[rows[split]]


_READERS = {
    "digits": partial(_embedded, "digits"),
    "glyphs": partial(_embedded, "glyphs"),
    "mnist": _mnist,
    "notmnist": _notmnist,
    "omniglot": _omniglot,
    "cifar10": _cifar10,
    "cifar10-jpeg": _cifar10_jpeg,
}
