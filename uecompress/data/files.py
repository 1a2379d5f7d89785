"""Finds a file of the large data sets, downloads it where there is none, and proves its bytes.

A file is looked for below ``$UECOMPRESS_DATA`` and then below the user cache, under its name or
compressed beside it (name + ``.gz``). Whatever is found must have the one right content.
"""

import gzip
import hashlib
import os
import tempfile
import urllib.request
import zlib
from contextlib import closing
from http.client import HTTPException
from pathlib import Path

from tqdm import tqdm

_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_NOTMNIST = "https://github.com/davidflanagan/notMNIST-to-MNIST/raw/master/"

# Name below a data folder -> (address or None, SHA-256 of the content, after decompression if the
# address ends in .gz and the name does not).
SOURCES = {
    "MNIST/raw/train-images-idx3-ubyte": (
        _MNIST + "train-images-idx3-ubyte.gz",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "MNIST/raw/train-labels-idx1-ubyte": (
        _MNIST + "train-labels-idx1-ubyte.gz",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "MNIST/raw/t10k-images-idx3-ubyte": (
        _MNIST + "t10k-images-idx3-ubyte.gz",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "MNIST/raw/t10k-labels-idx1-ubyte": (
        _MNIST + "t10k-labels-idx1-ubyte.gz",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "notMNIST/t10k-images-idx3-ubyte": (
        _NOTMNIST + "t10k-images-idx3-ubyte.gz",
        "8e7f38ae95cc8f48e0986175ffc9137e5007ebcf3d8fdf6656c904eb9dab198b",
    ),
    "notMNIST/t10k-labels-idx1-ubyte": (
        _NOTMNIST + "t10k-labels-idx1-ubyte.gz",
        "5f8e6012f2ce730700d8d05fca098bc47f71d25b890e4bec7ac5ebfd614a4001",
    ),
    "cifar-10-binary.tar.gz": (
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
    "cifar10-jpeg.zip": (
        None,
        "d3fd6a75332a16a8a3650fde9ea7ade4a594167056b06c58b81fdd58e43313e2",
    ),
}


def cache():
    """The user cache: ``$XDG_CACHE_HOME/uecompress``, or ``~/.cache/uecompress`` without it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uecompress"


def folders():
    """The folders to look in, in this order: ``$UECOMPRESS_DATA`` if it is set, the user cache.

    Raises:
        FileNotFoundError: If ``UECOMPRESS_DATA`` is set to something that is not a folder.
    """
    chosen = os.environ.get("UECOMPRESS_DATA")
    if not chosen:
        return [cache()]
    chosen = os.path.expanduser(chosen)
    if not Path(chosen).is_dir():
        raise FileNotFoundError(f"UECOMPRESS_DATA is set to {chosen}, which is not a folder")
    return [Path(chosen), cache()]


def find(name):
    """The path of the first ``name`` or ``name + ".gz"`` in ``folders()``, or None."""
    candidates = [root / file for root in folders() for file in (name, f"{name}.gz")]
    return next((path for path in candidates if path.is_file()), None)


def read(name):
    """The content of a file of ``SOURCES``, found or else downloaded into the user cache.

    Args:
        name: A key of ``SOURCES``.

    Returns:
        The bytes, decompressed if the file lies compressed beside its name.

    Raises:
        FileNotFoundError: If the file is nowhere and cannot be downloaded; it says what to do.
        ValueError: If the file found or downloaded is not the one it should be.
        OSError: If the cache cannot be written.
    """
    url, sha256 = SOURCES[name]
    path = find(name)
    if path is None:
        nowhere = f"{name} is not in {' or '.join(map(str, folders()))}"
        if url is None:
            raise FileNotFoundError(
                f"{nowhere}, and is not downloaded: set UECOMPRESS_DATA to a folder that holds it"
            )
        path = cache() / name
        try:
            fetch(url, path, sha256)
        except ConnectionError as error:
            raise FileNotFoundError(
                f"{nowhere}, and {error}; or set UECOMPRESS_DATA to a folder that holds {name}"
            ) from error
    content = path.read_bytes()
    try:
        if path.name == f"{Path(name).name}.gz":
            content = gzip.decompress(content)
        intact = hashlib.sha256(content).hexdigest() == sha256
    except (EOFError, gzip.BadGzipFile, zlib.error):
        intact = False
    if not intact:
        raise ValueError(f"{path} is damaged (not the SHA-256 of {name}): delete or replace it")
    return content


def fetch(url, path, sha256):
    """Downloads a file, which appears under its name only when it is complete and proven.

    The bytes go to a temporary file in the same folder (removed on any exception; one that a kill
    leaves behind ends in ``.part`` and is never read), are synchronized to disk and renamed.

    Args:
        url: The address. A ``.gz`` is decompressed on the way unless ``path`` ends in ``.gz`` too.
        path: Where the file is to be; folders are made as needed.
        sha256: SHA-256 of what ``path`` is to hold, in hexadecimal.

    Raises:
        ConnectionError: If the address cannot be reached, refuses, or breaks off.
        ValueError: If the content is another one.
        OSError: If the folder cannot be written.
    """
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
        digest = hashlib.sha256()
        compressed = url.endswith(".gz") and path.suffix != ".gz"
        unpack = zlib.decompressobj(wbits=31).decompress if compressed else bytes
        with os.fdopen(handle, "wb") as file, closing(_download(url, path.name)) as blocks:
            for block in blocks:
                content = unpack(block)
                digest.update(content)
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != sha256:
            raise ValueError(f"{url} gave a file with another SHA-256 than {sha256}; not kept")
        os.replace(partial, path)
    except zlib.error as error:
        raise ValueError(f"{url} gave a damaged file ({error}); not kept") from error
    except ConnectionError:
        raise
    except OSError as error:
        raise OSError(
            f"cannot write into the cache folder {path.parent} ({error}): set XDG_CACHE_HOME to a "
            "folder that can be written, or UECOMPRESS_DATA to one that holds the data"
        ) from error
    finally:
        if partial is not None:
            Path(partial).unlink(missing_ok=True)


def _download(url, title):
    """Yields the bytes at ``url`` block by block, with a progress bar on a terminal."""
    received = 0
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            length = response.length  # None where the server does not tell
            with tqdm(total=length, unit="B", unit_scale=True, desc=title, disable=None) as bar:
                while block := response.read(1 << 16):
                    received += len(block)
                    bar.update(len(block))
                    yield block
    except (OSError, HTTPException) as error:
        raise ConnectionError(f"{url} could not be downloaded ({error}): try again") from error
    if length not in (None, received):
        raise ConnectionError(f"{url} broke off after {received} of {length} bytes: try again")
