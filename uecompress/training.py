"""The one training loop of the course.

Every network of the book, dense, compressed or Bayesian, is trained by :func:`fit`. What differs
from one method to the next is the ``loss`` and what happens ``after_step``.
"""

import inspect
import math
from operator import itemgetter

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from uecompress import checks
from uecompress.networks import check_inputs, dtype_and_device, example_axis, examples
from uecompress.networks.tree import copied
from uecompress.randomness import seeded


def cross_entropy(model, x, y, progress):
    """Cross-entropy in nats, averaged over examples and, in an ensemble, over members.

    Args:
        model: a network with logits (N, C), or an ensemble with logits (M, N, C).
        x: inputs (N, ...), or one batch per member (M, N, ...).
        y: labels (N,), or (M, N).
        progress: training progress in [0, 1]; this loss does not use it.

    Raises:
        TypeError: the network does not return one tensor.
    """
    logits = _logits(model(x))
    labels = y.expand(logits.shape[:-1])  # the same labels for every member
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten())


def fit(
    model,
    data,
    *,
    epochs,
    batch_size,
    lr,
    seed,
    optimizer=torch.optim.Adam,
    loss=cross_entropy,
    after_step=None,
    progress=True,
):
    """Train a copy of ``model`` and return it in evaluation mode; ``model`` is not changed.

    The seed fixes the order of the examples (:func:`batches`) and every random number drawn while
    training, so that two calls on one machine give bit-identical networks. The caller's random
    state is untouched; of several threads, one trains and the others wait.

    Weights that ``torch.nn.utils.parametrize`` computes are trained through their parametrization.
    Those that a hook computes, as ``torch.nn.utils.prune`` does, are refused: whether the result
    could be copied would depend on what it did last.

    Long training with weight decay turns weights that nothing else moves into denormal numbers
    (below 1.2e-38), which make a processor several times slower: ``torch.set_flush_denormal(True)``
    beforehand makes them zero.

    Args:
        model: a network, or an ensemble.
        data: inputs ``x`` (N, ...), or one batch per member (M, N, ...), and ``y``: what ``loss``
            makes of it, a tensor or a tuple of tensors of N rows. The default loss takes labels
            (N,) int64.
        epochs: passes over the data, at least 1.
        batch_size: examples per step, at least 1; batch normalization needs 2.
        lr: the learning rate, a number or a function of training progress in [0, 1).
        seed: a whole number from 0 to 2⁶³ − 1.
        optimizer: called as ``optimizer(parameters, lr=...)`` with the first rate, or 1 where that
            is 0. Groups of parameters that it makes keep the ratios of their rates to that number.
        loss: ``loss(model, x, y, progress)``, a scalar, where ``y`` is a tensor or a tuple as in
            ``data``; regularizers and their warm-up live here. A network may return anything in
            training that its loss understands, the answers of all its exits for instance.
        after_step: ``after_step(model, progress)``, run without gradients after each step; one that
            requires a third argument gets the optimizer, whose ``state`` holds the moments.
        progress: show a bar, on a terminal only.

    Raises:
        TypeError: no network, data that are no pair, inputs that are not a tensor of the network's
            floating-point type, targets that are no tensors, and, for the default loss, labels that
            are not int64 of shape (N,).
        ValueError: empty or non-finite data, lengths that differ, labels out of range for the
            default loss, nothing to train, a weight that a hook computes, a rate below 0.
        FloatingPointError: the loss is not finite, and the message names the epoch; or weights are
            not finite after the last step.
    """
    x, y = check_data(model, data)
    epochs, batch_size = checks.whole("epochs", epochs), checks.whole("batch_size", batch_size)
    with seeded(seed):
        trained = _copied(model).train()
        weights = [p for p in trained.parameters() if p.requires_grad]
        if not weights:
            raise ValueError("the network has no parameters to train")
        if loss is cross_entropy:
            check_labels(model, x, y)
        _, device = dtype_and_device(trained, x)
        x, y = x.detach().to(device), _each(lambda target: target.detach().to(device), y)
        steps, set_rate = _optimizer(optimizer, weights, lr)
        extra = (steps,) if after_step is not None and _takes_three(after_step) else ()
        n = x.shape[example_axis(x)]
        per_epoch = math.ceil(n / batch_size)

        with tqdm(total=epochs, disable=None if progress else True) as bar:
            for epoch, order in enumerate(batches(n, batch_size, seed, epochs)):
                for i, rows in enumerate(order):
                    done = (epoch + i / per_epoch) / epochs
                    set_rate(done)
                    value = loss(trained, examples(x, rows), _each(itemgetter(rows), y), done)
                    _check_loss(value, epoch)
                    steps.zero_grad()
                    value.backward()
                    steps.step()
                    if after_step is not None:
                        with torch.no_grad():
                            after_step(trained, (epoch + (i + 1) / per_epoch) / epochs, *extra)
                bar.set_postfix(loss=f"{value.item():.3f}")
                bar.update()
    if not all(torch.isfinite(weight).all() for weight in weights):
        raise FloatingPointError("weights are NaN or infinite after the last step")
    return trained.eval()


