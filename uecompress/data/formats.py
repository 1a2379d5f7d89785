"""The layouts the large data sets come in: IDX, CIFAR-10's binary archive, zips of JPEG or PNG.

Each reader takes the bytes of a file and returns arrays; nothing is unpacked to disk or executed.
"""

import io
import math
import struct
import tarfile
import zipfile

import numpy as np
from PIL import Image
from scipy import ndimage

CIFAR_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
CIFAR_BATCH = 10_000  # images in one file of the binary archive


def idx(content):
    """Reads an array of unsigned bytes in the IDX format of MNIST.

    Four bytes (0, 0, 8 for "unsigned byte", the number of dimensions), the sizes as big-endian
    32-bit integers, then the values in C order.

    Args:
        content: The bytes of the file.

    Returns:
        A read-only uint8 array of the shape that the header declares.

    Raises:
        ValueError: If the header is another one, or the file is shorter or longer than it says.
    """
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise ValueError(f"not an IDX file of unsigned bytes: it starts with {content[:4]!r}")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise ValueError(f"an IDX file that ends in its header, after {len(content)} bytes")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    if len(content) != start + math.prod(shape):
        raise ValueError(
            f"an IDX file of shape {shape} has {start + math.prod(shape)} bytes, not {len(content)}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def cifar_binary(content, source):
    """Reads one batch of CIFAR-10's binary version: 10,000 records of a label and 3x32x32 bytes.

    Args:
        content: The bytes of the batch.
        source: Where they are from, to be named in an error.

    Returns:
        Images (10000, 3, 32, 32) and labels (10000,), read-only uint8 arrays.

    Raises:
        ValueError: If the length is another one or a label is not in 0..9.
    """
    if len(content) != CIFAR_BATCH * 3073:
        raise ValueError(
            f"{source} is damaged: it has {len(content)} bytes, not {CIFAR_BATCH * 3073}"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, 3073)
    y = records[:, 0]
    if y.max() > 9:
        raise ValueError(
            f"{source} is damaged: it has the label {y.max()}; those of CIFAR-10 are 0 to 9"
        )
    return records[:, 1:].reshape(-1, 3, 32, 32), y  # (N, 3072) -> channels, rows, columns


def tar_members(content, names):
    """The contents of the named members of a .tar.gz: a list of bytes in the order of ``names``."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        # One pass in the archive's order: going back would decompress it from the start again.
        found = {m.name: archive.extractfile(m).read() for m in archive if m.name in names}
    return [found[name] for name in names]


def cifar_jpeg(content, part, numbers):
    """Reads images ``numbers`` of every class from the zip of CIFAR-10 as JPEG files.

    Args:
        content: The bytes of the zip; its members are ``cifar10-jpeg/<part>/<class>/<NNNN>.jpg``.
        part: "train" or "test".
        numbers: The image numbers to take; within a number, the classes come in their usual order.

    Returns:
        Images (N, 3, 32, 32) and labels (N,), uint8, where N is ten times ``len(numbers)``.
    """
    images = []
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for number in numbers:
            for name in CIFAR_CLASSES:
                jpeg = archive.read(f"cifar10-jpeg/{part}/{name}/{number:04d}.jpg")
                images.append(np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")))
    y = np.tile(np.arange(10, dtype=np.uint8), len(numbers))
    return np.stack(images).transpose(0, 3, 1, 2), y  # (N, 32, 32, 3) -> (N, 3, 32, 32)


def omniglot(content):
    """Reads Omniglot's drawn letters, prepared as MNIST's digits are.

    The zip has one image of 105x105, black ink on white, for each drawing,
    ``<set>/<alphabet>/<character>/<NNNN_NN>.png``.

    Args:
        content: The bytes of the zip.

    Returns:
        Images (N, 1, 28, 28) in the order of their names, and their alphabets (N,), counted from 0
        in sorted order; both uint8.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        drawings = [Image.open(io.BytesIO(archive.read(name))).convert("L") for name in names]
    x = np.stack([_like_mnist(255 - np.asarray(drawing)) for drawing in drawings])
    y = np.unique([name.split("/")[1] for name in names], return_inverse=True)[1]
    return x[:, None], y.astype(np.uint8)


def _like_mnist(ink):
    """A drawing in white ink as MNIST has its digits: 20 pixels long, its mass in the middle.

    The strokes, two pixels of 105 wide, first become as thick as MNIST's.

    Args:
        ink: (H, W), uint8, not empty of ink.

    Returns:
        (28, 28), uint8.
    """
    ink = ndimage.maximum_filter(ink, size=5)
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = (max(1, round(20 * n / max(ink.shape))) for n in ink.shape)
    small = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BOX))
    # The centre of mass goes to (13.5, 13.5), as near as whole pixels and the frame allow.
    centre = ndimage.center_of_mass(small.astype(np.float64))
    top, left = (
        min(max(round(13.5 - c), 0), 28 - n) for c, n in zip(centre, small.shape, strict=True)
    )
    result = np.zeros((28, 28), np.uint8)
    result[top : top + height, left : left + width] = small
    return result
