"""The exercises of "Rounding while you train"."""

import torch

from uecompress import storage
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def step():
    """∂ŵ/∂s for 0.2, −0.65 and 0.9 with s = 0.5 and codes from −2 to 1."""
    return Number(
        [-0.4, 0.3, 1.0],
        {
            "inside it is the code minus w / s, not w / s minus the code": [0.4, -0.3, 1.0],
            "1.8 steps are beyond the end: the slope is the last code": [-0.4, 0.3, 0.2],
            "divide by s first: the slope is counted in steps": [-0.2, 0.35, 0.1],
            "beyond the end the number moves with s: by the last code, not by 0": [-0.4, 0.3, 0.0],
        },
    )


def through():
    """Rounded numbers, and their slopes by w and by s, in one vector."""
    generator = torch.Generator().manual_seed(0)
    inputs = [
        (2 * torch.randn(6, generator=generator, dtype=torch.float64), s, low, high)
        for s, low, high in ((0.5, -2, 1), (0.3, -4, 3), (1.1, -1, 1))
    ]

    def told(function):
        def run(w, s, low, high):
            w, s = w.clone().requires_grad_(), torch.tensor(s, requires_grad=True).double()
            s.retain_grad()
            result = function(w, s, low, high)
            if result is None or result is ...:
                return None
            if not result.requires_grad:
                raise ValueError("the result has no gradient: do not detach all of it")
            result.sum().backward()
            slope = torch.zeros(1).double() if s.grad is None else s.grad.reshape(1)
            by_w = torch.zeros_like(w) if w.grad is None else w.grad
            return torch.cat([result.detach(), by_w, slope])

        return run

    return _Told(
        told,
        Function(
            told(_right),
            inputs,
            {
                "the gradient passes where the weight is clipped, too": told(_everywhere),
                "the slope by w is 0: rounding has to be detached": told(_flat),
                "the slope by the step is missing: it is detached as well": told(_fixed_step),
            },
            show=lambda w, s, low, high: f"{len(w)} weights, step {s}, codes {low} to {high}",
        ),
    )


class _Told:
    """Judges what a function tells about its values and slopes."""

    def __init__(self, told, function):
        self.told, self.function = told, function

    def judge(self, answer):
        """As :class:`Function` does."""
        if not callable(answer):
            return self.function.judge(answer)
        return self.function.judge(self.told(answer))


def _round_through(x):
    return x + (x.round() - x).detach()


def _right(w, step, low, high):
    return _round_through((w / step).clamp(low, high)) * step


def _everywhere(w, step, low, high):
    u = w / step
    return (u + (u.round().clamp(low, high) - u).detach()) * step


def _flat(w, step, low, high):
    return (w / step).round().clamp(low, high) * step


def _fixed_step(w, step, low, high):
    return _round_through((w / step.detach()).clamp(low, high)) * step.detach()


def length(codes):
    """Bytes of the file of some codes over those of their entropy.

    Args:
        codes: integers, a tensor.
    """
    counts = codes.unique(return_counts=True)[1]
    p = counts.double() / codes.numel()
    entropy = -(p * p.log2()).sum().item() * codes.numel()
    stored = storage.size({"codes": codes})
    return Number(
        8 * stored / entropy,
        {
            "the file over the entropy, not the other way round": entropy / 8 / stored,
            "a byte has eight bits": stored / entropy,
            "in bits: the logarithm to the base 2": 8 * stored / entropy / 0.6931472,
        },
    )
