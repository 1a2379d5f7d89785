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


def write_unpacked(folder, batches):
    (folder / "cifar-10-batches-bin").mkdir()
    for name, records in batches.items():
        (folder / name).write_bytes(records.tobytes())


def write_archive(folder, batches, monkeypatch):
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, records in reversed(batches.items()):  # in an order of its own
            member = tarfile.TarInfo(name)
            member.size = records.nbytes
            archive.addfile(member, io.BytesIO(records.tobytes()))
    sha256 = hashlib.sha256((folder / "cifar-10-binary.tar.gz").read_bytes()).hexdigest()
    monkeypatch.setitem(files.SOURCES, "cifar-10-binary.tar.gz", (None, sha256))


@pytest.mark.parametrize("packed", [True, False])
def test_cifar10_is_read_from_the_archive_and_from_its_folder(cifar, packed, monkeypatch):
    folder, batches = cifar
    if packed:
        write_archive(folder, batches, monkeypatch)
    else:
        write_unpacked(folder, batches)
    records = np.concatenate(list(batches.values()))
    parts = {"train": slice(0, 13), "validation": slice(13, 15), "test": slice(15, 18)}
    for split, part in parts.items():
        x, y = data.load("cifar10", split)
        assert x.shape == (part.stop - part.start, 3, 32, 32)
        assert y.tolist() == records[part, 0].tolist()
        # Byte 1 + 1024 c + 32 i + j of a record is channel c, row i, column j.
        assert x[1, 2, 5, 7] == records[part][1, 1 + 2048 + 160 + 7] / np.float32(255)
        assert np.array_equal(x.flatten(1).numpy(), records[part, 1:] / np.float32(255))
    if packed:
        assert not (folder / "cifar-10-batches-bin").exists()  # nothing is unpacked to disk


def test_damaged_cifar10_is_refused_by_name(cifar, monkeypatch):
    folder, batches = cifar
    write_unpacked(folder, batches)
    path = folder / "cifar-10-batches-bin" / "test_batch.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        ValueError, match=r"test_batch\.bin is damaged: it has 9218 bytes, not 9219"
    ):
        data.load("cifar10", "test")
    path.write_bytes(b"\x0a" + bytes(9218))
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
