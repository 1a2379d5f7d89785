"""Run the notebooks with 1 and 2 threads and with each instruction set that this processor has."""

import os
import subprocess
import sys

import torch

LEVELS = ("default", "avx2", "avx512")  # each includes the ones before it
THREADS = (1, 2)


def supported(native):
    """Return the levels up to `native`, as torch names it."""
    native = native.lower()
    return LEVELS[: LEVELS.index(native) + 1] if native in LEVELS else LEVELS[:1]


def run(level, threads):
    """Compare every notebook under one setting; return the exit status."""
    environment = os.environ | {
        "ATEN_CPU_CAPABILITY": level,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "passive",  # a waiting thread leaves its core to others
    }
    command = ["make", "notebooks", f"WORKERS={2 // threads}"]
    return subprocess.run(command, env=environment).returncode


def main():
    os.environ.pop("ATEN_CPU_CAPABILITY", None)
    levels = supported(torch.backends.cpu.get_cpu_capability())
    failed = []
    for level in LEVELS:
        for threads in THREADS:
            name = f"{level}, {threads} thread{'s' * (threads > 1)}"
            if level not in levels:
                print(f"=== {name}: skipped, this processor lacks it", flush=True)
                continue
            print(f"=== {name}", flush=True)
            if run(level, threads) != 0:
                failed.append(name)
    print(f"=== failed: {'; '.join(failed)}" if failed else "=== all variants agree")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
