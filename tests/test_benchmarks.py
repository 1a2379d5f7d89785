import pytest

from uecompress import benchmarks


@pytest.mark.parametrize("name", benchmarks.BENCHMARKS)
def test_every_benchmark_runs(name, monkeypatch, capsys):
    compared = []

    def once(title, ours, theirs, *, repeats=1):
        ours(), theirs()
        compared.append(title)

    monkeypatch.setattr(benchmarks, "compare", once)
    benchmarks.main([name])
    assert compared
    assert all(" / " in title for title in compared)


def test_compare_prints_the_ratio_of_theirs_to_ours(capsys, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(benchmarks.time, "perf_counter", lambda: next(clock))
    benchmarks.compare("a / b", lambda: None, lambda: [next(clock) for _ in range(2)], repeats=3)
    assert capsys.readouterr().out.split()[-5:] == ["1000.00", "ms", "3000.00", "ms", "3.00×"]


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit):
        benchmarks.main(["nonsense"])
    assert "invalid choice" in capsys.readouterr().err
