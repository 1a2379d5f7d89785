"""IDX, the binary CIFAR-10 and the zip of JPEGs are read byte for byte, and damage is refused."""

import gzip
import hashlib
import io
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from uecompress import data
from uecompress.data import files, formats, sets


def test_idx_reads_what_its_header_declares():
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    content = b"\0\0\x08\x03" + struct.pack(">3I", 2, 3, 4) + values.tobytes()
    assert np.array_equal(formats.idx(content), values)
    for wrong, message in [
        (b"", "not an IDX file"),
        (b"\0\0\x0d\x03" + content[4:], "not an IDX file"),
        (gzip.compress(content), "not an IDX file"),
        (content[:10], "ends in its header"),
        (content[:-1], r"\(2, 3, 4\) has 40 bytes, not 39"),
        (content + b"\0", r"\(2, 3, 4\) has 40 bytes, not 41"),
    ]:
        with pytest.raises(ValueError, match=message):
            formats.idx(wrong)


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """A CIFAR-10 of 3 images a batch: (data folder, the six batches by member name)."""
    monkeypatch.setattr(formats, "CIFAR_BATCH", 3)
    monkeypatch.setattr(sets, "HELD_OUT", 2)
    monkeypatch.setenv("UECOMPRESS_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    draw = np.random.default_rng(0)
    batches = {}
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        records = draw.integers(0, 256, (3, 3073), dtype=np.uint8)
        records[:, 0] %= 10
        batches[f"cifar-10-batches-bin/{name}.bin"] = records
    return tmp_path, batches


def write_archive(folder, batches, monkeypatch):
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, records in reversed(batches.items()):  # in an order of its own
            member = tarfile.TarInfo(name)
            member.size = records.nbytes
            archive.addfile(member, io.BytesIO(records.tobytes()))
    content = (folder / "cifar-10-binary.tar.gz").read_bytes()
    source = None, hashlib.sha256(content).hexdigest(), len(content)
    monkeypatch.setitem(files.SOURCES, "cifar-10-binary.tar.gz", source)


def test_cifar10_is_read_from_its_archive(cifar, monkeypatch):
    folder, batches = cifar
    write_archive(folder, batches, monkeypatch)
    records = np.concatenate(list(batches.values()))
    parts = {"train": slice(0, 13), "validation": slice(13, 15), "test": slice(15, 18)}
    for split, part in parts.items():
        x, y = data.load("cifar10", split)
        assert x.shape == (part.stop - part.start, 3, 32, 32)
        assert y.tolist() == records[part, 0].tolist()
        # Byte 1 + 1024 c + 32 i + j of a record is channel c, row i, column j.
        assert x[1, 2, 5, 7] == records[part][1, 1 + 2048 + 160 + 7] / np.float32(255)
        assert np.array_equal(x.flatten(1).numpy(), records[part, 1:] / np.float32(255))
    assert not (folder / "cifar-10-batches-bin").exists()  # nothing is unpacked to disk


def test_unpacked_cifar10_is_not_read_since_nothing_proves_it(cifar, monkeypatch):
    folder, batches = cifar
    (folder / "cifar-10-batches-bin").mkdir()
    for name in batches:
        (folder / name).write_bytes(bytes(3 * 3073))  # of the right length, with labels
    source = None, *files.SOURCES["cifar-10-binary.tar.gz"][1:]
    monkeypatch.setitem(files.SOURCES, "cifar-10-binary.tar.gz", source)
    with pytest.raises(FileNotFoundError, match=r"cifar-10-binary\.tar\.gz is not in"):
        data.load("cifar10", "test")
    write_archive(folder, batches, monkeypatch)
    y = data.load("cifar10", "test")[1]
    assert y.tolist() == batches["cifar-10-batches-bin/test_batch.bin"][:, 0].tolist()


def test_damaged_cifar10_is_refused_by_name(cifar, monkeypatch):
    folder, batches = cifar
    name = "cifar-10-batches-bin/test_batch.bin"
    write_archive(folder, batches | {name: batches[name][:2]}, monkeypatch)
    with pytest.raises(
        ValueError, match=r"test_batch\.bin is damaged: it has 6146 bytes, not 9219"
    ):
        data.load("cifar10", "test")
    wrong = np.full((3, 3073), 10, np.uint8)
    write_archive(folder, batches | {name: wrong}, monkeypatch)
    with pytest.raises(ValueError, match=r"test_batch\.bin is damaged: it has the label 10"):
        data.load("cifar10", "test")
    write_archive(folder, batches, monkeypatch)
    archive = folder / "cifar-10-binary.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"cifar-10-binary\.tar\.gz is damaged"):
        data.load("cifar10", "test")


def test_jpeg_images_come_by_number_then_class():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for label, name in enumerate(formats.CIFAR_CLASSES):
            for number in range(3):
                jpeg = io.BytesIO()
                colour = (20 * label, 100 * number, 255 - 20 * label)
                Image.new("RGB", (32, 32), colour).save(jpeg, "jpeg", quality=100)
                archive.writestr(f"cifar10-jpeg/train/{name}/{number:04d}.jpg", jpeg.getvalue())
    x, y = formats.cifar_jpeg(buffer.getvalue(), "train", range(1, 3))
    assert x.shape == (20, 3, 32, 32)
    assert y.tolist() == [*range(10), *range(10)]
    for i in range(20):
        label, number = i % 10, 1 + i // 10
        expected = np.array([20 * label, 100 * number, 255 - 20 * label])
        assert np.abs(x[i].astype(int) - expected[:, None, None]).max() <= 3


def like_mnist_by_hand(drawing):
    """The recipe in plain loops: (105, 105), black ink on white, to (28, 28), for exact areas."""
    size = len(drawing)
    ink = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            window = drawing[max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3]
            ink[i, j] = 255 - window.min()
    rows = [i for i in range(size) if ink[i].max() > 0]
    columns = [j for j in range(size) if ink[:, j].max() > 0]
    ink = ink[min(rows) : max(rows) + 1, min(columns) : max(columns) + 1]
    longer = max(ink.shape)
    small = ink
    for axis in (0, 1):  # a new pixel is the mean of those whose middles it covers
        old = small.shape[axis]
        new = max(1, round(20 * old / longer))
        centres = (np.arange(new)[:, None] + 0.5) * (old / new)
        distance = (np.arange(old) - centres + 0.5) * (
            1 / (old / new)
        )  # where rounding is Pillow's
        cover = (distance > -0.5) & (distance <= 0.5)
        mean = cover / cover.sum(1, keepdims=True)
        small = mean @ small if axis == 0 else small @ mean.T
    middle = [
        (np.arange(n) * small.sum(1 - axis)).sum() / small.sum()
        for axis, n in enumerate(small.shape)
    ]
    corner = [
        int(np.clip(np.rint(13.5 - m), 0, 28 - n)) for m, n in zip(middle, small.shape, strict=True)
    ]
    frame = np.zeros((28, 28))
    frame[corner[0] : corner[0] + small.shape[0], corner[1] : corner[1] + small.shape[1]] = small
    return frame


def write_omniglot(drawings):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, drawing in drawings.items():
            png = io.BytesIO()
            Image.fromarray(drawing).convert("1").save(png, "png")
            archive.writestr(f"images/{name}.png", png.getvalue())
            archive.writestr(f"images/{name}.txt", "no drawing")
    return buffer.getvalue()


def test_omniglot_is_prepared_as_mnist_is():
    names = ["Zulu/character01/0002_01", "Arabic/character02/0001_02", "Arabic/character01/0003_01"]
    drawings = {}
    for seed, name in enumerate(names):
        drawings[name] = drawing = np.full((105, 105), 255, np.uint8)
        g = np.random.default_rng(seed)
        at = g.integers(20, 85, 2)
        for _ in range(400):  # a wandering pen
            at = np.clip(at + g.integers(-2, 3, 2), 0, 103)
            drawing[at[0] : at[0] + 2, at[1] : at[1] + 2] = 0
    x, y = formats.omniglot(write_omniglot(drawings))
    assert y.tolist() == [0, 0, 1]  # the alphabets in sorted order, and the names within
    for image, name in zip(x[:, 0], sorted(names), strict=True):
        by_hand = like_mnist_by_hand(drawings[name])
        assert np.abs(image - by_hand).max() <= 1, name
        assert image.max() > 200


@pytest.mark.parametrize(("height", "width"), [(3, 101), (101, 3), (1, 1), (105, 105)])
def test_a_single_stroke_of_omniglot_is_20_long_and_in_the_middle(height, width):
    drawing = np.full((105, 105), 255, np.uint8)
    drawing[:height, :width] = 0
    image = formats.omniglot(write_omniglot({"A/b/c": drawing}))[0][0, 0]
    rows, columns = (np.flatnonzero(image.any(axis)) for axis in (1, 0))
    assert max(len(rows), len(columns)) == 20
    assert abs(rows.mean() - 13.5) <= 0.5
    assert abs(columns.mean() - 13.5) <= 0.5
    assert set(np.unique(image)) == {0, 255}
