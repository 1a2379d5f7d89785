"""Doubt about more than notMNIST: a second foreign set, a harder one, and a detector of frames.

notMNIST is easy. Its letters fill the image, where MNIST leaves a frame of zero bytes, so that the
sum of the outer pixels alone tells one from the other. Omniglot's letters are drawn, thickened,
scaled and centred as MNIST's digits are; the digits turned by 90° are MNIST's own.
"""

import torch

from uecompress import data, uncertainty

NAMES = ("omniglot", "turned")
SCORES = {each.__name__: each for each in (uncertainty.auroc, uncertainty.aupr, uncertainty.fpr95)}
KEYS = [f"{key}_{name}" for name in NAMES for key in ("entropy", *SCORES)]
FRAME = 3  # rows and columns of pixels on each side


def images(name):
    """The foreign images of one name, (N, 1, 28, 28); "turned" are the digits of the test."""
    if name == "turned":
        return torch.rot90(data.load("mnist", "test")[0], dims=(2, 3))  # exact, anticlockwise
    return data.load(name, "test")[0]


def row(model, batch_size=1000, samples=None):
    """Mean entropy, and AUROC, AUPR and FPR95 of the entropy, on each foreign set but notMNIST.

    Args:
        model: a network.
        batch_size, samples: as in :func:`uecompress.uncertainty.predict`.
    """

    def doubt(x):
        found = uncertainty.predict(model, x, samples=samples, batch_size=batch_size)
        return uncertainty.entropy(found)

    inside, result = doubt(data.load("mnist", "test")[0]), {}
    for name in NAMES:
        outside = doubt(images(name))
        result[f"entropy_{name}"] = round(outside.mean().item(), 6)
        result |= _scores(name, inside, outside)
    return result


def frame(x):
    """What lies in the outer three rows and columns of pixels: (N, 1, H, W) -> (N,)."""
    inner = torch.zeros(x.shape[-2:], dtype=torch.bool)
    inner[FRAME:-FRAME, FRAME:-FRAME] = True
    return x.masked_fill(inner, 0).double().sum((1, 2, 3))


def frame_row():
    """How well the sum of the frame, which knows no digit, tells each foreign set from MNIST."""
    inside, result = frame(data.load("mnist", "test")[0]), {}
    for name in ("notmnist", *NAMES):
        result |= _scores(name, inside, frame(images(name)))
    return result


def _scores(name, inside, outside):
    """AUROC, AUPR and FPR95 of a score on one foreign set."""
    return {f"{key}_{name}": round(f(inside, outside), 6) for key, f in SCORES.items()}
