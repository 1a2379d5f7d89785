"""The data sets have the values they should have, and bad requests and bad files are refused."""

import hashlib
import io
import json
import runpy
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from uecompress import data
from uecompress.data import download, files, sets


def rows(x):
    """The images as a set of byte strings, to find equal ones."""
    return {image.numpy().tobytes() for image in x}


def check(x, y, shape, classes):
    assert tuple(x.shape) == shape
    assert x.dtype == torch.float32
    assert x.is_contiguous()
    assert y.dtype == torch.int64
    assert y.shape == shape[:1]
    assert torch.isfinite(x).all()
    assert x.min() == 0
    assert x.max() == 1
    assert y.unique().tolist() == list(range(classes))


def nearest_neighbour(x_train, y_train, x):
    return y_train[torch.cdist(x.flatten(1), x_train.flatten(1)).argmin(1)]


# Embedded sets


@pytest.mark.parametrize(("split", "part"), [("train", (0, 1000)), ("validation", (1000, 1200))])
def test_digits_keep_the_order_of_the_file(split, part):
    x, y = data.load("digits", split)
    check(x, y, (part[1] - part[0], 1, 28, 28), 10)
    digits = load_digits()
    assert y.tolist() == digits.target[slice(*part)].tolist()
    # Bicubic interpolation passes through its points: the middle of each 3x3 block is the scan.
    middles = x[:, 0, 3:26:3, 3:26:3].double()
    scans = torch.tensor(digits.images[slice(*part)]) / 16
    assert (middles - scans).abs().max() <= 1.01 / 255
    assert x[:, 0, :2].max() == 0  # the frame


def test_digits_splits_are_disjoint_and_learnable():
    parts = [data.load("digits", split) for split in sets.SPLITS]
    check(*parts[2], (597, 1, 28, 28), 10)
    images = [rows(x) for x, _ in parts]
    assert len(set.union(*images)) == sum(map(len, images)) == 1797
    (x, y), _, (x_test, y_test) = parts
    assert (nearest_neighbour(x, y, x_test) == y_test).float().mean() > 0.93


def test_glyphs_hold_other_letters_and_other_fonts():
    train, validation, test = (data.load("glyphs", split) for split in sets.SPLITS)
    check(*train, (1216, 1, 28, 28), 16)
    check(*validation, (384, 1, 28, 28), 16)
    check(*test, (1000, 1, 28, 28), 10)
    assert train[1].bincount().tolist() == [76] * 16
    assert validation[1].bincount().tolist() == [24] * 16
    assert test[1].bincount().tolist() == [100] * 10
    images = [rows(x) for x, _ in (train, validation, test)]
    assert len(set.union(*images)) == sum(map(len, images)) == 2600

    splits = runpy.run_path(data.folder() / "make_glyphs.py")["SPLITS"]
    assert splits["train"][0] == splits["validation"][0] == "KLMNOPQRSTUVWXYZ"
    assert splits["test"][0] == "ABCDEFGHIJ"
    assert not set(splits["train"][1]) & set(splits["validation"][1])


def test_glyphs_fill_the_frame_and_carry_their_labels():
    x, y = data.load("glyphs", "train")
    tall = (x[:, 0] > 0.1).any(2).sum(1)  # rows with ink
    assert tall.min() >= 20
    assert tall.max() <= 28
    x_validation, y_validation = data.load("glyphs", "validation")
    assert (nearest_neighbour(x, y, x_validation) == y_validation).float().mean() > 0.7


def test_no_part_of_the_glyphs_is_sorted():
    for split, classes in (("train", 16), ("test", 10)):
        assert data.load("glyphs", split)[1][:100].unique().numel() == classes


@pytest.mark.parametrize("name", ["digits", "glyphs"])
def test_scripts_make_the_embedded_files_again(name):
    made = runpy.run_path(data.folder() / f"make_{name}.py")["make"]()
    with np.load(data.folder() / f"{name}.npz", allow_pickle=False) as stored:
        assert sorted(stored) == sorted(made)
        for key, values in made.items():
            assert stored[key].dtype == values.dtype == np.uint8
            # Another version of Pillow may round to the next grey level.
            assert np.abs(stored[key].astype(int) - values).max() <= (key[0] == "x")


def test_embedded_data_are_small():
    assert (
        sum((data.folder() / f"{name}.npz").stat().st_size for name in ("digits", "glyphs")) < 1.5e6
    )


# Requests


def test_unknown_names_and_splits_are_refused_by_name():
    with pytest.raises(
        ValueError, match=r"'fashion'.*digits, glyphs, mnist, notmnist, omniglot, cifar10"
    ):
        data.load("fashion", "train")
    with pytest.raises(ValueError, match=r"'valid'.*train, validation, test"):
        data.load("digits", "valid")


@pytest.mark.parametrize("name", ["notMNIST", "Omniglot"])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_foreign_sets_are_only_test_sets(name, split):
    with pytest.raises(ValueError, match=f"{name} is only ever a test set.*{split}"):
        data.load(name.lower(), split)


def test_folder_is_the_installed_one_if_there_is_one(tmp_path, monkeypatch):
    assert (data.folder() / "digits.npz").is_file()
    package = tmp_path / "site" / "uecompress" / "data"
    package.mkdir(parents=True)
    monkeypatch.setattr(sets, "__file__", str(package / "sets.py"))
    assert data.folder() == tmp_path / "site" / "data"  # a checkout
    (package / "embedded").mkdir()
    assert data.folder() == package / "embedded"  # an installed wheel


