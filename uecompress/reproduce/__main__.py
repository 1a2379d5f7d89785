"""``python -m uecompress.reproduce NAME``: run a long experiment and write ``results/NAME.json``.

The networks that an experiment keeps are written beside it, into ``results/NAME/``. An interrupted
run goes on where it stopped when the command is given again.
"""

import argparse
import datetime
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from uecompress.reproduce import (
    bayesian,
    bench,
    convolutions,
    dropout,
    ensemble,
    low_rank,
    svd,
    tt_training,
)
from uecompress.reproduce.store import Store, write, write_json

EXPERIMENTS = {
    "bench": bench,
    "ensemble": ensemble,
    "svd": svd,
    "dropout": dropout,
    "low_rank": low_rank,
    "convolutions": convolutions,
    "tt_training": tt_training,
    "bayesian": bayesian,
}


def main(arguments=None):
    """Run the experiments that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m uecompress.reproduce", description=__doc__)
    parser.add_argument("name", choices=EXPERIMENTS, help="the experiment to run")
    parser.add_argument(
        "--output", type=Path, default=Path("data/results"), help="folder of the JSON file"
    )
    chosen = parser.parse_args(arguments)
    chosen.output.mkdir(parents=True, exist_ok=True)  # fails now, not after hours
    path = chosen.output / f"{chosen.name}.json"
    write_json(path, reproduce(chosen.name))
    print(f"wrote {path}")
    if hasattr(EXPERIMENTS[chosen.name], "artefacts"):
        for name, content in EXPERIMENTS[chosen.name].artefacts().items():
            write(chosen.output / chosen.name / name, lambda f, c=content: f.write(c))
            print(f"wrote {chosen.output / chosen.name / name}")


def reproduce(name):
    """The result of one experiment with everything needed to trust it, as JSON values."""
    experiment = EXPERIMENTS[name]
    store = Store(name, experiment.SETTINGS)
    results = experiment.run(store)
    return {
        "command": f"python -m uecompress.reproduce {name}",
        "description": experiment.__doc__.strip().splitlines()[0],
        "settings": experiment.SETTINGS,
        "results": results,
        "minutes": round(store.seconds / 60, 1),
        "date": datetime.date.today().isoformat(),
        "threads": torch.get_num_threads(),
        "cpu": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, "
        f"{os.cpu_count()} cores",
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "numpy", "scikit-learn", "uecompress")},
    }


if __name__ == "__main__":
    sys.exit(main())
