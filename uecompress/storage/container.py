"""The file around the arrays; nothing here needs torch."""

import json
import math
import zlib
from pathlib import Path

import numpy as np

from uecompress.storage import codes, dictionary
from uecompress.storage.bytestream import DamagedFile, Reader, varint

MAGIC = b"UEC\x02"  # the last byte is the version
DICTIONARY = dictionary.VERSION_2
_DICTIONARIES = {b"UEC\x01": dictionary.VERSION_1, MAGIC: DICTIONARY}
MAX_HEADER = 1 << 22  # bytes of JSON
MAX_BYTES = 1 << 30  # of tensors, unless the caller says otherwise
# torch's name of a dtype, and the NumPy dtype that holds its bits.
DTYPES = {
    "float32": "<f4", "float16": "<f2", "bfloat16": "<u2", "float64": "<f8", "bool": "|u1",
    "int8": "|i1", "int16": "<i2", "int32": "<i4", "int64": "<i8",
    "uint8": "|u1", "uint16": "<u2", "uint32": "<u4", "uint64": "<u8",
}  # fmt: skip


def pack(header, arrays):
    """The parts of a file, one after another, for a header and the arrays of its table."""
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    if len(text) > MAX_HEADER:
        raise ValueError(f"the description of the network has {len(text)} bytes, too many")
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=DICTIONARY)
    text = deflate.compress(text) + deflate.flush()
    crc = 0
    for part in _parts(text, arrays):
        crc = zlib.crc32(part, crc)
        yield part
    yield crc.to_bytes(4, "little")


def _parts(header, arrays):
    yield MAGIC + varint(len(header)) + header
    for array in arrays:
        yield codes.encode(array)


def read(path, max_bytes=MAX_BYTES):
    """Read a file up to its tensors.

    Args:
        path: of a file that ``save`` wrote.
        max_bytes: the most bytes that its tensors may have when decoded.

    Returns:
        The header, the table of tensors {name: (dtype's name, shape)}, the other names of shared
        tensors {name: first name}, and a reader at the first tensor.

    Raises:
        DamagedFile: the file is not one of ours, was changed, or is larger than ``max_bytes``.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory, not a network's file")
    content = path.read_bytes()
    try:
        return _open(content, max_bytes)
    except DamagedFile as error:
        raise DamagedFile(f"{path} is damaged: {error}") from None


def _open(content, max_bytes):
    if content[:4] not in _DICTIONARIES:
        raise DamagedFile(f"it starts with {content[:4]!r}, not with {MAGIC!r}")
    if zlib.crc32(content[:-4]) != int.from_bytes(content[-4:], "little"):
        raise DamagedFile("its checksum is another one")
    reader = Reader(memoryview(content)[4:-4])
    inflate = zlib.decompressobj(-15, zdict=_DICTIONARIES[content[:4]])
    try:
        text = inflate.decompress(reader.take(reader.varint()), MAX_HEADER)
        if not inflate.eof or inflate.unused_data:
            raise DamagedFile("its header is cut off, or longer than a header may be")
        header = json.loads(text)
    except (zlib.error, ValueError, RecursionError) as error:
        raise DamagedFile(f"its header cannot be read ({error})") from None
    if not isinstance(header, dict) or not {"model", "tensors"} <= header.keys() or (
        header.keys() - {"model", "tensors", "frozen"}
    ):  # fmt: skip
        raise DamagedFile("its header has not the entries of a header")
    frozen = header.setdefault("frozen", [])
    table, shared = _table(header["tensors"], max_bytes)
    if not isinstance(frozen, list) or not all(isinstance(f, str) and f in table for f in frozen):
        raise DamagedFile("its header names frozen tensors that it does not have")
    return header, table, shared, reader


def _table(tensors, max_bytes):
    """The header's table, checked: what it announces is allocated later."""
    table, shared, total = {}, {}, 0
    if not isinstance(tensors, dict):
        raise DamagedFile("its table of tensors is no table")
    for name, entry in tensors.items():
        if isinstance(entry, str) and entry in table:
            shared[name] = entry
            continue
        if not isinstance(entry, list) or not entry or entry[0] not in [*DTYPES]:
            raise DamagedFile(f"tensor {name!r} is described by {str(entry)[:80]!r}")
        dtype, *shape = entry
        if len(shape) > 16 or not all(type(n) is int and 0 <= n < 1 << 40 for n in shape):
            raise DamagedFile(f"tensor {name!r} has the shape {str(shape)[:80]}")
        total += math.prod(n or 1 for n in shape) * np.dtype(DTYPES[dtype]).itemsize
        table[name] = dtype, tuple(shape)
    if total > max_bytes:
        raise DamagedFile(f"it announces {total} bytes of tensors, and max_bytes is {max_bytes}")
    return table, shared


def decode(reader, table):
    """The tensors of a table one after another: name, array of bits, codes, bytes.

    Raises:
        DamagedFile: they cannot be decoded, or something follows them.
    """
    for name, (dtype, shape) in table.items():
        start = reader.position
        try:
            array, names = codes.decode(reader, shape, DTYPES[dtype])
            if dtype == "bool" and array.max(initial=0) > 1:
                raise DamagedFile("it holds more than two values")
        except DamagedFile as error:
            raise DamagedFile(f"tensor {name!r} is damaged: {error}") from None
        yield name, array, names, reader.position - start
    if reader.position != len(reader.content):
        raise DamagedFile(f"{len(reader.content) - reader.position} bytes follow the last tensor")


def decode_state(path, *, max_bytes=MAX_BYTES):
    """The tensors of a stored network, without building it; torch is not imported.

    Args:
        path: of a file that ``save`` wrote.
        max_bytes: the most bytes that the tensors may have when decoded.

    Returns:
        A dictionary {name: NumPy array} with the names of ``state_dict``. NumPy has no bfloat16:
        such tensors come as float32 of the same value. A shared tensor is one array under several
        names.

    Raises:
        DamagedFile: as :func:`load`.
    """
    _, table, shared, reader = read(path, max_bytes)
    state = {}
    for name, array, _, _ in decode(reader, table):
        if table[name][0] == "bfloat16":
            array = np.asarray(array.astype("<u4") << 16).view("<f4")
        state[name] = array.astype(bool) if table[name][0] == "bool" else array
    return state | {name: state[first] for name, first in shared.items()}


def sizes(path, *, max_bytes=MAX_BYTES):
    """Where the bytes of a file go.

    Args:
        path: of a file that ``save`` wrote.
        max_bytes: the most bytes that the tensors may have when decoded.

    Returns:
        A pandas DataFrame with the columns ``tensor``, ``shape``, ``dtype``, ``code`` (from the
        outer code to the inner one) and ``bytes``. The first row, ``(structure)``, is everything
        that is not a tensor. The bytes add up to the size of the file.

    Raises:
        DamagedFile: as :func:`load`.
    """
    import pandas as pd

    _, table, _, reader = read(path, max_bytes)
    rows = [("(structure)", "", "", "deflated JSON", reader.position + len(MAGIC) + 4)]
    for name, _, names, size in decode(reader, table):
        dtype, shape = table[name]
        rows.append((name, "×".join(map(str, shape)), dtype, ", ".join(names), size))
    return pd.DataFrame(rows, columns=["tensor", "shape", "dtype", "code", "bytes"])
