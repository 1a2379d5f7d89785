"""How many bits a weight deserves: rounding as far as the posterior allows.

A weight whose posterior is wide says the same when it is rounded. The functions here take the
variational network, for its standard deviations, and the ordinary network that pruning made of it
(:func:`~uecompress.bayes.prune`, :func:`~uecompress.bayes.prune_groups`), and return ordinary
networks whose weights take few values, which ``storage`` writes small.
"""

import math
from dataclasses import dataclass

import torch

from uecompress import checks
from uecompress.networks import linear_and_conv_layers, shrink
from uecompress.networks.values import half, with_new_values


@dataclass(frozen=True)
class BitPrecision:
    """A floating-point format: a sign, ``exponent`` and ``mantissa`` bits.

    Raises:
        TypeError: a number of bits that is no number.
        ValueError: one that is not whole or below 0.
    """

    exponent: int
    mantissa: int

    def __post_init__(self):
        for name in ("exponent", "mantissa"):
            checks.whole(name, getattr(self, name), 0)

    @property
    def bits(self):
        """All of them."""
        return 1 + self.exponent + self.mantissa


def mantissa_bits(std):
    """The number of mantissa bits whose unit round-off 2⁻ᵗ is still above 2σ, from 0 to 23.

    Rounding to multiples of 2⁻ᵗ then moves no weight by more than 2σ. The argument is the standard
    deviation: the authors' released code passes the variance, which is a square, and so keeps about
    twice the bits.

    Args:
        std: posterior standard deviations, a tensor.

    Returns:
        The number for every entry, an integer tensor.

    Raises:
        TypeError: not a tensor of floating-point numbers.
        ValueError: a standard deviation that is not positive and finite.
    """
    checks.floating(std=std)
    if not ((std > 0) & (std < math.inf)).all():
        raise ValueError("posterior standard deviations must be positive and finite")
    return (-(2 * std).log2()).ceil().sub(1).clamp(0, 23).long()


def bit_precision(model, pruned):
    """The format that each layer's weights deserve (Louizos et al. 2017, Section 4).

    The mantissa bits are the mean of :func:`mantissa_bits` over the weights that are not pruned,
    rounded up. The exponent bits hold the largest weight W of the network,
    ⌈log₂(log₂ W + 1) + 1⌉ with W at least 1.

    Args:
        model: a variational network.
        pruned: the ordinary network that pruning made of it, with the same layers.

    Returns:
        A dict: dotted name of the layer -> :class:`BitPrecision`.

    Raises:
        ValueError: networks that do not correspond, a variance that is not positive.
    """
    pairs = _posteriors(model, pruned)
    largest = max(layer.weight.abs().max().item() for _, layer, _ in pairs)
    exponent = math.ceil(math.log2(math.log2(max(largest, 1.0)) + 1) + 1)
    result = {}
    for name, layer, stds in pairs:
        kept = layer.weight != 0
        mean = mantissa_bits(stds["weight"][kept]).double().mean() if kept.any() else 0.0
        result[name] = BitPrecision(exponent, math.ceil(mean))
    return result


def round_to_precision(pruned, precision):
    """A copy whose weights are multiples of 2⁻ᵗ for the t mantissa bits of their layer.

    This is the rounding of the authors' code, which is a fixed-point one. Biases, which it leaves
    alone, are rounded to half precision, unless one is too large for it.

    Args:
        pruned: an ordinary network; it is not changed.
        precision: what :func:`bit_precision` returned for it; layers that it does not name are
            copied.

    Raises:
        ValueError: a name that is not a layer's (:func:`shrink` changes some of them), weights or
            biases that are not finite.
    """
    known = [name for name, _ in linear_and_conv_layers(pruned)]
    for name in precision:
        if name not in known:
            raise ValueError(f"{name!r} is not a layer of it; there are {', '.join(known)}")

    def function(name, layer):
        step = 2.0 ** -precision[name].mantissa
        return {"weight": _to_grid(layer.weight, step), "bias": half(layer.bias)}

    return with_new_values(pruned, precision, function)


