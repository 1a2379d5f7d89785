"""The units of an experiment, one after the other or many at once."""

import contextlib
import io
import secrets
import sys

import torch
from joblib import Parallel, delayed, parallel_config
from tqdm import tqdm

from uecompress.data.files import cache
from uecompress.reproduce import store


def compute(stages, *, jobs=1, scheduler=None):
    """Compute units into their store: those of a stage in any order, the stages one by one.

    A unit gives the same bits wherever it runs: it has as many threads as this process. Numbers
    below 1.2e-38 are zero in it: with weight decay, weights and moments that nothing else moves
    become such denormal numbers, with which a processor is up to twenty times slower. What a unit
    writes to stderr elsewhere is shown here once it has ended.

    Args:
        stages: lists of units (name, function, arguments); a unit may need those of earlier stages.
            What a function returns is not used.
        jobs: how many processes of this machine; -1 is one for each core.
        scheduler: the address of a dask cluster, whose workers then compute; they should have one
            thread each, and must see this user's cache folder, under the same ``XDG_CACHE_HOME``.

    Raises:
        FileNotFoundError: a worker does not see the cache folder.
        ModuleNotFoundError: there is a ``scheduler``, but dask is not installed.
        Exception: that of the first unit that fails, with a note that names the unit and what it
            wrote to stderr. Finished units are kept.
    """
    alone = scheduler is None and jobs == 1
    total = sum(len(stage) for stage in stages)
    with _mark() as mark, _backend(jobs, scheduler), tqdm(total=total, unit="unit") as bar:
        for stage in stages:
            calls = [delayed(_one)(*unit, torch.get_num_threads(), mark, alone) for unit in stage]
            for name, seconds, text in Parallel(return_as="generator_unordered")(calls):
                store.asked.update(seconds)
                if text:
                    bar.write(f"{name}:\n{text}", file=sys.stderr)
                bar.set_postfix_str(name, refresh=False)
                bar.update()


def _one(name, function, arguments, threads, mark, alone):
    """Compute one unit: its name, the seconds of all units that it asked for, and its stderr."""
    if not (cache() / mark).exists():
        raise FileNotFoundError(
            f"a worker does not see {mark} in its cache {cache()}: it must share the folder, and "
            "XDG_CACHE_HOME, with the process that started the run"
        )
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    said = io.StringIO()  # no terminal, so that no progress bars are drawn into it
    try:
        with contextlib.nullcontext() if alone else contextlib.redirect_stderr(said):
            function(*arguments)
    except Exception as error:
        error.add_note(f"in the unit {name!r}\n{said.getvalue()}".rstrip())
        raise
    finally:
        torch.set_flush_denormal(False)
    return name, dict(store.asked), said.getvalue()


@contextlib.contextmanager
def _mark():
    """The name of a file that is in the cache while the units are computed."""
    name = f"reproduce/running-{secrets.token_hex(8)}"
    path = cache() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    try:
        yield name
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _backend(jobs, scheduler):
    """Where joblib computes."""
    if scheduler is None:
        with parallel_config(n_jobs=jobs):
            yield
        return
    try:
        from dask.distributed import Client
    except ModuleNotFoundError as error:
        error.add_note("a cluster needs dask: pip install 'uecompress[cluster]'")
        raise
    with Client(scheduler), parallel_config("dask"):
        yield
