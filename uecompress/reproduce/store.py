"""Results that an interruption does not lose.

A long run is cut into units, each of which ends in a file of its own. A unit whose file is there
is not run again; every file is either whole or not there.
"""

import copy
import hashlib
import io
import json
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from uecompress import checks
from uecompress.atomic import replacing
from uecompress.data.files import cache

# Seconds that each unit took, without the units inside it, whether in this run or before. `asked`
# has those that this process asked for, directly or inside of others, by file; `_open` the same for
# each unit that is being computed; `_computed` those that were computed here, one by one.
asked = {}
_open = []
_computed = []


class Store:
    """The finished units of one experiment, in a folder of the user's cache.

    Results of other settings, another version of the experiment, of the library or of torch, or
    another number of threads are other units, so that a result file never mixes them.

    Args:
        name: of the experiment.
        settings: everything else that decides a unit's result, as JSON values.
        version: the experiment's ``VERSION``, which is raised by hand with every change of its code
            that changes results.
    """

    def __init__(self, name, settings, version):
        versions = checks.whole("version", version), metadata.version("uecompress")
        key = [settings, *versions, torch.__version__, torch.get_num_threads()]
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        self.folder = cache() / "reproduce" / name / digest[:12]

    def unit(self, name, compute):
        """The arrays of unit ``name``: read from its file, or computed and written to it.

        Args:
            name: of the file.
            compute: a function without arguments that returns a dict of NumPy arrays.
        """
        path = self.folder / f"{name}.npz"
        arrays = read(path)
        if arrays is None:
            start, before = time.perf_counter(), len(_computed)
            _open.append({})
            try:
                arrays = compute()
            finally:
                inside = json.dumps(_open.pop())
            seconds = time.perf_counter() - start - sum(_computed[before:])
            _computed.append(seconds)
            write(path, lambda f: np.savez(f, **arrays, inside=inside, seconds=seconds))
            arrays = read(path)
        found = json.loads(str(arrays.pop("inside", "{}")))
        found[str(path)] = float(arrays.pop("seconds"))
        for units in (asked, *_open[-1:]):
            units.update(found)
        return arrays

    def value(self, name, compute):
        """The JSON value of unit ``name``: read from its file, or computed and written to it."""
        text = self.unit(name, lambda: {"json": np.array(json.dumps(compute()))})["json"]
        return json.loads(str(text))

    def network(self, name, model, train):
        """A copy of ``model`` with the trained weights of unit ``name``, in evaluation mode.

        Args:
            name: of the unit.
            model: a network of the right shape.
            train: a function without arguments that returns the trained network.
        """
        arrays = self.unit(
            name, lambda: {key: value.numpy() for key, value in train().state_dict().items()}
        )
        trained = copy.deepcopy(model)
        trained.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})
        return trained.eval()


def read(path):
    """The arrays of a unit's file, or None where there is none or it is damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = dict(stored)
    except Exception:  # what a damaged archive raises is not documented
        return None
    return arrays if "seconds" in arrays else None  # which was written last


def write_json(path, result):
    """Write a result as readable JSON, atomically."""
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    write(path, lambda f: f.write(text.encode()))


def write(path, put):
    """Call ``put(file)`` on a new file, which becomes ``path`` once it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        put(file)
