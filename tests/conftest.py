"""What all tests share: one thread, and the skip of tests whose data sets are not here."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


def _has_mnist():
    root = os.environ.get("UECOMPRESS_DATA")
    images = "MNIST/raw/train-images-idx3-ubyte"
    return bool(root) and any((Path(root) / (images + end)).is_file() for end in ("", ".gz"))


def pytest_collection_modifyitems(items):
    if _has_mnist():
        return
    for item in items:
        if item.get_closest_marker("mnist"):
            item.add_marker(pytest.mark.skip(reason="needs MNIST: set UECOMPRESS_DATA"))
