"""The file around the arrays; nothing here needs torch."""

import json
import math
import numbers
import stat
import zlib
from pathlib import Path

import numpy as np

from uecompress.storage import codes
from uecompress.storage.bytestream import DamagedFile, Reader, varint

MAGIC = b"UEC\x01"  # the last byte is the version
MAX_HEADER = 1 << 22  # bytes of JSON; at most 64 KiB and 128 for each byte that it has deflated
# Bytes of tensors, unless the caller says otherwise: 64 MiB, 2 KiB more for each byte of the file.
FREE, RATIO, MAX_BYTES = 1 << 26, 1 << 11, 1 << 30
SYMBOLS = 5  # entropy-coded, for each byte of the tensors, at most: codes nest
# torch's name of a dtype, and the NumPy dtype that holds its bits.
DTYPES = {
    "float32": "<f4", "float16": "<f2", "bfloat16": "<u2", "float64": "<f8", "bool": "|u1",
    "int8": "|i1", "int16": "<i2", "int32": "<i4", "int64": "<i8",
    "uint8": "|u1", "uint16": "<u2", "uint32": "<u4", "uint64": "<u8",
}  # fmt: skip
# What headers have in common: they may refer to it instead of saying it. Part of the format.
DICTIONARY = (
    b'{"LayerNorm":{"normalized_shape":[{"GroupNorm":{"num_groups":{"Embedding":{"num_embeddings":'
    b'"embedding_dim":{"Upsample":{"scale_factor":{"Softmax":{"dim":1}}{"LogSoftmax":{"Softplus":{}'
    b'{"Conv1d":{"AvgPool2d":{"AdaptiveAvgPool2d":{"output_size":1}},"Unflatten":{"Sigmoid":{},"Tanh'
    b'":{},"SiLU":{},"GELU":{},"LeakyReLU":{},"Identity":{},"Dropout2d":{"p":0.5}},"ModuleList":{"0"'
    b'{"ZeroPad2d":{"padding":[2,2,2,2]}},"ensembles.MCDropout":{"networks.Ensemble":{"members":{"'
    b'list":[{"ref":"networks.Residual":{"branch":{"Sequential":{"conv1":{"shortcut":{"Identity":{}}'
    b',"dilation":[2,2],"groups":2,"padding_mode":"affine":false,"momentum":null'
    b'"float16","bfloat16","float64","bool","int8","uint8","int32","frozen":["u":{"Linear":{"vh":{"'
    b'.num_batches_tracked":["int64"],"norm1.running_mean":["float32",.running_var":["float32",'
    b'.weight_mu":.log_alpha":.log_sigma":.cores.0":.codes":["int8",.scale":["float32"'
    b'{"model":{"Sequential":{"flatten":{"Flatten":{}},"norm1":{"BatchNorm1d":{"num_features":100}},'
    b'"dropout1":{"Dropout":{"p":0.1}},"block1":{"norm2":{"BatchNorm2d":{"num_features":16}},"conv":{'
    b'"conv1":{"Conv2d":{"in_channels":1,"out_channels":20,"kernel_size":[5,5]}},"stride":[2,2],'
    b'"kernel_size":[3,3],"padding":[1,1]}},"bias":false}},"pool1":{"MaxPool2d":{"kernel_size":2}},'
    b'"linear1":{"Linear":{"in_features":784,"out_features":10}},"relu1":{"ReLU":{}}}},"tensors":{'
    b'"conv1.weight":["float32",16,3,3],"conv1.bias":["float32",64],"linear1.weight":["float32",100,'
    b'"linear2.bias":["float32",10],"relu2":{"ReLU":{}},"linear2":{"Linear":{"in_features":'
    b'"linear3.weight":["float32",10,"linear3.bias":["float32",10]}}'
)


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


def read(path, max_bytes=None):
    """Read a file up to its tensors; what it costs to go on is known, and bounded, before that.

    Args:
        path: of a file that ``save`` wrote.
        max_bytes: the most bytes that its tensors may have when decoded; None for 2³⁰, or for
            2²⁶ + 2¹¹ times the length of the file, where that is less.

    Returns:
        The header, the table of tensors {name: (dtype's name, shape)}, the other names of shared
        tensors {name: first name}, a reader at the first tensor, and ``max_bytes`` as a number.

    Raises:
        DamagedFile: the file is not one of ours, was changed, or is larger than ``max_bytes``.
        TypeError, ValueError: ``max_bytes`` is no number, or negative or NaN.
    """
    if max_bytes is not None and not isinstance(max_bytes, numbers.Real):
        raise TypeError(f"max_bytes must be a number, not {max_bytes!r}")
    if max_bytes is not None and not max_bytes >= 0:
        raise ValueError(f"max_bytes must be a number of at least 0, not {max_bytes!r}")
    try:
        content, max_bytes = _content(Path(path), max_bytes)
        return *_open(content, max_bytes), max_bytes
    except DamagedFile as error:
        raise DamagedFile(f"{path} is damaged: {error}") from None


