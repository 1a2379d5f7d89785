import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from uecompress import data
from uecompress.reproduce import recipe, store
from uecompress.reproduce.__main__ import EXPERIMENTS, choice, main
from uecompress.reproduce.store import Store, read, write, write_json


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_unit_is_computed_once():
    calls = []

    def compute():
        calls.append(1)
        return {"a": np.arange(3.0), "b": np.array(["x"])}

    first = Store("demo", {"lr": 1}, 1).unit("one", compute)
    again = Store("demo", {"lr": 1}, 1).unit("one", compute)
    assert len(calls) == 1
    np.testing.assert_array_equal(first["a"], again["a"])
    assert set(first) == {"a", "b"}


def test_other_settings_and_other_names_are_other_units():
    for settings, name in [({"lr": 1}, "one"), ({"lr": 2}, "one"), ({"lr": 1}, "two")]:
        value = np.array([settings["lr"], len(name)])
        unit = Store("demo", settings, 1).unit(name, lambda value=value: {"v": value})
        np.testing.assert_array_equal(unit["v"], value)


def test_a_damaged_unit_is_computed_again():
    store = Store("demo", {}, 1)
    store.unit("one", lambda: {"v": np.array(1)})
    (path,) = store.folder.glob("*.npz")
    path.write_bytes(path.read_bytes()[:50])
    assert store.unit("one", lambda: {"v": np.array(2)})["v"] == 2
    assert store.unit("one", lambda: {"v": np.array(3)})["v"] == 2