def batches(n, batch_size, seed, epochs=1):
    """The order in which :func:`fit` sees the examples.

    Every epoch is a new permutation of them, cut into batches. A last batch of a single example is
    left out, because batch normalization has no variance to work with there, unless all batches are
    of one.

    Args:
        n: the number of examples.
        batch_size: examples of a batch; the last one of an epoch may have fewer.
        seed: of the permutations.
        epochs: how many there are.

    Returns:
        An iterator over epochs; each is a tuple of batches, positions (B,) int64.

    Raises:
        TypeError, ValueError: numbers that are not whole, or below 1 (the seed: below 0).
    """
    n, batch_size = checks.whole("n", n), checks.whole("batch_size", batch_size)
    order, epochs = torch.Generator().manual_seed(checks.seed(seed)), checks.whole("epochs", epochs)

    def permuted():
        rows = torch.randperm(n, generator=order).split(batch_size)
        return rows[:-1] if len(rows[-1]) == 1 < min(batch_size, n) else rows

    return (permuted() for _ in range(epochs))


def check_data(model, data):
    """The inputs and targets of ``data``, where they are what :func:`fit` needs with any loss.

    Args:
        model: a network or an ensemble.
        data: as in :func:`fit`.

    Raises:
        TypeError: no network, data that are no pair, inputs or targets that are no tensors, or
            inputs of another type than the network's.
        ValueError: empty or non-finite inputs, targets of another number of rows.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a network, a torch.nn.Module, not {type(model).__name__}")
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(f"data must be a pair of inputs and labels, not {type(data).__name__}")
    x, y = data
    check_inputs(model, x)
    n = x.shape[example_axis(x)]
    for target in y if isinstance(y, tuple) else (y,):
        if not isinstance(target, torch.Tensor):
            raise TypeError(f"labels must be a torch tensor, not {type(target).__name__}")
        if target.shape[:1] != (n,):
            rows = len(target) if target.ndim else "no"
            raise ValueError(f"x has {n} examples but y has {rows} labels")
    return x, y


def check_labels(model, x, y):
    """Raise an error that says what is wrong where :func:`cross_entropy` cannot take the labels.

    Args:
        model: a network or an ensemble; one example is asked for the number of classes.
        x: inputs, as in :func:`fit`.
        y: labels.

    Raises:
        TypeError: labels that are not an int64 tensor (N,), a network that returns no tensor.
        ValueError: labels that are no class of the network.
    """
    if not isinstance(y, torch.Tensor):
        raise TypeError(f"labels must be a torch tensor, not {type(y).__name__}")
    if y.dtype != torch.int64 or y.ndim != 1:
        raise TypeError(
            f"labels must be int64 of shape (N,), not {y.dtype} of {tuple(y.shape)}; other targets "
            "need a loss of their own"
        )
    _, device = dtype_and_device(model, x)
    with torch.no_grad(), seeded(0):
        one = examples(x, slice(1)).clone().to(device)
        classes = _logits(_copied(model).eval()(one)).shape[-1]
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(
            f"labels must be in 0..{classes - 1}, but y holds {y.min().item()}..{y.max().item()}"
        )


def _each(function, y):
    """The function of a tensor, or of every tensor of a tuple."""
    return tuple(map(function, y)) if isinstance(y, tuple) else function(y)


def _copied(model):
    """A deep copy; a network of which a hook computes a weight is refused."""
    for name, module in model.named_modules():
        for hook in module._forward_pre_hooks.values():
            tensor = getattr(hook, "_tensor_name", getattr(hook, "name", None))
            if isinstance(vars(module).get(tensor), torch.Tensor):
                raise ValueError(
                    f"the {tensor} of {name!r} is computed by a hook (of torch.nn.utils.prune, for "
                    "instance): train p = networks.plain(model) instead, where its zeros shall "
                    "stay with after_step=networks.hold_zeros(p)"
                )
    return copied(model)


def _logits(output):
    if not isinstance(output, torch.Tensor):
        raise TypeError(
            "the default loss needs logits (N, C) or (M, N, C), but the network returned a "
            f"{type(output).__name__}: give a loss that takes it"
        )
    return output


def _optimizer(make, weights, lr):
    """The optimizer, and a function that sets the rates of its groups for a training progress."""

    def rate(progress):
        return checks.within("lr", lr(progress) if callable(lr) else lr, 0, math.inf)

    first = rate(0.0) or 1.0
    optimizer = make(weights, lr=first)
    ratios = [group["lr"] / first for group in optimizer.param_groups]

    def set_rate(progress):
        now = rate(progress)
        for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
            group["lr"] = now * ratio

    return optimizer, set_rate


def _takes_three(after_step):
    """Whether a function requires a third argument, one that has no default."""
    parameters = inspect.signature(after_step).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is p.empty for p in parameters) > 2


def _check_loss(value, epoch):
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        raise TypeError("the loss must be a tensor of one number")
    if not torch.isfinite(value):
        raise FloatingPointError(f"the loss is {value.item()} in epoch {epoch + 1}")
