"""Doubt from the distance of an example's features to those of the training data.

Source: Lee, Lee, Lee & Shin, A Simple Unified Framework for Detecting Out-of-Distribution Samples
and Adversarial Attacks (NeurIPS 2018), section 2.1, on the features of the last layer.
"""

import torch

from uecompress import checks
from uecompress.networks.tree import leaves
from uecompress.randomness import LOCK
from uecompress.uncertainty.metrics import real_tensor
from uecompress.uncertainty.predict import predict


def features(model, x, *, batch_size=1000):
    """What the last layer of a network sees of each example: a float64 tensor (N, D).

    The last layer is the one that runs last of those that hold tensors of their own (in a
    classifier usually the Linear layer that gives the logits; of a factorized one, the last
    factor). Its input is flattened. Random weights are left at their means.

    Args:
        model: a single network; ask the members of an ensemble one by one and average their scores.
        x: inputs (N, ...).
        batch_size: as in :func:`predict`.

    Raises:
        TypeError: those of :func:`predict`.
        ValueError: those of :func:`predict`; an ensemble, a network whose examples do not all take
            the same way, or one without a layer that holds tensors.
    """
    runs, batches = [], []  # the layer that ran last with what it saw: now, and in each batch

    def remember(layer, inputs):
        runs[:] = [(layer, inputs[0])]

    def collect(network, inputs, logits):
        if not runs:
            raise ValueError("the network has no layer that holds tensors")
        layer, seen = runs[0]
        same = not batches or layer is batches[0][0]
        if logits.ndim != 2 or len(seen) != len(logits) or not same:
            raise ValueError(
                "an ensemble, or a network whose examples take different ways, has no features: "
                f"its last layer saw {len(seen)} rows for logits {tuple(logits.shape)}"
            )
        batches.append((layer, seen.cpu().double().flatten(1)))

    layers = [leaf for _, leaf in leaves(model) if leaf.state_dict()]
    with LOCK:  # the hooks would hear of other threads' predictions too
        handles = [layer.register_forward_pre_hook(remember) for layer in layers]
        handles.append(model.register_forward_hook(collect))
        try:
            predict(model, x, batch_size=batch_size)
        finally:
            for handle in handles:
                handle.remove()
    return torch.cat([seen for _, seen in batches])


def mahalanobis(train_features, y, test_features):
    """The squared distance of features to the nearest class (eq. 2): a tensor (N,).

    ``min_c (f − μ_c)ᵀ Σ⁻¹ (f − μ_c)``, where μ_c is the mean of class c in the training data and Σ
    the covariance around these means, one for all classes (eq. 1). Higher = more uncertain.
    Directions in which the training data do not vary within a class are left out, as the
    pseudo-inverse of Σ does.

    Args:
        train_features: (n, D), from :func:`features`.
        y: their labels (n,), whole numbers.
        test_features: (N, D), of the examples to be scored.

    Raises:
        TypeError: what is no real number, or a masked array.
        ValueError: tensors that are empty, not finite or do not fit together; no variation within
            any class.
    """
    train = _check_features("train_features", train_features)
    test = _check_features("test_features", test_features)
    y = real_tensor("y", y)
    if y.shape != (len(train),) or y.is_floating_point():
        raise ValueError(f"y must hold {len(train)} whole numbers, not {y.dtype} {tuple(y.shape)}")
    if train.shape[1] != test.shape[1]:
        raise ValueError(f"{train.shape[1]} train features, but {test.shape[1]} test features")
    classes, index = y.unique(return_inverse=True)
    means = torch.stack([train[index == c].mean(0) for c in range(len(classes))])  # (C, D)
    around = train - means[index]
    variances, directions = torch.linalg.eigh(around.T @ around / len(train))  # eq. 1
    rounding = train.shape[1] * torch.finfo(train.dtype).eps
    if variances[-1] <= rounding**2 * train.square().sum(-1).mean():
        raise ValueError("the training features do not vary within any class")
    vary = variances > rounding * variances[-1]
    whiten = directions[:, vary] / variances[vary].sqrt()  # (D, R): whiten whitenᵀ is Σ⁻¹
    distances = [((test - mean) @ whiten).square().sum(-1) for mean in means]
    return torch.stack(distances).amin(0)  # eq. 2


def _check_features(name, values):
    values = real_tensor(name, values).detach().cpu().double()
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"{name} must be a non-empty (examples, D), not {tuple(values.shape)}")
    checks.finite(**{name: values})
    return values
