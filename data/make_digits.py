"""Makes digits.npz: scikit-learn's handwritten digits (8x8 scans) shown at 28x28.

Run ``python data/make_digits.py`` to write the file again.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

# The images stay in scikit-learn's order; see README.md for what that says about the writers.
SPLITS = {"train": slice(0, 1000), "validation": slice(1000, 1200), "test": slice(1200, 1797)}


def enlarge(scan):
    """One scan, (8, 8) with values 0..16, as a (28, 28) uint8 image with a black frame."""
    grey = np.round(scan * (255 / 16)).astype(np.uint8)
    large = Image.fromarray(grey).resize((24, 24), Image.Resampling.BICUBIC)
    return np.pad(np.asarray(large), 2)  # (24, 24) -> (28, 28)


def make():
    """The arrays of digits.npz: ``x_<split>`` (N, 28, 28) and ``y_<split>`` (N,), all uint8."""
    digits = load_digits()
    x = np.stack([enlarge(scan) for scan in digits.images])
    y = digits.target.astype(np.uint8)
    arrays = {}
    for split, rows in SPLITS.items():
        arrays[f"x_{split}"], arrays[f"y_{split}"] = x[rows], y[rows]
    return arrays


if __name__ == "__main__":
    np.savez_compressed(Path(__file__).with_name("digits.npz"), **make())
