import pytest
import torch

from uecompress import benchmarks


@pytest.mark.parametrize("name", benchmarks.BENCHMARKS)
def test_every_benchmark_runs(name, monkeypatch, capsys):
    compared = []

    def once(title, ours, theirs):
        ours(), theirs()
        compared.append(title)
        return 1.0

    monkeypatch.setattr(benchmarks, "compare", once)
    benchmarks.main([name])
    assert compared
    assert all(" / " in title for title in compared)


def test_compare_prints_the_ratio_of_theirs_to_ours(capsys, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(benchmarks.time, "perf_counter", lambda: next(clock))
    benchmarks.compare("a / b", lambda: None, lambda: [next(clock) for _ in range(2)])
    assert capsys.readouterr().out.split()[-5:] == ["1000.00", "ms", "3000.00", "ms", "3.00×"]


def test_threads_are_pinned_while_it_measures_and_as_before_afterwards(monkeypatch, capsys):
    before, seen = torch.get_num_threads(), []
    monkeypatch.setattr(benchmarks, "compare", lambda *_: seen.append(torch.get_num_threads()))
    benchmarks.main(["fit", "--threads", "2"])
    assert seen == [2]
    assert torch.get_num_threads() == before
    assert "threads: 2" in capsys.readouterr().out


def test_a_benchmark_is_sent_the_ratio(monkeypatch):
    received = []

    def benchmark():
        received.append((yield "a / b", int, int))

    monkeypatch.setattr(benchmarks, "compare", lambda *_: 2.5)
    benchmarks.run(benchmark())
    assert received == [2.5]


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit):
        benchmarks.main(["nonsense"])
    assert "invalid choice" in capsys.readouterr().err
