"""One look for every figure of the book."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

GUESS = "0.35"  # the grey of everything the reader guessed


def style():
    """Set the book's look: colour-blind-safe, on white, which stays readable in dark mode."""
    sns.set_theme(style="whitegrid", palette="colorblind", context="notebook", font_scale=0.85)
    plt.rcParams.update(
        {
            "figure.figsize": (6.4, 3.4),
            "figure.dpi": 110,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "figure.constrained_layout.use": True,
        }
    )


def images(x, titles=None, *, columns=10):
    """A grid of images.

    Args:
        x: (N, 1, H, W) or (N, H, W), white on black in [0, 1].
        titles: N strings to write above them.
        columns: images in a row.

    Returns:
        The matplotlib figure.
    """
    pictures = np.asarray(x).reshape(len(x), *np.shape(x)[-2:])
    rows = -(-len(pictures) // columns)
    height = rows * (1.05 if titles else 0.8)
    figure, axes = plt.subplots(rows, columns, figsize=(0.8 * columns, height), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture, title in zip(axes.flat, pictures, titles or [""] * len(x), strict=False):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axis.set_title(title, fontsize=8)
    return figure


def spread(axis, x, runs, label, **line):
    """The mean of several runs as a line, and their range from lowest to highest as a band.

    Args:
        axis: a matplotlib axis.
        x: positions (K,).
        runs: one row per run (R, K), for instance one per seed.
        label: for the legend.
        line: passed on to ``axis.plot``.
    """
    runs = np.asarray(runs)
    (drawn,) = axis.plot(x, runs.mean(0), label=label, **line)
    axis.fill_between(x, runs.min(0), runs.max(0), color=drawn.get_color(), alpha=0.2, lw=0)


def guess(axis, *, x=None, y=None):
    """Draw the reader's guess, a dashed line at ``x`` or at ``y``, beside the truth."""
    if (x is None) == (y is None):
        raise ValueError("give either x or y")
    draw, at = (axis.axvline, x) if y is None else (axis.axhline, y)
    draw(at, color=GUESS, linestyle="--", label="your guess")
