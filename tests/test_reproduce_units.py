"""The units of every experiment, on forty digits: what one process computes, many can share."""

import pytest
import reproduced

from uecompress import data
from uecompress.reproduce import convolutions
from uecompress.reproduce.__main__ import EXPERIMENTS

# Of a long list of cases two show how they depend on one another.
FEW = {
    "ensemble": {"seeds": [0, 1], "members": 2},
    "svd": {"seeds": [0, 1], "rank": [2, 5]},
    "dropout": {
        "seeds": [0, 1],
        "members": 2,
        "samples": [1, 2],
        "samples_of_each_member": 2,
        "width": 10,
        "angles": [15],
        "corruptions": ["fog"],
    },
    "low_rank": {"seeds": [0, 1], "members": 2, "rank": [2], "samples": 2},
    "convolutions": {"members": 2, "methods": ["tt", "cp"], "ratios": [2.5, 5], "epochs": 1},
    "tt_training": {
        "seeds": [0, 1],
        "formats": {"dense": None, "32·32, rank 4": [[32, 32], 4, True]},
    },
    "bench": {
        "seeds": [0, 1],
        "search": {"lr": [1e-3], "weight_decay": [0.0, 1e-4], "share": [0.9], "clusters": [2, 4]},
    },
}


@pytest.mark.parametrize(
    "name", [name for name in EXPERIMENTS if name not in ("bayesian", "pruning", "rate_distortion")]
)
def test_units_are_independent_and_complete(name, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load = data.load

    def some(name, split):
        x, y = load({"mnist": "digits", "notmnist": "glyphs"}.get(name, name), split)
        return x[:40], y[:40]

    monkeypatch.setattr(data, "load", some)
    if hasattr(EXPERIMENTS[name], "card"):  # takes seconds: it writes and reads a file
        row = dict.fromkeys([*EXPERIMENTS["low_rank"].SETTINGS["tolerances"], "byte_ratio"], 1.0)
        monkeypatch.setattr(EXPERIMENTS[name], "card", lambda *_, **__: row)
    monkeypatch.setattr(convolutions, "factorized", lambda network, *_: network)  # minutes
    monkeypatch.setitem(convolutions.DENSE, "epochs", 1)
    for key, value in FEW[name].items():
        monkeypatch.setitem(EXPERIMENTS[name].SETTINGS, key, value)
    reproduced.check(EXPERIMENTS[name])
