"""Downloads one file, completely and proven, or not at all."""

import hashlib
import math
import time
import urllib.request
import zlib
from contextlib import closing
from http.client import HTTPException

from tqdm import tqdm

from uecompress.atomic import replacing

_WAITS = (0.5, 1, 2)  # seconds before the second, third and fourth try
_PATIENCE = 1800  # seconds for all the tries of one file


def fetch(url, path, sha256, length=math.inf):
    """Downloads a file, which appears under its name only when it is complete and proven.

    Where the connection fails or breaks off, it is tried again three times after a short wait.

    Args:
        url: The address. A ``.gz`` is decompressed on the way unless ``path`` ends in ``.gz`` too.
        path: Where the file is to be; folders are made as needed.
        sha256: SHA-256 of what ``path`` is to hold, in hexadecimal.
        length: The bytes that it is to have; a download is stopped when there are more.

    Raises:
        ConnectionError: If the address cannot be reached, refuses, breaks off, or takes more than
            half an hour.
        ValueError: If the content is another one.
        OSError: If the folder cannot be written.
    """
    deadline = time.monotonic() + _PATIENCE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            for wait in (*_WAITS, None):
                try:
                    digest = _receive(url, path, file, length, deadline)
                    break
                except ConnectionError as error:
                    if wait is None or not _may_pass(error, deadline - wait):
                        raise
                    time.sleep(wait)
            if digest != sha256:
                raise ValueError(f"{url} gave a file with another SHA-256 than {sha256}; not kept")
    except ConnectionError:
        raise
    except OSError as error:
        raise OSError(
            f"cannot write into the cache folder {path.parent} ({error}): set XDG_CACHE_HOME to a "
            "folder that can be written, or UECOMPRESS_DATA to one that holds the data"
        ) from error


def _receive(url, path, file, length, deadline):
    """Writes what is at ``url`` into an open file, from its start, and returns its SHA-256."""
    file.seek(0)
    file.truncate()
    digest, received = hashlib.sha256(), 0
    compressed = url.endswith(".gz") and path.suffix != ".gz"
    unpack = zlib.decompressobj(wbits=31).decompress if compressed else bytes
    with closing(_download(url, path.name, deadline)) as blocks:
        for block in blocks:
            try:
                content = unpack(block)  # at most 1032 times as long
            except zlib.error as error:
                raise ValueError(f"{url} gave a damaged file ({error}); not kept") from error
            received += len(content)
            if received > length:
                raise ValueError(f"{url} gave more than the {length} bytes expected; not kept")
            digest.update(content)
            file.write(content)
    return digest.hexdigest()


def _may_pass(error, latest):
    """Whether a failed download may succeed next time: no server said that it will not."""
    status = getattr(error.__cause__, "code", 500)  # of an HTTPError
    return (status >= 500 or status in (408, 429)) and time.monotonic() < latest


def _download(url, title, deadline):
    """Yields the bytes at ``url`` block by block, with a progress bar on a terminal."""
    received = 0
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            length = response.length  # None where the server does not tell
            with tqdm(total=length, unit="B", unit_scale=True, desc=title, disable=None) as bar:
                while block := response.read1(1 << 16):  # what has come, however little
                    received += len(block)
                    bar.update(len(block))
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"more than {_PATIENCE} seconds")
                    yield block
    except (OSError, HTTPException) as error:
        raise ConnectionError(f"{url} could not be downloaded ({error}): try again") from error
    if length not in (None, received):
        raise ConnectionError(f"{url} broke off after {received} of {length} bytes: try again")