def _content(path, max_bytes):
    """The bytes of a file that is no longer than it may be, and ``max_bytes`` as a number."""
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(f"{path} is a directory, not a network's file")
    if not stat.S_ISREG(found.st_mode):
        raise DamagedFile("it is a device, a pipe or a socket, not a file")
    if max_bytes is None:
        max_bytes = min(FREE + RATIO * found.st_size, MAX_BYTES)
    # No code is more than a byte longer than its tensor, which the header takes bytes to name.
    if found.st_size > max_bytes + 2 * MAX_HEADER:
        raise DamagedFile(f"it has {found.st_size} bytes, and max_bytes is {max_bytes}")
    return path.read_bytes(), max_bytes


def _open(content, max_bytes):
    content = memoryview(content)
    if content[:4] != MAGIC:
        raise DamagedFile(f"it starts with {bytes(content[:4])!r}, not with {MAGIC!r}")
    if zlib.crc32(content[:-4]) != int.from_bytes(content[-4:], "little"):
        raise DamagedFile("its checksum is another one")
    reader = Reader(content[4:-4])
    inflate = zlib.decompressobj(-15, zdict=DICTIONARY)
    try:
        text = reader.take(reader.varint())
        text = inflate.decompress(text, min((1 << 16) + 128 * len(text), MAX_HEADER))
        if not inflate.eof or inflate.unused_data:
            raise DamagedFile("its header is cut off, or longer than a header may be")
        header = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except (zlib.error, ValueError, RecursionError) as error:
        raise DamagedFile(f"its header cannot be read ({error})") from None
    if not isinstance(header, dict) or not {"model", "tensors"} <= header.keys() or (
        header.keys() - {"model", "tensors", "frozen"}
    ):  # fmt: skip
        raise DamagedFile("its header has not the entries of a header")
    frozen = header.setdefault("frozen", [])
    table, shared, total = _table(header["tensors"])
    if not isinstance(frozen, list) or not all(isinstance(f, str) and f in table for f in frozen):
        raise DamagedFile("its header names frozen tensors that it does not have")
    if total > max_bytes:
        raise DamagedFile(f"it announces {total} bytes of tensors, and max_bytes is {max_bytes}")
    if len(table) > reader.left:
        raise DamagedFile(f"it announces {len(table)} tensors in {reader.left} bytes")
    reader.symbols = SYMBOLS * total
    return header, table, shared, reader


def _object(pairs):
    """A JSON object as a dict; one that names an entry twice says two things."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an entry is there twice")
    return result


def _constant(name):
    """JSON's Infinity and −Infinity are numbers that a layer may have; its NaN is none."""
    if name == "NaN":
        raise ValueError("NaN is no argument of a layer")
    return float(name)


def _table(tensors):
    """The header's table, checked, and its bytes: what it announces is allocated later."""
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
    return table, shared, total


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
    if reader.left:
        raise DamagedFile(f"{reader.left} bytes follow the last tensor")


def in_order(header, tensors, shared):
    """The tensors under all of their names, a shared one under several, as the header has them."""
    return {name: tensors[shared.get(name, name)] for name in header["tensors"]}


def decode_state(path, *, max_bytes=None):
    """The tensors of a stored network or state dict, as they are; torch is not imported.

    Args:
        path: of a file that ``save`` wrote.
        max_bytes: as for :func:`load`.

    Returns:
        A dictionary {name: NumPy array} with the names of ``state_dict``. NumPy has no bfloat16:
        such tensors come as float32 of the same value. A shared tensor is one array under several
        names.

    Raises:
        DamagedFile: as :func:`load`.
    """
    header, table, shared, reader, _ = read(path, max_bytes)
    state = {}
    for name, array, _, _ in decode(reader, table):
        if table[name][0] == "bfloat16":
            array = np.asarray(array.astype("<u4") << 16).view("<f4")
        state[name] = array.astype(bool) if table[name][0] == "bool" else array
    return in_order(header, state, shared)


def sizes(path, *, max_bytes=None):
    """Where the bytes of a file go.

    Args:
        path: of a file that ``save`` wrote.
        max_bytes: as for :func:`load`.

    Returns:
        A pandas DataFrame with the columns ``tensor``, ``shape``, ``dtype``, ``code`` (from the
        outer code to the inner one) and ``bytes``. The first row, ``(structure)``, is everything
        that is not a tensor. The bytes add up to the size of the file.

    Raises:
        DamagedFile: as :func:`load`.
    """
    import pandas as pd

    _, table, _, reader, _ = read(path, max_bytes)
    rows = [("(structure)", "", "", "deflated JSON", reader.position + len(MAGIC) + 4)]
    for name, _, names, size in decode(reader, table):
        dtype, shape = table[name]
        rows.append((name, "×".join(map(str, shape)), dtype, ", ".join(names), size))
    return pd.DataFrame(rows, columns=["tensor", "shape", "dtype", "code", "bytes"])
