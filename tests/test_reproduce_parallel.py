"""Units that many processes compute are those that one computes; what is said where one fails."""

import os
import sys
import warnings

import numpy as np
import pytest
import torch
from joblib.externals.loky import get_reusable_executor

from uecompress import networks
from uecompress.data.files import cache
from uecompress.reproduce import parallel, recipe, store
from uecompress.reproduce.store import Store


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory):
    """One cache for all tests, since joblib's processes live on, each with that it began with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(recipe.data, "load", few)
        yield
        get_reusable_executor().shutdown(wait=True)


def few(name, split):
    """Forty random images."""
    x = torch.rand(40, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    return x, torch.arange(40) % 10


def trained(units, seed):
    """A unit: one epoch on those images."""
    recipe.data.load = few  # in another process it is not changed yet
    model = networks.mlp(784, 8, 1, seed=seed)
    how = {"epochs": 1, "batch_size": 8, "lr": 1e-2, "hold": 0.0, "lr_end": 0.0}
    how["weight_decay"] = 0.0
    return units.network(f"seed-{seed}", model, lambda: recipe.fit(model, how, seed))


def average(units, seeds):
    """A unit that needs others, which must be there."""
    paths = [units.folder / f"seed-{seed}.npz" for seed in seeds]
    return units.value("sum", lambda: [float(np.load(p)["linear1.weight"].sum()) for p in paths])


def about(units, name):
    """A unit that says where it was computed."""
    return units.value(name, lambda: [os.getpid(), torch.get_num_threads()])


def flushing(units, name):
    """A unit with a number too small to be normal."""
    return units.value(name, lambda: float(torch.full((64,), 1e-30) @ torch.full((64,), 1e-10)))


def failing(units, name):
    """A unit that says something, then fails."""
    print("last words", file=sys.stderr)
    raise ZeroDivisionError(name)


def talking(units, name):
    """A unit that says something."""
    print(f"hello from {name}", file=sys.stderr)
    return units.value(name, lambda: 1)


def stages(units):
    """Three trainings, and what needs them."""
    seeds = (0, 1, 2)
    return [
        [(f"train {seed}", trained, (units, seed)) for seed in seeds],
        [("average", average, (units, seeds))],
    ]


def files(units):
    """The arrays of all units but their times, by name."""
    found = {path.name: dict(np.load(path)) for path in units.folder.iterdir()}
    return {
        name: {
            key: value.tobytes()
            for key, value in arrays.items()
            if key not in ("inside", "seconds")
        }
        for name, arrays in found.items()
    }


def test_two_processes_compute_the_same_bits_as_one(capfd):
    found = []
    for jobs in (1, 2):
        units = Store("bits", {"jobs": jobs}, 1)
        store.asked.clear()
        parallel.compute(stages(units), jobs=jobs)
        found.append(files(units))
        assert len(store.asked) == 4  # times come back from the other processes too
        assert "4/4" in capfd.readouterr().err
        assert [path for path in (cache() / "reproduce").iterdir() if path.is_file()] == []
    assert found[0] == found[1]
    assert len(found[0]) == 4


def test_other_processes_have_the_threads_of_this_one():
    units = Store("threads", {}, 1)
    torch.set_num_threads(2)
    try:
        parallel.compute([[(name, about, (units, name)) for name in "abcd"]], jobs=2)
    finally:
        torch.set_num_threads(1)
    pids, threads = zip(*(about(units, name) for name in "abcd"), strict=True)
    assert set(threads) == {2}
    assert os.getpid() not in pids


@pytest.mark.parametrize("jobs", [1, 2])
def test_units_compute_without_denormal_numbers_and_leave_none_of_that_behind(jobs):
    units = Store("flushing", {"jobs": jobs}, 1)
    parallel.compute([[("tiny", flushing, (units, "tiny"))]], jobs=jobs)
    assert flushing(units, "tiny") == 0
    assert flushing(units, "afterwards") > 0


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_unit_that_fails_is_named_and_the_others_are_kept(jobs):
    units = Store("failing", {"jobs": jobs}, 1)
    first = [("good", about, (units, "good"))]
    bad = [("the bad one", failing, (units, "why"))]
    later = [("later", about, (units, "later"))]
    with pytest.raises(ZeroDivisionError, match="why") as raised:
        parallel.compute([first, bad, later], jobs=jobs)
    said = "" if jobs == 1 else "\nlast words"  # which one process writes to stderr at once
    assert f"in the unit 'the bad one'{said}" in raised.value.__notes__
    assert {path.stem for path in units.folder.iterdir()} == {"good"}


def test_what_a_unit_says_elsewhere_is_shown_here(capsys):
    units = Store("talking", {}, 1)
    stage = [(f"talker {i}", talking, (units, f"t{i}")) for i in range(2)]
    parallel.compute([stage], jobs=2)
    said = capsys.readouterr().err
    assert "talker 0:\nhello from t0\n" in said
    assert "talker 1:\nhello from t1\n" in said


def test_a_worker_without_the_cache_is_told(tmp_path, monkeypatch):
    units = Store("elsewhere", {}, 1)
    with parallel._mark() as mark:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
        with pytest.raises(FileNotFoundError, match="must share the folder, and XDG_CACHE_HOME"):
            parallel._one("x", about, (units, "x"), 1, mark, True)
    assert not units.folder.exists()


def test_a_cluster_without_dask_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with pytest.raises(ModuleNotFoundError) as raised:
        parallel.compute([], scheduler="tcp://127.0.0.1:1")
    assert "pip install 'uecompress[cluster]'" in raised.value.__notes__[0]


def test_a_dask_cluster_computes_the_same_bits():
    distributed = pytest.importorskip("distributed", reason="needs uecompress[cluster]: dask")
    alone, units = Store("alone", {}, 1), Store("cluster", {}, 1)
    parallel.compute(stages(alone))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, of ports and files that are closed late
        with distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=None
        ) as cluster:
            parallel.compute(stages(units), scheduler=cluster.scheduler_address)
    assert files(units) == files(alone)
