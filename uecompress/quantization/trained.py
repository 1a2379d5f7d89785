"""Training with the quantizer: layers that round their weights in every forward pass.

The weights stay real numbers, and gradients pass through the rounding as if it were not there. At
the end :func:`finish` keeps the codes alone.
"""

import torch

from uecompress import checks
from uecompress.networks import LinearLayer, plain, plain_layers, replace_layers
from uecompress.quantization.layer import QuantizedConv2d, QuantizedLinear


def round_through(x):
    """Whole numbers with the gradient of x itself: the straight-through estimator."""
    return x.detach().round() + (x - x.detach())


class TrainedLayer:
    """What layers share that round their ``weight`` while they are trained."""

    def take(self, weight, bias):
        """Keep a weight, and a bias if there is one, as they are before rounding."""
        self.weight.copy_(weight)
        if bias is not None:
            self.bias.copy_(bias)

    def integers(self, codes, scale, **grid):
        """The layer of integer codes with these, of the same geometry and bias."""
        kind = QuantizedLinear if isinstance(self, LinearLayer) else QuantizedConv2d
        sizes = {k: v for k, v in self.config().items() if k not in self.settings}
        layer = kind(**sizes, **grid).to(self.weight)
        layer.keep(codes, scale)
        if self.has_bias:
            layer.bias.data.copy_(self.bias)
            layer.bias.requires_grad_(self.bias.requires_grad)
        return layer


@torch.no_grad()
def finish(model):
    """A copy of a network of integer codes alone, which predicts the same, bit for bit.

    Args:
        model: a trained network of :func:`lsq`, :func:`bitnet` or :func:`rate_distortion`; it is
            not changed.

    Raises:
        ValueError: no layer that rounds its weights in training; weights that are not finite.

    Warns:
        UserWarning: such layers that are hooked or shared, which stay.
    """
    model = plain(model)
    kinds = {type(module) for module in model.modules() if hasattr(module, "coded")}
    if not kinds:
        raise ValueError("the network has no layer that was trained with a quantizer")
    layers = plain_layers(model, *kinds)

    def replace(name, leaf):
        if name not in layers:
            return None
        with checks.naming(name):
            return leaf.coded()

    return replace_layers(model, replace)
