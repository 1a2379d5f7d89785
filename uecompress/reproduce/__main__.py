"""``python -m uecompress.reproduce NAME``: run a long experiment and write ``results/NAME.json``.

Without a name, the experiments are listed. The networks that an experiment keeps are written beside
its result, into ``results/NAME/``. An interrupted run goes on where it stopped when the command is
given again. Results that are there are not overwritten unless ``--overwrite`` says so.
"""

import argparse
import datetime
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from uecompress import data
from uecompress.reproduce import (
    bayesian,
    bench,
    convolutions,
    dropout,
    ensemble,
    low_rank,
    parallel,
    pruning,
    rate_distortion,
    store,
    svd,
    tt_training,
)
from uecompress.reproduce.compare import compare

EXPERIMENTS = {
    "bench": bench,
    "ensemble": ensemble,
    "svd": svd,
    "dropout": dropout,
    "low_rank": low_rank,
    "convolutions": convolutions,
    "tt_training": tt_training,
    "bayesian": bayesian,
    "pruning": pruning,
    "rate_distortion": rate_distortion,
}


def main(arguments=None):
    """Do what the command line says; the exit status: 1 where ``--check`` finds a difference."""
    chosen = _parser().parse_args(arguments)
    if chosen.name is None:
        print(listing())
        return 0
    path = chosen.output / f"{chosen.name}.json"
    if not chosen.check:
        _may_write(path, chosen.overwrite)
    result = reproduce(chosen.name, jobs=chosen.jobs, scheduler=chosen.scheduler)
    experiment = EXPERIMENTS[chosen.name]
    kept = experiment.artefacts() if hasattr(experiment, "artefacts") else {}
    if chosen.check:
        return check(chosen.name, result, kept)
    store.write_json(path, result)
    print(f"wrote {path}")
    for name, content in kept.items():
        store.write(path.with_suffix("") / name, lambda f, c=content: f.write(c))
        print(f"wrote {path.with_suffix('') / name}")
    return 0


def listing():
    """The names of the experiments, how long the stored runs took, and what they make."""
    lines = []
    for name, experiment in EXPERIMENTS.items():
        minutes = data.results(name)["minutes"]
        lines.append(f"{name:13}{minutes:5.0f} min  {_first_line(experiment)}")
    return "\n".join([*lines, "", "(minutes of one thread; --jobs shares them, --help tells more)"])


def reproduce(name, *, jobs=1, scheduler=None):
    """The result of one experiment with everything needed to trust it, as JSON values.

    Args:
        name: of the experiment.
        jobs, scheduler: as in :func:`uecompress.reproduce.parallel.compute`.
    """
    experiment = EXPERIMENTS[name]
    store.asked.clear()
    units = store.Store(name, experiment.SETTINGS, experiment.VERSION)
    parallel.compute(experiment.units(units), jobs=jobs, scheduler=scheduler)
    results = experiment.run(units)
    return {
        "command": f"python -m uecompress.reproduce {name}",
        "description": _first_line(experiment),
        "version": experiment.VERSION,
        "settings": experiment.SETTINGS,
        "choice": choice(experiment),
        "results": results,
        "minutes": round(sum(store.asked.values()) / 60, 1),
        "date": datetime.date.today().isoformat(),
        "threads": torch.get_num_threads(),
        "cpu": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, "
        f"{os.cpu_count()} cores",
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "numpy", "scikit-learn", "uecompress")},
    }


def choice(experiment):
    """How the settings were chosen: what an experiment's docstring says in its last paragraph."""
    begin = "How the settings were chosen: "
    paragraph = " ".join(experiment.__doc__.split("\n\n")[-1].split())
    if not paragraph.startswith(begin):
        raise ValueError(f"the docstring of {experiment.__name__} must end with {begin!r} ...")
    return paragraph.removeprefix(begin)


def check(name, result, kept):
    """Print what differs between a fresh run and the stored one: 1 if a result does, else 0."""
    found, around = compare(data.results(name), result)
    folder = data.folder() / "results" / name
    for file, content in kept.items():
        stored = folder / file
        if not stored.exists() or stored.read_bytes() != content:
            found.append(f"{name}/{file}: {'other bytes' if stored.exists() else 'not stored'}")
    print("\n".join([*found, *(f"(circumstances) {line}" for line in around)]))
    print(f"{name}: not as stored" if found else f"{name}: as stored")
    return int(bool(found))


def _parser():
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m uecompress.reproduce", description=__doc__)
    parser.add_argument("name", nargs="?", choices=EXPERIMENTS, help="the experiment to run")
    parser.add_argument(
        "--output", type=Path, default=Path("data/results"), help="folder of the JSON file"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace results that are already there"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing, but say what differs from the stored results",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--jobs", type=_jobs, default=1, help="processes that share the work, -1 for all cores"
    )
    where.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="a dask cluster that shares the work; its workers must see the user's cache folder",
    )
    return parser


def _jobs(text):
    """A number of processes, of at least 1, or -1."""
    if text != "-1" and not (text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes")
    return int(text)


def _may_write(path, overwrite):
    """Make the folder now, not fail after hours; stop where results would be lost."""
    folder = path.with_suffix("")
    if not overwrite and (path.exists() or folder.exists()):
        there = path if path.exists() else folder
        raise SystemExit(f"{there} is there: --overwrite replaces it, --check compares with it")
    path.parent.mkdir(parents=True, exist_ok=True)


def _first_line(experiment):
    return experiment.__doc__.strip().splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
