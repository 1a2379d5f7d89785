"""Finds a file of the large data sets, has it downloaded where there is none, proves its bytes.

A file is looked for below ``$UECOMPRESS_DATA`` and then below the user cache, under its name or
compressed beside it (name + ``.gz``). Whatever is found must have the one right content.
"""

import gzip
import hashlib
import os
import zlib
from contextlib import suppress
from pathlib import Path

from uecompress.data.download import fetch

_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_NOTMNIST = "https://github.com/davidflanagan/notMNIST-to-MNIST/raw/master/"
_OMNIGLOT = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"

# Name below a data folder -> (address or None, SHA-256 and length in bytes of the content, which is
# decompressed if the address ends in .gz and the name does not).
SOURCES = {
    "MNIST/raw/train-images-idx3-ubyte": (
        _MNIST + "train-images-idx3-ubyte.gz",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        47_040_016,
    ),
    "MNIST/raw/train-labels-idx1-ubyte": (
        _MNIST + "train-labels-idx1-ubyte.gz",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        60_008,
    ),
    "MNIST/raw/t10k-images-idx3-ubyte": (
        _MNIST + "t10k-images-idx3-ubyte.gz",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        7_840_016,
    ),
    "MNIST/raw/t10k-labels-idx1-ubyte": (
        _MNIST + "t10k-labels-idx1-ubyte.gz",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        10_008,
    ),
    "notMNIST/t10k-images-idx3-ubyte": (
        _NOTMNIST + "t10k-images-idx3-ubyte.gz",
        "8e7f38ae95cc8f48e0986175ffc9137e5007ebcf3d8fdf6656c904eb9dab198b",
        7_840_016,
    ),
    "notMNIST/t10k-labels-idx1-ubyte": (
        _NOTMNIST + "t10k-labels-idx1-ubyte.gz",
        "5f8e6012f2ce730700d8d05fca098bc47f71d25b890e4bec7ac5ebfd614a4001",
        10_008,
    ),
    "omniglot/images_background_small1.zip": (
        _OMNIGLOT + "images_background_small1.zip",
        "f38eb80f801274ac2b4dff5b24289016bfaba4a7d5bb50deebf27104ad6cb8a4",
        1_319_022,
    ),
    "cifar-10-binary.tar.gz": (
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        170_052_171,
    ),
    "cifar10-jpeg.zip": (
        None,
        "d3fd6a75332a16a8a3650fde9ea7ade4a594167056b06c58b81fdd58e43313e2",
        63_750_935,
    ),
}


def cache():
    """The user cache: ``$XDG_CACHE_HOME/uecompress``, or ``~/.cache/uecompress`` without it.

    Raises:
        FileNotFoundError: If there is no home folder, as for a user without an entry.
    """
    chosen = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(os.path.expanduser(chosen))
    if str(folder).startswith("~"):
        raise FileNotFoundError(
            f"there is no home folder, hence no {chosen}: set XDG_CACHE_HOME to a folder"
        )
    return folder / "uecompress"


def folders():
    """The folders to look in, in this order: ``$UECOMPRESS_DATA``, the user cache; where they are.

    Raises:
        FileNotFoundError: If ``UECOMPRESS_DATA`` is set to something that is not a folder, or is
            one that cannot be read.
    """
    found = []
    if chosen := os.environ.get("UECOMPRESS_DATA"):
        chosen = os.path.expanduser(chosen)
        if not os.path.isdir(chosen) or not os.access(chosen, os.R_OK | os.X_OK):
            raise FileNotFoundError(
                f"UECOMPRESS_DATA is set to {chosen}, which is not a folder that can be read"
            )
        found.append(Path(chosen))
    with suppress(FileNotFoundError):
        found.append(cache())
    return found


def find(name):
    """The path of the first ``name`` or ``name + ".gz"`` in ``folders()``, or None."""
    candidates = [root / file for root in folders() for file in (name, f"{name}.gz")]
    return next((path for path in candidates if os.path.isfile(path)), None)


def read(name):
    """The content of a file of ``SOURCES``, found or else downloaded into the user cache.

    Args:
        name: A key of ``SOURCES``.

    Returns:
        The bytes, decompressed if the file lies compressed beside its name.

    Raises:
        FileNotFoundError: If the file is nowhere and cannot be downloaded; it says what to do.
        ValueError: If the file found or downloaded is not the one it should be.
        OSError: If the cache cannot be written, or the file found not read.
    """
    url, sha256, length = SOURCES[name]
    path = find(name)
    if path is None:
        nowhere = f"{name} is not in {' or '.join(map(str, folders())) or 'any folder'}"
        if url is None:
            raise FileNotFoundError(
                f"{nowhere}, and is not downloaded: set UECOMPRESS_DATA to a folder that holds it"
            )
        try:
            path = cache() / name
            fetch(url, path, sha256, length)
        except (ConnectionError, FileNotFoundError) as error:
            raise FileNotFoundError(
                f"{nowhere}, and {error}; or set UECOMPRESS_DATA to a folder that holds {name}"
            ) from error
    compressed = path.name == f"{Path(name).name}.gz"
    try:
        with gzip.open(path) if compressed else open(path, "rb") as file:
            content = file.read(length + 1)  # of a longer file, no more
        intact = hashlib.sha256(content).hexdigest() == sha256
    except (EOFError, gzip.BadGzipFile, zlib.error):
        intact = False
    if not intact:
        raise ValueError(f"{path} is damaged (not the SHA-256 of {name}): delete or replace it")
    return content
