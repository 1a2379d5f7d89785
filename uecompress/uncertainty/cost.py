"""What a prediction costs: arithmetic, memory and time.

None of them is the length of a file. A network with fewer parameters need not be faster, and one
full of zeros is neither smaller in memory nor faster, unless its layers become physically smaller.
"""

import math
import time
import weakref
from collections import Counter
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from uecompress import checks
from uecompress.networks import check_inputs, dtype_and_device, example_axis, examples
from uecompress.randomness import LOCK, seeded
from uecompress.uncertainty.predict import evaluation_mode, predict

_TIMED = 32  # different examples, at least, over which a latency is averaged
_OTHER_PRODUCTS = {  # that torch's counter leaves out: their flops from the shapes of the operands
    torch.ops.aten.dot: lambda a, b, **_: 2 * a[0],
    torch.ops.aten.mv: lambda a, b, **_: 2 * math.prod(a),
    torch.ops.aten.addmv: lambda c, a, b, **_: 2 * math.prod(a),
    torch.ops.aten._int_mm: lambda a, b, **_: 2 * math.prod(a) * b[-1],
    torch.ops.aten.addbmm: lambda c, a, b, **_: 2 * math.prod(a) * b[-1],
}


def multiply_adds(model, x, *, samples=None, batch_size=None):
    """Multiply-adds per example of one prediction: all members, all weight samples.

    They are counted while ``x`` runs through the network: matrix products and convolutions, in
    layers of any kind. A multiplication by zero counts, so unstructured pruning saves nothing here.
    What works entry by entry (normalization, activations, pooling, the sum of biases) does not
    count. Torch's own fused operations (the fast path of its transformer encoder, ``nn.Bilinear``)
    are not seen.

    What a layer computes once for the whole batch is shared by it. Where examples take different
    ways through a network, the number is the mean over ``x``. A layer that stands at several places
    and is given the same input again, such as the trunk that the members of an ensemble share,
    counts once: it need not be computed again.

    Args:
        model: a network or an ensemble; it is not changed.
        x: inputs (N, ...), or one batch per member (M, N, ...).
        samples: as in :func:`predict`.
        batch_size: examples that go through the network at once; all if not given.

    Raises:
        TypeError, ValueError: those of :func:`predict`.
    """
    check_inputs(model, x)
    n = x.shape[example_axis(x)]
    batch_size = n if batch_size is None else checks.whole("batch_size", batch_size)
    samples = None if samples is None else checks.whole("samples", samples)
    counting = FlopCounterMode(display=False, custom_mapping=_OTHER_PRODUCTS)
    with counting as counter, _repeats(model, counter) as repeated:  # of one of the samples
        predict(model, x.detach(), samples=samples and 1, batch_size=batch_size)
    return (counter.get_total_flops() - repeated.flops) / 2 / n * (samples or 1)


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
    with _single_pass(model, x, samples) as forward:
        x = x.clone()  # a view would stand for all the data behind it
        with _LiveBytes([x, *model.parameters(), *model.buffers()]) as live:
            forward(x)
    return live.peak


def latency(model, x, *, batch_size=1, samples=None, repeats=30, threads=1):
    """Milliseconds that a prediction of ``batch_size`` examples takes: quartiles of the repeats.

    A network may take longer for some examples than for others, so a repeat predicts different
    ones, at least 32 that are spread evenly over ``x``, batch after batch, and its time is the mean
    over the batches: the expected time of one.

    Args:
        model: a network or an ensemble; it is not changed.
        x: inputs (N, ...), used again where there are fewer than needed.
        batch_size: examples that go through the network at once.
        samples: as in :func:`predict`.
        repeats: timed repeats, after two that are not.
        threads: of torch while it is measured; afterwards they are as before.

    Returns:
        Three numbers, the lower quartile, the median and the upper quartile.

    Raises:
        TypeError, ValueError: those of :func:`predict`; a number that is not whole or below 1.
    """
    batch_size, repeats, threads = (
        checks.whole(name, number)
        for name, number in (("batch_size", batch_size), ("repeats", repeats), ("threads", threads))
    )
    seconds, before = [], torch.get_num_threads()
    with _single_pass(model, x, samples) as forward:
        n, batches = x.shape[example_axis(x)], -(-_TIMED // batch_size)
        timed = batches * batch_size
        chosen = (torch.arange(timed) * n // timed).split(batch_size)  # spread from 0 to N − 1
        inputs = [examples(x, rows) for rows in chosen]
        torch.set_num_threads(threads)
        try:
            for _ in range(2 + repeats):
                start = time.perf_counter()
                for batch in inputs * (samples or 1):
                    forward(batch)
                seconds.append((time.perf_counter() - start) / batches)
        finally:
            torch.set_num_threads(before)
    return tuple((1000 * np.quantile(seconds[2:], [0.25, 0.5, 0.75])).tolist())


@contextmanager
def _single_pass(model, x, samples):
    """A function from a batch to logits on the CPU, that predicts as :func:`predict` would."""
    check_inputs(model, x)
    samples = None if samples is None else checks.whole("samples", samples)
    predict(model, examples(x, slice(1)), samples=samples and 1)  # raises what is to be raised
    _, device = dtype_and_device(model, x)
    with torch.no_grad(), evaluation_mode(model, samples is not None), seeded(0):
        yield lambda batch: model(batch.to(device)).cpu()


@contextmanager
def _repeats(model, counter):
    """The :class:`_Repeats` of a network, which watch it as long as the context is open."""
    repeats, handles = _Repeats(counter), []
    places = Counter(module for _, module in model.named_modules(remove_duplicate=False))
    with LOCK:  # a hook would hear of other threads' predictions too
        try:
            start = model.register_forward_pre_hook(lambda *_: repeats.seen.clear())  # a new batch
            handles.append(start)
            for layer in [layer for layer, count in places.items() if count > 1]:
                handles.append(layer.register_forward_pre_hook(repeats.enter, with_kwargs=True))
                handles.append(layer.register_forward_hook(repeats.leave))
            yield repeats
        finally:
            for handle in handles:
                handle.remove()


class _Repeats:
    """Adds up the flops that layers spend on inputs that they have already seen in this batch.

    Args:
        counter: the running ``FlopCounterMode``.
    """

    def __init__(self, counter):
        self.counter, self.flops = counter, 0
        self.seen, self.running = {}, []  # inputs by layer; layers that have not returned yet

    def enter(self, layer, inputs, settings):
        """What is done before a layer runs."""
        again = False
        random = any(getattr(module, "sampling", False) for module in layer.modules())
        if not random and not settings and all(isinstance(x, torch.Tensor) for x in inputs):
            seen = self.seen.setdefault(layer, [])
            again = any(all(map(torch.equal, inputs, earlier)) for earlier in seen)
            if not again:
                seen.append([x.clone() for x in inputs])
        self.running.append((again, self._counted()))

    def leave(self, layer, inputs, output):
        """What is done after a layer has run."""
        again, before = self.running.pop()
        if again:
            self.flops += self._counted() - before

    def _counted(self):
        return self.counter.get_total_flops() - self.flops


class _LiveBytes(TorchDispatchMode):
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
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage):
        """Count a storage until it is freed, unless it is counted already (as a view's is)."""
        if storage._cdata not in self.known:
            self.known.add(storage._cdata)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, key, size):
        """What is done when a storage is freed."""
        self.known.discard(key)
        self.now -= size
