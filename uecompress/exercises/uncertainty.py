"""The exercises of chapter 6, knowing what you don't know."""

import math

import numpy as np

from uecompress import data, uncertainty
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def cubic():
    """The cheapest forecast of rain, probability 0.7, under (1 − s)³ and s³."""
    return Number(
        1 / (1 + math.sqrt(3 / 7)),
        {
            "this is the truth: the rule is not proper": 0.7,
            "this is the probability of no rain: (1 − s)³ is charged when it rains": (
                1 / (1 + math.sqrt(7 / 3))
            ),
            "the derivative of a cube is a square: take the square root": (
                1 / (1 + math.cbrt(3 / 7))
            ),
            "take the root of (1 − q) / q, not the ratio squared": 1 / (1 + (3 / 7) ** 2),
            "this is cheapest under the linear rule": 1.0,
        },
    )


def mass():
    """The expected calibration error with bins of equal mass."""
    rng = np.random.default_rng(0)
    sizes = [(12, 3), (60, 5), (100, 10), (30, 1)]
    confidences = [rng.uniform(0.2, 1, n) for n, _ in sizes]
    inputs = [
        (sure, (rng.random(len(sure)) < 0.9 * sure).astype(float), bins)
        for sure, (_, bins) in zip(confidences, sizes, strict=True)
    ]
    return Function(
        _mass,
        inputs,
        {
            "sort the images by confidence first": lambda sure, correct, bins: np.abs(
                (correct - sure).reshape(bins, -1).mean(1)
            ).mean(),
            "sort `correct` together with `sure`": lambda sure, correct, bins: np.abs(
                (correct - np.sort(sure)).reshape(bins, -1).mean(1)
            ).mean(),
            "take the mean within a bin first, the absolute value after it": (
                lambda sure, correct, bins: np.abs(correct - sure).mean()
            ),
            "take the absolute value of each bin's gap": lambda sure, correct, bins: (
                correct - sure
            ).mean(),
            "the sum over bins is weighted: each holds one in `bins` of the images": (
                lambda sure, correct, bins: bins * _mass(sure, correct, bins)
            ),
            "these bins have equal width": _width,
        },
        show=lambda sure, correct, bins: f"{len(sure)} images and {bins} bins",
    )


def _mass(sure, correct, bins):
    """The mean over bins of |accuracy − confidence|."""
    gap = (correct - sure)[np.argsort(sure)].reshape(bins, -1)
    return np.abs(gap.mean(1)).mean()


def _width(sure, correct, bins):
    """The same with bins of equal width."""
    index = np.ceil(sure * bins).astype(int) - 1
    gaps = np.bincount(index, correct - sure, minlength=bins)
    return np.abs(gaps).sum() / len(sure)


def floor():
    """The expected ECE of 10,000 images in one bin, each right with probability 0.99."""
    deviation = math.sqrt(0.99 * 0.01 / 10_000)
    return Number(
        deviation * math.sqrt(2 / math.pi),
        {
            "this is the standard deviation, not the mean absolute value": deviation,
            "calibrated or not, a sample scatters": 0.0,
            "this is the mean absolute value of the number of right answers: divide by N": (
                1e4 * deviation * math.sqrt(2 / math.pi)
            ),
            "this is the scatter of one image: the mean of N scatters by 1/√N of it": (
                100 * deviation * math.sqrt(2 / math.pi)
            ),
        },
    )


def base_rate():
    """The share of alarms that are about a foreign image, where one in a thousand is foreign."""
    return Number(
        0.95 / (0.95 + 0.05 * 999),
        {
            "this forgets how rare foreign images are": 0.95,
            "this is the share of all images that raise a true alarm": 0.00095,
            "these are true alarms for each false one: divide by all alarms": 0.95 / (0.05 * 999),
            "this is the share of images that raise an alarm": 0.00095 + 0.05 * 0.999,
        },
    )


def turning(*, pool):
    """Change of the NLL, at 45° and upright, by fitting the temperature on images at 45°.

    Args:
        pool: the 25 networks of the page; each fifth is a single network.
    """
    (x_val, y_val), (x, y) = data.load("digits", "validation"), data.load("digits", "test")
    angles = 45, 0
    val, test = (
        {a: _singles(pool, data.rotate(images, a)) for a in angles} for images in (x_val, x)
    )
    at = {a: [uncertainty.temperature(t, y_val) for t in val[a]] for a in angles}
    ideal = [uncertainty.temperature(t, y) for t in test[45]]

    def change(new, old):
        return [_nll(test[a], y, new) - _nll(test[a], y, old) for a in angles]

    right = change(at[45], at[0])
    return Number(
        right,
        {
            "the change at 45° comes first": right[::-1],
            "both signs are wrong: give the new NLL minus the old one": change(at[0], at[45]),
            "this compares with the networks as trained, T = 1": change(
                at[45], [1.0] * len(at[45])
            ),
            "fit on the validation images; these temperatures have seen the test labels": (
                change(ideal, at[0])
            ),
        },
    )


def _singles(pool, images):
    """The predictions of every fifth network, each (1, N, C)."""
    return uncertainty.predict(pool, images)[::5].split(1)


def _nll(tables, y, temperatures):
    """The mean NLL of several predictions, each at its own temperature."""
    pairs = zip(tables, temperatures, strict=True)
    return np.mean([uncertainty.nll(uncertainty.scale(t, temp), y) for t, temp in pairs])