def test_results_are_read_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(sets, "folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match="'unheard'; there are none"):
        data.results("unheard")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "svd.json").write_text(
        json.dumps({"note": "é", "rows": [1.5]}), "utf-8"
    )
    (tmp_path / "results" / "tt.json").write_text("{}")
    (tmp_path / "outside.json").write_text("{}")
    assert data.results("svd") == {"note": "é", "rows": [1.5]}
    for name in ("unheard", "../outside", "svd.json"):
        with pytest.raises(FileNotFoundError, match=f"{name}'; there are svd, tt"):
            data.results(name)


@pytest.mark.parametrize("name", ["digits", "glyphs"])
def test_embedded_data_need_no_network_and_no_folder(name, tmp_path, monkeypatch):
    monkeypatch.setenv("UECOMPRESS_DATA", str(tmp_path / "missing"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delattr(download.urllib.request, "urlopen")
    data.load(name, "test")
    assert list(tmp_path.iterdir()) == []


# The real sets


@pytest.mark.mnist
def test_mnist_values():
    x, y = data.load("mnist", "train")
    x_validation, y_validation = data.load("mnist", "validation")
    check(x, y, (55_000, 1, 28, 28), 10)
    check(x_validation, y_validation, (5_000, 1, 28, 28), 10)
    assert y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    total = x.sum(dtype=torch.float64) + x_validation.sum(dtype=torch.float64)
    assert total / (60_000 * 784) == pytest.approx(0.1307, abs=5e-5)
    counts = y.bincount() + y_validation.bincount()
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert not rows(x) & rows(x_validation)
    x_test, y_test = data.load("mnist", "test")
    check(x_test, y_test, (10_000, 1, 28, 28), 10)
    assert y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert not rows(x_test) & (rows(x) | rows(x_validation))


@pytest.mark.mnist
def test_notmnist_values():
    if files.find("notMNIST/t10k-images-idx3-ubyte") is None:
        pytest.skip("needs notMNIST in UECOMPRESS_DATA")
    x, y = data.load("notmnist", "test")
    check(x, y, (10_000, 1, 28, 28), 10)
    assert y.bincount().tolist() == [1000] * 10
    assert y[:10].tolist() == [3, 5, 9, 2, 7, 2, 9, 8, 5, 3]
    assert x.mean(dtype=torch.float64) == pytest.approx(0.42662, abs=1e-5)


@pytest.mark.mnist
def test_omniglot_values():
    if files.find("omniglot/images_background_small1.zip") is None:
        pytest.skip("needs omniglot in UECOMPRESS_DATA")
    x, y = data.load("omniglot", "test")
    check(x, y, (2_720, 1, 28, 28), 5)
    assert y.bincount().tolist() == [480, 440, 480, 800, 520]  # 20 of each character
    assert (y.diff() >= 0).all()
    pixels = (x * 255).round().to(torch.uint8).numpy()
    assert np.array_equal(pixels / np.float32(255), x.numpy())
    pinned = "005dc8804b77549f99e3db8cde1092b95b8720f5c7218e7533e34ecc114178d2"
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == pinned
    # As in MNIST: at most 20 pixels long, about as much ink, the mass in the middle.
    lines = [(x[:, 0] > 0).any(axis) for axis in (2, 1)]  # the rows and columns with ink
    lengths = [28 - line.int().argmax(1) - line.flip(1).int().argmax(1) for line in lines]
    assert torch.stack(lengths).max() == 20
    assert (torch.maximum(*lengths) == 20).float().mean() > 0.99  # a thin end may round to black
    assert x.mean() == pytest.approx(0.1635, abs=1e-4)  # MNIST's is 0.1325
    mass = x[:, 0].double() / x.sum((1, 2, 3), dtype=torch.float64)[:, None, None]
    at = torch.arange(28.0, dtype=torch.float64)
    for axis in (1, 2):
        centre = mass.sum(axis) @ at
        assert ((centre - 13.5).abs() <= 0.5 + 1e-9).float().mean() > 0.98  # others touch the frame


@pytest.mark.mnist
def test_cifar10_jpeg_values():
    if files.find("cifar10-jpeg.zip") is None:
        pytest.skip("needs cifar10-jpeg.zip in UECOMPRESS_DATA")
    x, y = data.load("cifar10-jpeg", "validation")
    check(x, y, (5_000, 3, 32, 32), 10)
    assert y.bincount().tolist() == [500] * 10
    assert y[:11].tolist() == [*range(10), 0]
    # Known means of CIFAR-10's training images, to two digits: channels in the order R, G, B.
    assert x.mean((0, 2, 3)).tolist() == pytest.approx([0.491, 0.482, 0.447], abs=0.01)
    with zipfile.ZipFile(files.find("cifar10-jpeg.zip")) as archive:
        last = archive.read("cifar10-jpeg/train/truck/4999.jpg")
    image = np.asarray(Image.open(io.BytesIO(last)))
    assert np.array_equal(x[-1].numpy(), image.transpose(2, 0, 1) / np.float32(255))
