"""Files against general compressors, torch.save and DeepCABAC."""

import io
import lzma
import tempfile
from collections import Counter
from functools import partial

import torch

from uecompress import data
from uecompress.benchmarks.comparing import optional
from uecompress.storage import decode_state, load, save, sizes


def storage():
    """A network to bytes and back against lzma, zstd and torch.save, and the size of the file."""
    zstandard, generator = optional("zstandard"), torch.Generator().manual_seed(0)
    dense = torch.randn(1000, 1000, generator=generator) / 30
    kept = torch.rand(1000, 1000, generator=generator) < 0.05
    packers = {"lzma -9": (partial(lzma.compress, preset=9), lzma.decompress)}
    if zstandard:
        packers["zstd -19"] = partial(zstandard.compress, level=19), zstandard.decompress
    for kind, weight in {
        "dense": dense,
        "5 % not zero": dense.masked_fill(~kept, 0),
        "16 levels": (dense * 100).round().clamp(-8, 7) / 100,
    }.items():
        with tempfile.TemporaryDirectory() as folder:
            model, path = torch.nn.Linear(1000, 1000, bias=False), f"{folder}/network.uec"
            model.weight.data = weight
            raw, size = weight.numpy().tobytes(), save(model, path)
            for other, (pack, unpack) in packers.items():
                content = pack(raw)
                name = f"4 MB {kind}, {size / 1e3:.0f} kB / {other}, {len(content) / 1e3:.0f} kB"
                yield f"save {name}", partial(save, model, path), partial(pack, raw)
                yield f"load {name}", partial(load, path), partial(unpack, content)
            theirs = partial(lambda state: torch.save(state, io.BytesIO()), model.state_dict())
            yield f"save 4 MB {kind} / torch.save", partial(save, model, path), theirs


def lengths():
    """All seeds of a method: whole files against xz and zstd, weights against DeepCABAC.

    xz and zstd get the float32 numbers of all tensors, one after another. DeepCABAC's lengths are
    recorded, and a value of a codebook counts two bytes with them.
    """
    zstandard, kept = optional("zstandard"), data.folder() / "results" / "bayesian"
    recorded = data.results("deepcabac")["results"]
    methods = {name: name.rpartition("-")[0] for name in recorded}
    for method in dict.fromkeys(methods.values()):
        found = Counter()
        for name in (name for name in recorded if methods[name] == method):
            numbers = decode_state(kept / f"{name}.uec").values()
            raw = b"".join(tensor.tobytes() for tensor in numbers)
            rows = sizes(kept / f"{name}.uec").set_index("tensor").bytes
            found["file"] += int(rows.sum())
            found["weights"] += int(rows[[*recorded[name]]].sum())
            found["xz -9"] += len(lzma.compress(raw, preset=9))
            if zstandard:
                found["zstd -19"] += len(zstandard.compress(raw, level=19))
            theirs = recorded[name].values()
            found["DeepCABAC"] += sum(indices + 2 * values for indices, values in theirs)
        for other in [*found][2:]:
            part = "weights" if other == "DeepCABAC" else "file"
            yield f"length of {method}, {part} / {other}", found[part], found[other]