def test_no_flipped_bit_stops_a_run():
    store = Store("demo", {}, 1)
    store.unit("one", lambda: {"v": np.arange(3.0)})
    (path,) = store.folder.glob("*.npz")
    content = path.read_bytes()
    ends = content.index(b"PK\x01\x02")  # the table of contents, whose damage has many errors
    for i in (*range(0, 8 * ends, 9), *range(8 * ends, 8 * len(content))):
        damaged = bytearray(content)
        damaged[i // 8] ^= 1 << i % 8
        path.write_bytes(damaged)
        arrays = read(path)
        if arrays is not None:
            assert arrays.keys() == {"v", "inside", "seconds"}
            np.testing.assert_array_equal(arrays["v"], np.arange(3.0))
    np.save(path.with_suffix(".npy"), np.arange(3))
    assert read(path.with_suffix(".npy")) is None


def test_the_time_of_units_from_earlier_runs_is_counted_once(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def compute(seconds, inside=None):
        if inside is not None:
            Store("demo", {}, 1).unit(*inside)
        now[0] += seconds
        return {}

    inner = "inner", lambda: compute(5)
    store.asked.clear()
    Store("demo", {}, 1).unit("first", lambda: compute(2))
    Store("demo", {}, 1).unit("outer", lambda: compute(3, inner))  # which takes 8 in all
    assert sorted(store.asked.values()) == [2, 3, 5]
    store.asked.clear()
    for name in ("outer", "first", "outer", "inner"):
        Store("demo", {}, 1).unit(name, None)
    assert sorted(store.asked.values()) == [2, 3, 5]
    store.asked.clear()
    Store("demo", {}, 1).unit("outer", None)  # brings the unit inside of it, which is not read
    assert sorted(store.asked.values()) == [3, 5]


def test_units_of_another_version_of_the_experiment_the_library_or_torch_are_others(monkeypatch):
    old = Store("demo", {"lr": 3e-3}, 1)
    assert old.value("u", lambda: "old") == "old"
    assert Store("demo", {"lr": 3e-3}, 1).value("u", lambda: "new") == "old"
    assert Store("demo", {"lr": 3e-3}, 2).value("u", lambda: "new") == "new"
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: version(name) + ".1")
    assert Store("demo", {"lr": 3e-3}, 1).value("u", lambda: "newer") == "newer"
    monkeypatch.undo()
    monkeypatch.setattr(torch, "__version__", "1.0")
    assert Store("demo", {"lr": 3e-3}, 1).folder != old.folder


@pytest.mark.parametrize("wrong", [None, "1", 1.5, 0, True])
def test_a_version_is_a_whole_number(wrong):
    with pytest.raises((TypeError, ValueError), match="version"):
        Store("demo", {}, wrong)


def test_no_setting_is_prose():
    def words(value):
        if isinstance(value, dict):
            return [word for each in value.values() for word in words(each)]
        if isinstance(value, list):
            return [word for each in value for word in words(each)]
        return [value] if isinstance(value, str) else []

    for experiment in EXPERIMENTS.values():
        assert [word for word in words(experiment.SETTINGS) if not word.isidentifier()] == []


def test_a_network_comes_back_bit_by_bit():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    trained = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    back = Store("demo", {}, 1).network("n", model, lambda: trained)
    for key, value in trained.state_dict().items():
        assert torch.equal(back.state_dict()[key], value)
        assert back.state_dict()[key].dtype == value.dtype
    assert not back.training
    assert not torch.equal(model[1].weight, trained[1].weight)


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "result.json"
    write_json(path, {"old": 1})

    def fail(file):
        file.write(b"half of")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(path, fail)
    assert json.loads(path.read_text()) == {"old": 1}
    assert list(tmp_path.glob("*.part")) == []
    with pytest.raises(ValueError, match="nan"):
        write_json(path, {"new": float("nan")})
    assert json.loads(path.read_text()) == {"old": 1}


def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent("""
        import os, signal, sys
        import numpy as np
        from uecompress.reproduce.store import Store

        store, log = Store("demo", {}, 1), open(sys.argv[1], "a")

        def compute(i):
            log.write(f"{i} "), log.flush()
            if i == 2 and sys.argv[2] == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            return {"v": np.array(i)}

        total = sum(int(store.unit(f"unit-{i}", lambda i=i: compute(i))["v"]) for i in range(4))
        log.write(f"sum {total}")
        """)
    )
    log = tmp_path / "log"
    command = [sys.executable, str(script), str(log)]
    killed = subprocess.run([*command, "die"], env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    subprocess.run([*command, "live"], env=os.environ, check=True)
    assert log.read_text() == "0 1 2 2 3 sum 6"


def demonstration(run=lambda store: [], **more):
    """An experiment, as a module would be."""
    doc = "A demonstration.\n\nMore.\n\nHow the settings were chosen: by\nhand, on one seed.\n"
    parts = {"__name__": "demo", "__doc__": doc, "SETTINGS": {}, "VERSION": 1}
    return SimpleNamespace(**parts | {"units": lambda store: [], "run": run} | more)


def test_the_result_tells_where_it_comes_from(tmp_path, monkeypatch, capsys):
    def run(store):
        return [int(store.unit("one", lambda: {"v": np.array(7)})["v"])]

    demo = demonstration(run, SETTINGS={"seeds": [0]}, VERSION=3)
    monkeypatch.setitem(EXPERIMENTS, "demo", demo)
    main(["demo", "--output", str(tmp_path)])
    stored = json.loads((tmp_path / "demo.json").read_text())
    assert stored["results"] == [7]
    assert stored["description"] == "A demonstration."
    assert stored["settings"] == {"seeds": [0]}
    assert stored["version"] == 3
    assert stored["choice"] == "by hand, on one seed."
    assert stored["versions"]["torch"] == torch.__version__
    assert "demo.json" in capsys.readouterr().out


def test_the_networks_that_an_experiment_keeps_are_files_beside_its_result(tmp_path, monkeypatch):
    demo = demonstration(artefacts=lambda: {"a.uec": b"UEC", "b.uec": b"more"})
    monkeypatch.setitem(EXPERIMENTS, "demo", demo)
    main(["demo", "--output", str(tmp_path)])
    kept = {path.name: path.read_bytes() for path in (tmp_path / "demo").iterdir()}
    assert kept == {"a.uec": b"UEC", "b.uec": b"more"}


def test_results_that_are_there_are_not_overwritten_unasked(tmp_path, monkeypatch, capsys):
    runs = []
    demo = demonstration(lambda store: runs.append(1), artefacts=lambda: {"a.uec": b"new"})
    monkeypatch.setitem(EXPERIMENTS, "demo", demo)
    where = ["demo", "--output", str(tmp_path)]
    kept = tmp_path / "demo" / "a.uec"
    kept.parent.mkdir()
    kept.write_bytes(b"old")
    for there in (kept.parent, tmp_path / "demo.json"):
        with pytest.raises(SystemExit, match=f"{there} is there: --overwrite"):
            main(where)
        (tmp_path / "demo.json").write_text("{}")
    assert (runs, kept.read_bytes()) == ([], b"old")
    assert main([*where, "--overwrite"]) == 0
    assert (runs, kept.read_bytes()) == ([1], b"new")
    assert json.loads((tmp_path / "demo.json").read_text())["description"] == "A demonstration."


def test_without_a_name_the_experiments_are_listed(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for line, (name, experiment) in zip(lines, EXPERIMENTS.items(), strict=False):
        assert line.startswith(name)
        assert f"{data.results(name)['minutes']:.0f} min" in line
        assert line.endswith(experiment.__doc__.splitlines()[0])


@pytest.mark.parametrize("jobs", ["0", "-2", "two", "1.5", ""])
def test_a_number_of_processes_is_one(jobs, capsys):
    with pytest.raises(SystemExit):
        main(["ensemble", "--jobs", jobs])
    assert "is no number of processes" in capsys.readouterr().err


def test_every_experiment_says_how_its_settings_were_chosen():
    assert all(choice(experiment).endswith(".") for experiment in EXPERIMENTS.values())
    with pytest.raises(ValueError, match="the docstring of demo must end with"):
        choice(demonstration(__doc__="A demonstration."))


@pytest.mark.parametrize("hold", [0.0, 0.5, 0.2])
def test_a_rate_stays_then_falls_in_a_line(hold):
    rate = recipe.rate({"lr": 3e-3, "lr_end": 1e-3, "hold": hold})
    for progress in (0.0, 0.1, 0.4, 0.75, 1.0):
        expected = np.interp(progress, [hold, 1], [3e-3, 1e-3])
        assert rate(progress) == pytest.approx(expected, rel=1e-12)
    to_nothing = recipe.rate({"lr": 3e-3, "lr_end": 0.0, "hold": 0.0})
    assert [to_nothing(p) for p in (0.1, 0.7)] == [3e-3 * (1 - 0.1), 3e-3 * (1 - 0.7)]  # exactly


def test_an_unknown_experiment_names_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        main(["nonsense"])
    assert "ensemble" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_the_stored_results_are_those_of_the_code(name):
    stored = data.results(name)
    assert stored["settings"] == EXPERIMENTS[name].SETTINGS
    assert stored["version"] == EXPERIMENTS[name].VERSION
    assert stored["choice"] == choice(EXPERIMENTS[name])
    assert stored["command"] == f"python -m uecompress.reproduce {name}"
    assert {"minutes", "date", "threads", "cpu", "versions"} <= set(stored)


def test_the_stored_ensemble_is_as_good_as_it_should_be():
    rows = data.results("ensemble")["results"]
    ones = [r for r in rows if r["version"] == "dense" and r["members"] == 1]
    fives = [r for r in rows if r["version"] == "dense" and r["members"] == 5]
    assert len(ones) == len(fives) == 3
    assert 1.4 <= np.mean([r["error"] for r in ones]) <= 1.9
    assert np.mean([r["error"] for r in fives]) <= 1.45
    assert np.mean([r["nll"] for r in fives]) <= 0.055
