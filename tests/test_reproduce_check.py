"""``--check``: a fresh run beside the stored one."""

import copy
import json

import pytest

from uecompress import data
from uecompress.reproduce.__main__ import EXPERIMENTS, main
from uecompress.reproduce.compare import compare, differences
from uecompress.reproduce.store import Store


def test_numbers_within_a_thousandth_are_equal():
    assert differences(2.0, 2.0019) == []
    (said,) = differences({"a": -2.0}, {"a": -2.0021})
    assert said == "a: 1 of 1 numbers differ, most of all -2.0 stored, -2.0021 now"
    assert differences(0.0, 9e-7) == []  # results are stored with six digits
    assert len(differences(0.0, 1.1e-6)) == 1
    assert differences(3, 3.0) == []


def test_what_differs_in_many_entries_is_said_once():
    stored = {"rows": [{"nll": 0.1, "seed": s, "way": "mean"} for s in range(5)]}
    fresh = copy.deepcopy(stored)
    fresh["rows"][3]["nll"], fresh["rows"][4]["nll"] = 0.2, 0.15
    fresh["rows"][0] |= {"way": "samples", "new": 1}
    fresh["rows"][1] |= {"new": 1}
    assert set(differences(stored, fresh)) == {
        "rows[*].nll: 2 of 5 numbers differ, most of all 0.1 stored, 0.2 now",
        "rows[*].way: 'mean' stored, 'samples' now",
        "rows[*].new: only now (2 times)",
    }


@pytest.mark.parametrize(
    ("stored", "fresh", "said"),
    [
        ({"a": [1, 2, 3]}, {"a": [1, 2]}, "a: 3 entries stored, 2 now"),
        ({"a": None}, {"a": 0.5}, "a: None stored, 0.5 now"),
        ({"a": True}, {"a": 1}, None),
        ({"a": {"b": 1}}, {"a": {}}, "a.b: only stored"),
        ({"a": {"b": 1}}, {"a": [1]}, "a: {'b': 1} stored, [1] now"),
    ],
)
def test_every_kind_of_difference_is_said(stored, fresh, said):
    assert differences(stored, fresh) == ([said] if said else [])


def test_the_machine_explains_and_the_date_does_not_count():
    around = {"threads": 1, "cpu": "a", "versions": {"torch": "2.13"}, "date": "x", "minutes": 1}
    stored = around | {"results": [1.0], "measured_again": {}}
    fresh = around | {"results": [1.0], "cpu": "b", "date": "y", "minutes": 9}
    assert compare(stored, fresh) == ([], ["cpu: 'a' stored, 'b' now"])


def test_check_writes_nothing_and_its_status_says_whether_results_differ(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    stored, svd = data.results("svd"), EXPERIMENTS["svd"]
    monkeypatch.setattr(svd, "units", lambda store: [])
    monkeypatch.setattr(svd, "run", lambda store: stored["results"])
    assert main(["svd", "--check"]) == 0
    assert "svd: as stored" in capsys.readouterr().out
    changed = copy.deepcopy(stored["results"])
    changed["rows"][2]["nll"] *= 2
    monkeypatch.setattr(svd, "run", lambda store: changed)
    assert main(["svd", "--check"]) == 1
    said = capsys.readouterr().out
    assert "results.rows[*].nll: 1 of" in said
    assert "svd: not as stored" in said
    assert list(tmp_path.glob("data/**/*")) == []


def test_check_compares_the_networks_that_are_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    stored, bayesian = data.results("bayesian"), EXPERIMENTS["bayesian"]
    folder = data.folder() / "results" / "bayesian"
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(bayesian, "units", lambda store: [])
    monkeypatch.setattr(bayesian, "run", lambda store: stored["results"])
    monkeypatch.setattr(bayesian, "artefacts", lambda: kept)
    assert main(["bayesian", "--check"]) == 0
    first, second = sorted(kept)[:2]
    kept[first] += b"!"
    kept["more.uec"] = kept.pop(second)
    assert main(["bayesian", "--check"]) == 1
    said = capsys.readouterr().out
    assert f"bayesian/{first}: other bytes" in said
    assert "bayesian/more.uec: not stored" in said


def test_minutes_of_a_result_are_those_of_its_units(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    svd = EXPERIMENTS["svd"]
    monkeypatch.setattr(svd, "units", lambda store: [[("one", _wait, (store, "one"))]])
    monkeypatch.setattr(svd, "run", lambda store: _wait(store, "one") + _wait(store, "two"))
    ticks = iter(range(0, 10**6, 90))  # seconds: every look at the clock is 90 later
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    main(["svd", "--output", str(tmp_path)])
    assert json.loads((tmp_path / "svd.json").read_text())["minutes"] == 3  # of two units


def _wait(store, name):
    return Store.value(store, name, lambda: 1)