def fixed_point(model, pruned, step=1.0):
    """A copy on one grid for each tensor, multiples of ``step`` times its mean posterior std.

    What is stored is integers and the spacing, so this decides the bytes, not a count of mantissa
    bits. Weights that round to zero are pruned too. Biases without a posterior use the grid of
    their layer's weights.

    Args:
        model: a variational network.
        pruned: the ordinary network that pruning made of it; it is not changed.
        step: the spacing in standard deviations, positive. Rounding to it adds a variance of
            step² / 12 of the posterior's.

    Raises:
        ValueError: ``step`` not positive, networks that do not correspond, a variance that is not
            positive, weights or biases that are not finite.
    """
    step = checks.positive("step", step)
    stds = {name: stds for name, _, stds in _posteriors(model, pruned)}

    def function(name, layer):
        spacing = step * _mean_std(stds[name]["weight"], layer.weight)
        values = {"weight": _to_grid(layer.weight, spacing)}
        if "bias" in stds[name] and layer.bias is not None:
            spacing = step * _mean_std(stds[name]["bias"], layer.bias)
        return values | {"bias": None if layer.bias is None else _to_grid(layer.bias, spacing)}

    return with_new_values(pruned, stds, function)


def fast_prediction(model, pruned):
    """The smaller network with rounded weights: the lecture's column of that name, as a network.

    Args:
        model: a variational network.
        pruned: the ordinary network that pruning made of it; it is not changed.
    """
    return shrink(round_to_precision(pruned, bit_precision(model, pruned)))


def counted_rates(original, small, bits):
    """The two columns of the lecture's table that count and store nothing.

    "Pruning" is the ratio of the numbers of weights; in "fast prediction" each takes its layer's
    bits, and 32 before. Biases and indices are not counted, and no file is written.

    Args:
        original: the ordinary network before compression.
        small: the one after :func:`shrink`.
        bits: bits of a weight in each Linear and Conv2d layer of ``small``, in order.

    Returns:
        The two rates.

    Raises:
        TypeError: a number of bits that is no number.
        ValueError: not one positive number of bits for each layer.
    """
    before = sum(layer.weight.numel() for _, layer in linear_and_conv_layers(original))
    sizes = [layer.weight.numel() for _, layer in linear_and_conv_layers(small)]
    if len(sizes) != len(bits):
        raise ValueError(f"{len(bits)} numbers of bits for {len(sizes)} layers")
    bits = [checks.positive("bits", each) for each in bits]
    total = sum(size * each for size, each in zip(sizes, bits, strict=True))
    return before / sum(sizes), 32 * before / total


@torch.no_grad()
def _posteriors(model, pruned):
    """(name, layer of ``pruned``, {"weight": stds, perhaps "bias": stds}), checked."""
    layers = dict(linear_and_conv_layers(pruned))
    result = []
    for name, module in model.named_modules():
        if not hasattr(module, "weight_log_sigma2"):
            continue
        if name not in layers or layers[name].weight.shape != module.weight_mu.shape:
            raise ValueError(
                f"{name!r} is a variational layer, but the pruned network has no layer of its shape"
            )
        stds = {"weight": _std(module, "weight")}
        if getattr(module, "bias_log_sigma2", None) is not None:
            stds["bias"] = _std(module, "bias")
        for kind, std in stds.items():
            if not ((std > 0) & torch.isfinite(std)).all():
                raise ValueError(f"a posterior variance of the {kind} of {name!r} is not positive")
        result.append((name, layers[name], stds))
    if not result:
        raise ValueError("the network has no variational layer")
    return result


def _std(module, kind):
    """Marginal posterior standard deviations of the weights or the biases of a layer."""
    if hasattr(module, f"{kind}_variance"):
        return getattr(module, f"{kind}_variance")().sqrt()
    return (0.5 * getattr(module, f"{kind}_log_sigma2")).exp()


def _mean_std(std, values):
    """The mean over the values that are not zero; over all if there are none."""
    kept = values != 0
    return (std[kept] if kept.any() else std).mean().item()


def _to_grid(values, spacing):
    return (values / spacing).round() * spacing + 0.0  # + 0.0: −0 becomes 0
