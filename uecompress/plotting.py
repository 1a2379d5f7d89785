"""One look for every figure of the book."""

import base64
import html
import io
import sys
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.ticker import PercentFormatter

from uecompress import checks
from uecompress.uncertainty import head

GUESS = "0.35"  # the grey of everything the reader guessed
PERCENT = {"error": "error (%)", "accuracy": "accuracy (%)", "ece": "ECE (%)", "fpr95": "FPR95 (%)"}


def style():
    """Set the book's look: colour-blind-safe, on white, which stays readable in dark mode.

    In a notebook figures are drawn sharp, with two pixels for one.
    """
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
    ipython = sys.modules.get("IPython")
    if ipython and ipython.get_ipython():
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("retina")


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

    Raises:
        TypeError: ``x`` or ``runs`` are not real numbers.
    """
    x, runs = _real("x", x), _real("runs", runs)
    (drawn,) = axis.plot(x, runs.mean(0), label=label, **line)
    axis.fill_between(x, runs.min(0), runs.max(0), color=drawn.get_color(), alpha=0.2, lw=0)


def against_bytes(rows, quantities=("error", "nll", "auroc")):
    """What a network is worth against the length of its file: one small panel per quantity.

    Args:
        rows: rows of :func:`uncertainty.scorecard <uecompress.uncertainty.scorecard>` with bytes.
            Rows of the same name (other seeds, other ranks) share a marker and a colour.
        quantities: keys of a row, or "error", which is one minus the accuracy.

    Returns:
        The matplotlib figure.

    Raises:
        TypeError: a quantity that is no number.
        ValueError: no rows, or one in which the bytes or a quantity were not measured.
    """
    if not rows or not quantities:
        raise ValueError("a figure needs at least one row and one quantity")
    rows = [{**row, "error": 1 - row["accuracy"]} for row in rows]
    for key in ("bytes", *quantities):
        missing = [row["name"] for row in rows if row.get(key) is None]
        if missing:
            raise ValueError(f"{key} was not measured for {', '.join(map(repr, missing))}")

    names = list(dict.fromkeys(row["name"] for row in rows))
    dots = {"ms": 7, "mec": "white", "mew": 0.6, "linestyle": "none"}
    looks = zip(names, cycle(sns.color_palette("colorblind")), cycle("osD^vPX*<>p"), strict=False)
    size = (2.3 * len(quantities) + 0.2, 2.6 + 0.22 * -(-len(names) // 3))
    figure, axes = plt.subplots(1, len(quantities), figsize=size, squeeze=False)
    for name, colour, marker in looks:
        same = [row for row in rows if row["name"] == name]
        for axis, key in zip(axes[0], quantities, strict=True):
            lengths, values = [row["bytes"] for row in same], [row[key] for row in same]
            lengths, values = _real("bytes", lengths), _real(key, values)
            axis.plot(lengths, values, marker, color=colour, label=name, **dots)
    for axis, key in zip(axes[0], quantities, strict=True):
        percent = key in PERCENT
        axis.set(xscale="log", xlabel="file (bytes)")
        axis.margins(x=0.1)
        axis.set_ylabel(PERCENT[key] if percent else head(key)[0])
        if percent:
            axis.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def guess(axis, *, x=None, y=None):
    """Draw the reader's guess, a dashed line at ``x`` or at ``y``, beside the truth.

    Nothing is drawn while the guess is ``...``.

    Raises:
        TypeError: it is no number.
        ValueError: neither ``x`` nor ``y`` is given, or both.
    """
    if (x is None) == (y is None):
        raise ValueError("give either x or y")
    draw, at = (axis.axvline, x) if y is None else (axis.axhline, y)
    if at is not ...:
        draw(checks.real("the guess", at), color=GUESS, linestyle="--", label="your guess")


class slider:
    """A figure for each value, and a slider that pages through them: no server, all is in the page.

    Args:
        draw: a function value -> matplotlib figure, which is closed when it has been kept.
        values: what to draw, in the slider's order; at least two.
        label: what the values are, with their unit.
        alt: the figure in words; the value is added.
        start: the position of the value that is shown first.

    Raises:
        ValueError: fewer than two values, or a start that is none of their positions.
    """

    def __init__(self, draw, values, *, label, alt, start=0):
        self.values, self.label, self.alt = list(values), label, alt
        if len(self.values) < 2:
            raise ValueError("a slider needs at least two values")
        self.start = checks.whole("start", start, low=0, high=len(self.values) - 1)
        self.frames = []
        for value in self.values:
            figure, file = draw(value), io.BytesIO()
            figure.savefig(file, dpi=2 * figure.dpi)
            self.frames.append(base64.b64encode(file.getvalue()).decode())
            self.width = round(figure.dpi * figure.get_figwidth())
            plt.close(figure)

    def __repr__(self):
        return f"a slider: {self.label} from {self.values[0]} to {self.values[-1]}"

    def _repr_html_(self):
        said = [html.escape(f"{self.alt} Here {self.label} is {value}.") for value in self.values]
        frames = "".join(
            f'<img alt="{alt}" width="{self.width}" src="data:image/png;base64,{frame}"'
            f"{'' if i == self.start else ' hidden'}>"
            for i, (alt, frame) in enumerate(zip(said, self.frames, strict=True))
        )
        shown = html.escape(",".join(map(str, self.values)))
        turn = (
            "const f = this.closest('figure');"
            "f.querySelectorAll('img').forEach((e, i) => {e.hidden = i != this.value});"
            "f.querySelector('output').value = this.dataset.values.split(',')[this.value]"
        )
        return (
            f'<figure class="slider">{frames}<figcaption><label>{html.escape(self.label)} '
            f'<input type="range" min="0" max="{len(self.values) - 1}" value="{self.start}" '
            f'data-values="{shown}" oninput="{turn}"> '
            f"<output>{self.values[self.start]}</output></label></figcaption></figure>"
        )


def _real(name, values):
    """Values as an array of real numbers, or an error that names them."""
    array = np.asarray(values)
    if array.dtype.kind not in "buif":
        raise TypeError(f"{name} must be real numbers, not {array.dtype}")
    return array
