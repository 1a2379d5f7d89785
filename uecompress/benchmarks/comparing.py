"""Two functions or two lengths side by side, as a line of text and a ratio."""

import contextlib
import importlib
import statistics
import time
import warnings


def compare(name, ours, theirs, *, seconds=1.0, width=62):
    """Time two functions in turn; print and return the ratio of their medians, theirs over ours.

    Args:
        name: what is compared.
        ours: a function without arguments.
        theirs: the alternative, too.
        seconds: about how long each may take in all; there are at least 3 repeats and at most 200.
        width: characters for the name; with 40 the line fits a page of the book.
    """
    functions = ours, theirs
    slower = max(map(_seconds, functions))  # warms up, too
    repeats = int(min(max(seconds / max(slower, 1e-9), 3), 200))
    times = [[_seconds(function) for function in functions] for _ in range(repeats)]
    a, b = (1000 * statistics.median(column) for column in zip(*times, strict=True))
    return _line(name, a, b, "9.2f", "ms", width)


def compare_lengths(name, ours, theirs):
    """Print and return the ratio of two lengths in bytes, theirs over ours."""
    return _line(name, ours, theirs, "9,d", "B ")


def run(benchmark):
    """Measure all pairs that a benchmark yields."""
    with contextlib.suppress(StopIteration):
        pair = next(benchmark)
        while True:
            measure = compare if callable(pair[1]) else compare_lengths
            pair = benchmark.send(measure(*pair))


def optional(name):
    """A module that need not be installed; None, and a line that says so, where it is not."""
    with warnings.catch_warnings(), contextlib.suppress(ModuleNotFoundError):
        warnings.simplefilter("ignore")  # torchTT warns that it has no compiled part
        return importlib.import_module(name)
    print(f"{name} is not installed: no comparison with it")
    return None


def _line(name, a, b, number, unit, width=62):
    print(f"{name:{width}} {a:{number}} {unit} {b:{number}} {unit} {b / a:7.2f}×", flush=True)
    return b / a


def _seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
