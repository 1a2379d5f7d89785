"""What a prediction costs: arithmetic, memory and time, and how many numbers a network keeps.

None of them is the length of a file. A network with fewer parameters need not be faster, and one
full of zeros is neither smaller in memory nor faster, unless its layers become physically smaller.
"""

import math
import time
import weakref
from contextlib import contextmanager

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from uecompress.networks import dtype_and_device
from uecompress.randomness import seeded
from uecompress.uncertainty.predict import evaluation_mode, predict

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of batch normalization
OTHER_PRODUCTS = {  # that torch's counter leaves out: their flops from the shapes of the operands
    torch.ops.aten.dot: lambda a, b, **_: 2 * a[0],
    torch.ops.aten.mv: lambda a, b, **_: 2 * math.prod(a),
    torch.ops.aten.addmv: lambda c, a, b, **_: 2 * math.prod(a),
    torch.ops.aten.addbmm: lambda c, a, b, **_: 2 * math.prod(a) * b[-1],
}


def multiply_adds(model, x, *, samples=None):
    """Multiply-adds per example of one prediction: all members, all weight samples.

    They are counted while ``x`` runs through the network as one batch: matrix products and
    convolutions, in layers of any kind. A multiplication by zero counts, so unstructured pruning
    saves nothing here. What works entry by entry (normalization, activations, pooling, the sum of
    biases) does not count. What a layer computes once for the whole batch is shared by it. Torch's
    own fused operations (the fast path of its transformer encoder, ``nn.Bilinear``) are not seen.

    Args:
        model: a network or an ensemble; it is not changed.
        x: inputs (N, ...).
        samples: as in :func:`predict`.

    Raises:
        TypeError, ValueError: those of :func:`predict`.
    """
    with FlopCounterMode(display=False, custom_mapping=OTHER_PRODUCTS) as counter:
        predict(model, x, samples=samples and 1, batch_size=len(x))
    return counter.get_total_flops() / 2 / len(x) * (samples or 1)


def peak_memory(model, x, *, samples=None):
    """Bytes that a forward pass of ``x`` holds at its peak: the weights, ``x`` and activations.

    It sums all tensors (buffers too) alive after each operation of torch, the same in every run.
    The scratch space inside of an operation is not seen, nor is what Python and torch need
    themselves. Weight samples are drawn one after another and need the memory of one; of an
    ensemble, all members are loaded.

    Args:
        model: a network or an ensemble; it is not changed.
        x: inputs (N, ...), of which all go through the network at once.
        samples: as in :func:`predict`.

    Raises:
        TypeError, ValueError: those of :func:`predict`.
    """
    with single_pass(model, x, samples) as forward:
        x = x.clone()  # a view would stand for all the data behind it
        with LiveBytes([x, *model.parameters(), *model.buffers()]) as live:
            forward(x)
    return live.peak


def latency(model, x, *, batch_size=1, samples=None, repeats=30, threads=1):
    """Milliseconds that a prediction of ``batch_size`` examples takes: quartiles of the repeats.

    Args:
        model: a network or an ensemble; it is not changed.
        x: inputs (N, ...); the batch is their beginning, repeated where there are fewer.
        batch_size: examples that go through the network at once.
        samples: as in :func:`predict`.
        repeats: timed predictions, after two that are not.
        threads: of torch while it is measured; afterwards they are as before.

    Returns:
        Three numbers, the lower quartile, the median and the upper quartile.

    Raises:
        TypeError, ValueError: those of :func:`predict`; a number below 1.
    """
    for name, number in (("batch_size", batch_size), ("repeats", repeats), ("threads", threads)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1, not {number}")
    seconds, before = [], torch.get_num_threads()
    with single_pass(model, x, samples) as forward:
        batch = x[torch.arange(batch_size) % len(x)]
        torch.set_num_threads(threads)
        try:
            for _ in range(2 + repeats):
                start = time.perf_counter()
                for _ in range(samples or 1):
                    forward(batch)
                seconds.append(time.perf_counter() - start)
        finally:
            torch.set_num_threads(before)
    return tuple((1000 * np.quantile(seconds[2:], [0.25, 0.5, 0.75])).tolist())


@contextmanager
def single_pass(model, x, samples):
    """A function from a batch to logits on the CPU, that predicts as :func:`predict` would."""
    predict(model, x[:1], samples=samples and 1)  # raises what is to be raised
    _, device = dtype_and_device(model, x)
    with torch.no_grad(), evaluation_mode(model, samples is not None), seeded(0):
        yield lambda batch: model(batch.to(device)).cpu()


class LiveBytes(TorchDispatchMode):
    """Adds up the bytes of the tensors that are alive, and remembers the most there were.

    Args:
        held: tensors that stay alive throughout.
    """

    def __init__(self, held):
        super().__init__()
        storages = {tensor.untyped_storage() for tensor in held}  # a shared one is counted once
        self.known = {storage._cdata for storage in storages}
        self.now = self.peak = sum(storage.nbytes() for storage in storages)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.count(leaf.untyped_storage())
        return result

    def count(self, storage):
        """Count a storage until it is freed, unless it is counted already (as a view's is)."""
        if storage._cdata not in self.known:
            self.known.add(storage._cdata)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.forget, storage._cdata, storage.nbytes())

    def forget(self, key, size):
        """What is done when a storage is freed."""
        self.known.discard(key)
        self.now -= size


def nonzero_count(model):
    """How many numbers other than zero a network keeps.

    These are its parameters and the buffers that a file keeps (the codes and scales of a quantized
    layer, for instance), without the statistics of batch normalization, which do not count as
    parameters in any network. A parametrized or pruned weight counts with its value: what is masked
    out is zero. A shared tensor counts once.
    """
    with torch.no_grad(), evaluation_mode(model):
        lists = [m for m in model.modules() if isinstance(m, parametrize.ParametrizationList)]
        inner = {module for each in lists for module in each.modules()}  # the layer has the value
        modules = [module for module in model.modules() if module not in inner]
        tensors = [tensor for module in modules for tensor in kept_tensors(module)]
        unique = {id(tensor): tensor for tensor in tensors}
        return sum(int(tensor.count_nonzero()) for tensor in unique.values())


def kept_tensors(module):
    """The tensors of one module, without its children, that :func:`nonzero_count` looks at."""
    yield from (getattr(module, name) for name in getattr(module, "parametrizations", ()))
    statistics = STATISTICS if isinstance(module, _BatchNorm) else ()
    tensors = {**module._parameters, **module._buffers}
    for name, tensor in tensors.items():
        if name in statistics:
            continue
        weight = name.removesuffix("_orig").removesuffix("_mask")
        if {f"{weight}_orig", f"{weight}_mask"} <= tensors.keys():  # of torch.nn.utils.prune
            if name.endswith("_orig"):
                yield tensor * tensors[f"{weight}_mask"]
        elif tensor is not None and name not in module._non_persistent_buffers_set:
            yield tensor
