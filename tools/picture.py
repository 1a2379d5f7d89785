"""Draw the README's picture from the stored results: `python tools/picture.py`."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from uecompress import data, plotting

TARGET = Path(__file__).resolve().parent.parent / "_static" / "result.png"


def main():
    plotting.style()
    stored = data.results("ensemble")
    edges = np.linspace(0, np.log(10), 24)
    rows = {
        "one network": ("dense", 1),
        "ensemble of five": ("dense", 5),
        "the five at rank 5": ("rank 5", 5),
    }
    figure, axes = plt.subplots(1, 3, figsize=(9.5, 2.8), sharey=True)
    for axis, (title, key) in zip(axes, rows.items(), strict=True):
        runs = [r for r in stored["results"] if (r["version"], r["members"]) == key]
        for name, field in {"MNIST digits": "histogram_in", "letters": "histogram_out"}.items():
            counts = np.mean([run[field] for run in runs], axis=0)
            axis.stairs(counts / counts.sum(), edges, fill=True, alpha=0.7, label=name)
        error, auroc = (np.mean([run[k] for run in runs]) for k in ("error", "auroc_entropy"))
        axis.set(title=f"{title}\nerror {error:.1f} %, AUROC {auroc:.2f}", xlabel="entropy (nats)")
    axes[0].set_ylabel("share of images")
    axes[0].legend()
    figure.savefig(TARGET, dpi=140)
    print(f"wrote {TARGET.name}")


if __name__ == "__main__":
    main()
