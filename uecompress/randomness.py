"""Torch's global random numbers, on loan: seeded, given back, and used by one thread at a time."""

import threading
from contextlib import contextmanager

import torch

from uecompress import checks

# What is global (random numbers) or shared (a network's mode) is changed by whoever holds it.
# One thread may take it again inside, as a loss does that makes a prediction.
LOCK = threading.RLock()


@contextmanager
def seeded(seed):
    """Inside, torch's global generators draw from ``seed``; afterwards they are as before.

    Threads wait for one another here: two that drew in turns would both get the wrong numbers.

    Args:
        seed: a whole number from 0 to 2⁶³ − 1.

    Raises:
        TypeError, ValueError: a seed that is none.
    """
    seed = checks.seed(seed)
    cuda = torch.cuda.is_initialized()  # where it is not, nothing there is touched or woken
    devices = range(torch.cuda.device_count()) if cuda else ()
    with LOCK, torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed_all(seed)
        yield
