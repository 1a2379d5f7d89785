import lzma

import pytest
import torch

from uecompress import data, storage
from uecompress.benchmarks import __main__ as command
from uecompress.benchmarks import comparing, files


@pytest.mark.parametrize("name", command.BENCHMARKS)
def test_every_benchmark_runs(name, monkeypatch, capsys):
    compared = []

    def once(title, ours, theirs):
        if name != "lengths":
            ours(), theirs()
        compared.append(title)
        return 1.0

    recorded = data.results("deepcabac")["results"]
    small = {"results": {k: recorded[k] for k in ("lenet5-sparse_vd-0", "lenet300-graves-0")}}
    monkeypatch.setattr(data, "results", lambda _: small)
    monkeypatch.setattr(comparing, "compare", once)
    monkeypatch.setattr(comparing, "compare_lengths", once)
    command.main([name])
    assert compared
    assert all(" / " in title for title in compared)


def test_lengths_are_those_of_the_files_the_record_and_xz(monkeypatch):
    name, record = "lenet5-group_horseshoe-0", {"conv1.weight": [125, 32], "linear2.weight": [7, 3]}
    monkeypatch.setattr(data, "results", lambda _: {"results": {name: record}})
    kept = data.folder() / "results" / "bayesian" / f"{name}.uec"
    rows = {title.partition(" / ")[2]: pair for title, *pair in files.lengths()}
    raw = b"".join(tensor.tobytes() for tensor in storage.decode_state(kept).values())
    assert rows["xz -9"] == [kept.stat().st_size, len(lzma.compress(raw, preset=9))]
    bytes_of = storage.sizes(kept).set_index("tensor").bytes
    ours = bytes_of["conv1.weight"] + bytes_of["linear2.weight"]
    assert rows["DeepCABAC"] == [ours, 125 + 2 * 32 + 7 + 2 * 3]


def test_a_benchmark_may_yield_lengths(capsys):
    def benchmark():
        assert (yield "a / b", 1000, 2500) == 2.5

    comparing.run(benchmark())
    assert capsys.readouterr().out.split() == ["a", "/", "b", "1,000", "B", "2,500", "B", "2.50×"]


def test_compare_prints_the_ratio_of_theirs_to_ours(capsys, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(comparing.time, "perf_counter", lambda: next(clock))
    comparing.compare("a / b", lambda: None, lambda: [next(clock) for _ in range(2)])
    assert capsys.readouterr().out.split()[-5:] == ["1000.00", "ms", "3000.00", "ms", "3.00×"]


def test_threads_are_pinned_while_it_measures_and_as_before_afterwards(monkeypatch, capsys):
    before, seen = torch.get_num_threads(), []
    monkeypatch.setattr(comparing, "compare", lambda *_: seen.append(torch.get_num_threads()))
    command.main(["fit", "--threads", "2"])
    assert seen == [2]
    assert torch.get_num_threads() == before
    assert "threads: 2" in capsys.readouterr().out


def test_a_benchmark_is_sent_the_ratio(monkeypatch):
    received = []

    def benchmark():
        received.append((yield "a / b", int, int))

    monkeypatch.setattr(comparing, "compare", lambda *_: 2.5)
    comparing.run(benchmark())
    assert received == [2.5]


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit):
        command.main(["nonsense"])
    assert "invalid choice" in capsys.readouterr().err
