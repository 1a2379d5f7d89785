"""The one training loop of the course.

Every network of the book, dense, compressed or Bayesian, is trained by :func:`fit`. What differs
from one method to the next is the ``loss`` and what happens ``after_step``.
"""

import copy
import math

import torch
from torch.nn import functional as F
from tqdm import tqdm

from uecompress.networks import check_inputs


def cross_entropy(model, x, y, progress):
    """Cross-entropy in nats, averaged over examples and, in an ensemble, over members.

    Args:
        model: a network with logits (N, C), or an ensemble with logits (M, N, C).
        x: inputs (N, ...), or one batch per member (M, N, ...).
        y: labels (N,), or (M, N).
        progress: training progress in [0, 1]; this loss does not use it.
    """
    logits = model(x)
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

    The seed fixes the order of the examples and every random number drawn while training, so that
    two calls on one machine give bit-identical networks. The caller's random state is untouched.
    A last batch of a single example is left out of its epoch, because batch normalization has no
    variance to work with there; for the same reason it refuses a ``batch_size`` of 1.

    Args:
        model: a network, or an ensemble.
        data: inputs ``x`` (N, ...) and labels ``y`` (N,) int64.
        epochs: passes over the data, at least 1.
        batch_size: examples per step, at least 1.
        lr: the learning rate, a number or a function of training progress in [0, 1).
        seed: an integer.
        optimizer: called as ``optimizer(parameters, lr=...)``.
        loss: ``loss(model, x, y, progress)``, a scalar; regularizers and their warm-up live here.
        after_step: ``after_step(model, progress)``, run without gradients after each step.
        progress: show a bar, on a terminal only.

    Raises:
        TypeError: inputs that are not a tensor of the network's floating-point type, labels that
            are neither int64 nor, as soft targets for a loss that takes them, floating-point.
        ValueError: empty or non-finite data, lengths that differ, labels out of range, nothing
            to train.
        FloatingPointError: the loss is not finite; the message names the epoch.
    """
    x, y = data
    for name, number in {"epochs": epochs, "batch_size": batch_size}.items():
        if not number >= 1 or number == math.inf or number != int(number):
            raise ValueError(f"{name} must be a whole number of at least 1, not {number}")
    epochs, batch_size = int(epochs), int(batch_size)  # 2.0 and NumPy's integers too
    trained = copy.deepcopy(model).train()
    weights = [p for p in trained.parameters() if p.requires_grad]
    if not weights:
        raise ValueError("the network has no parameters to train")
    check_data(model, x, y)
    device = weights[0].device
    x, y = x.detach().to(device), y.detach().to(device)
    rate = lr if callable(lr) else lambda _: lr
    steps = optimizer(weights, lr=rate(0.0))
    order = torch.Generator().manual_seed(seed)
    batches = math.ceil(len(x) / batch_size)

    with torch.random.fork_rng(), tqdm(total=epochs, disable=None if progress else True) as bar:
        torch.manual_seed(seed)
        for epoch in range(epochs):
            for i, batch in enumerate(torch.randperm(len(x), generator=order).split(batch_size)):
                if len(batch) == 1 < min(batch_size, len(x)):
                    continue
                done = (epoch + i / batches) / epochs
                for group in steps.param_groups:
                    group["lr"] = rate(done)
                value = loss(trained, x[batch], y[batch], done)
                if not torch.isfinite(value):
                    raise FloatingPointError(f"the loss is {value.item()} in epoch {epoch + 1}")
                steps.zero_grad()
                value.backward()
                steps.step()
                if after_step is not None:
                    with torch.no_grad():
                        after_step(trained, (epoch + (i + 1) / batches) / epochs)
            bar.set_postfix(loss=f"{value.item():.3f}")
            bar.update()
    return trained.eval()


def check_data(model, x, y):
    """Raise an error that says what is wrong where ``x`` and ``y`` cannot train ``model``."""
    check_inputs(model, x)
    if len(x) != len(y):
        raise ValueError(f"x has {len(x)} examples but y has {len(y)} labels")
    if not isinstance(y, torch.Tensor):
        raise TypeError(f"labels must be a torch tensor, not {type(y).__name__}")
    if y.is_floating_point():  # soft targets: the loss knows what to make of them
        return
    if y.dtype != torch.int64 or y.ndim != 1:
        raise TypeError(f"labels must be int64 of shape (N,), not {y.dtype} of {tuple(y.shape)}")
    with torch.no_grad(), torch.random.fork_rng():
        device = next(model.parameters(), x).device
        classes = copy.deepcopy(model).eval()(x[:1].clone().to(device)).shape[-1]
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(
            f"labels must be in 0..{classes - 1}, but y holds {y.min().item()}..{y.max().item()}"
        )
