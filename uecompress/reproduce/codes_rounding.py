"""Trained networks that are rounded and not trained again, and what clipping does to doubt."""

import functools

import torch

from uecompress import data, networks, quantization, uncertainty
from uecompress.quantization.activations import given_to
from uecompress.reproduce import bayesian, foreign
from uecompress.reproduce.codes_parts import part
from uecompress.reproduce.codes_settings import SETTINGS
from uecompress.reproduce.pruning_training import batch
from uecompress.reproduce.store import Store

THRESHOLDS = {
    "max": quantization.max_threshold,
    "percentile": quantization.percentile_threshold,
    "mse": quantization.mse_threshold,
    "kl": quantization.kl_threshold,
}
FOREIGN = ("notmnist", *foreign.NAMES)


def rounded(model, seed, way, how):
    """A network of fewer bits.

    Args:
        model: a trained network; it is not changed.
        seed: of the images that calibrate.
        way: what is rounded, and how.
        how: the arguments, thresholds and types by name.
    """
    how = dict(how)
    if "threshold" in how:
        how["threshold"] = THRESHOLDS[how["threshold"]]
    x, _ = batch(seed, SETTINGS["batch"], noise=how.pop("noise", False))
    return {
        "floats": lambda dtype: quantization.round_floats(model, getattr(torch, dtype)),
        "weights": functools.partial(quantization.quantize, model),
        "codebooks": functools.partial(quantization.codebooks, model),
        "gptq": functools.partial(quantization.gptq, model, x),
        "split": functools.partial(quantization.quantize_split, model),
        "mixed": functools.partial(
            quantization.mixed_precision, model, data.load("mnist", "validation")
        ),
        "clipped": functools.partial(clipped, model),
        "given": functools.partial(quantization.round_activations, model, x),
        "part": lambda given=False, **how: part(model, x=x if given else None, **how),
    }[way](**how)


@torch.no_grad()
def clipped(model, bits, threshold):
    """The network with the weights of each layer clipped as a grid of so many bits would."""
    model, (_, steps) = networks.plain(model), quantization.code_range(bits)
    for layer in networks.plain_layers(model).values():
        end = threshold(layer.weight.reshape(1, -1), steps)
        layer.weight.clamp_(-end, end)
    return model


def clipping(seed):
    """What ranges of activations do, for each number of bits and each rule.

    Returns:
        Dicts with the AUROC of the share of clipped activations on each foreign set, and the mean
        squared error of rounding what each layer is given, on images that calibrated nothing.
    """
    decided = [SETTINGS["clipping"], SETTINGS["batch"], SETTINGS["decay"]["lenet300"]]

    def compute():
        model, (x, _) = bayesian.trained("lenet300", "decay", seed), batch(seed, SETTINGS["batch"])
        test = data.load("mnist", "test")[0]
        rows = []
        for bits in SETTINGS["clipping"]["bits"]:
            for name in SETTINGS["clipping"]["thresholds"]:
                rounds = quantization.round_activations(model, x, bits, threshold=THRESHOLDS[name])
                inside = quantization.clipped_share(rounds, test)
                row = {"seed": seed, "bits": bits, "threshold": name}
                for each in FOREIGN:
                    outside = quantization.clipped_share(rounds, images(each))
                    row[f"auroc_{each}"] = round(uncertainty.auroc(inside, outside), 6)
                row["clipped"] = round(inside.mean().item(), 8)
                row["squared_error"] = squared_errors(model, rounds, test[:1000])
                rows.append(row)
        return rows

    return Store("codes-clipping", decided, 1).value(str(seed), compute)


def images(name):
    """The foreign images of one name."""
    return data.load(name, "test")[0] if name == "notmnist" else foreign.images(name)


@torch.no_grad()
def squared_errors(model, rounds, x):
    """The mean squared error of rounding what each layer is given, by layer."""
    found = {}
    for name in networks.plain_layers(model):
        given = given_to(model, name, x)
        error = rounds.get_submodule(f"{name}.round")(given) - given
        found[name] = float(f"{error.double().square().mean().item():.6g}")
    return found


def posterior(seed, grid=None, bits=None):
    """The network of chapter 12 with its posterior, the variances on a grid if one is given."""
    model = bayesian.trained("lenet300", "graves", seed)
    return model if grid is None else quantization.quantize_variances(model, bits, grid)
