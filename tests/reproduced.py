"""What holds for the units of every experiment."""

import pytest

from uecompress import data
from uecompress.reproduce.store import Store, read


def check(experiment):
    """The units of a stage need nothing of one another, and `run` nothing that no unit computed."""
    store = Store("checked", experiment.SETTINGS, experiment.VERSION)
    names = []
    for stage in experiment.units(store):
        used = [watched(function, arguments) for _, function, arguments in stage]
        for i, (_, computed) in enumerate(used):
            others = set().union(*(asked for j, (asked, _) in enumerate(used) if j != i))
            assert not computed & others
        names += [name for name, *_ in stage]
    assert len(names) == len(set(names))
    _, computed = watched(experiment.run, (store,))
    assert {path.stem for path in computed} <= {"frame"}  # seconds of work, without a network


def digits_for_mnist(monkeypatch, tmp_path, count):
    """So many digits and letters in place of the sets of MNIST's scale, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load = data.load

    def some(name, split):
        names = {"mnist": "digits", "notmnist": "glyphs", "omniglot": "glyphs"}
        x, y = load(names[name], split)
        few = slice(count, 2 * count) if name == "omniglot" else slice(count)
        return x[few], y[few]

    monkeypatch.setattr(data, "load", some)


def watched(function, arguments):
    """The files of the units that a call asks for, and of those that it computes."""
    asked, computed, unit = set(), set(), Store.unit

    def watch(self, name, compute):
        path = self.folder / f"{name}.npz"
        asked.add(path)
        if read(path) is None:
            computed.add(path)
        return unit(self, name, compute)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "unit", watch)
        function(*arguments)
    return asked, computed
