"""Draw the landing picture from the stored results: `python tools/picture.py`."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from uecompress import data, plotting

TARGET = Path(__file__).resolve().parent.parent / "_static" / "result.png"
PANELS = {
    "LeNet-5 as trained": ("dense", "dense"),
    "every weight one of three": ("vnq", "compressed"),
    "sparse variational dropout": ("sparse_vd", "compressed"),
    "the horseshoe": ("group_horseshoe", "compressed"),
}


def main():
    plotting.style()
    rows = data.results("bayesian")["results"]["rows"]
    figure, axes = plt.subplots(2, 2, figsize=(6.4, 4.8), sharex=True, sharey=True)
    for axis, (title, key) in zip(axes.flat, PANELS.items(), strict=True):
        runs = [r for r in rows if r["network"] == "lenet5" and (r["method"], r["way"]) == key]
        edges = np.linspace(0, np.log(10), len(runs[0]["histogram"]) + 1)
        for name, field in {"digits": "histogram", "letters": "histogram_ood"}.items():
            counts = np.mean([run[field] for run in runs], axis=0)
            axis.stairs(counts / counts.sum(), edges, fill=True, alpha=0.7, label=name)
        kilobytes, error = (np.mean([run[k] for run in runs]) for k in ("bytes", "error"))
        size = f"{kilobytes / 1000:,.{1 if kilobytes < 10_000 else 0}f} kB"
        axis.set_title(f"{title}\n{size}, {error:.2f} % errors")
    for axis in axes[:, 0]:
        axis.set(ylabel="share of images", yscale="log")
    for axis in axes[1]:
        axis.set_xlabel("doubt: entropy (nats)")
    axes[0, 0].legend()
    figure.savefig(TARGET, dpi=200)
    print(f"wrote {TARGET.name}")


if __name__ == "__main__":
    main()
