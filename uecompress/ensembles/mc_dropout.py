"""Monte Carlo dropout (Gal and Ghahramani, 2016): the dropout of training as a posterior.

Each pass with a fresh mask is a draw from the approximate posterior, and the mean of the drawn
probabilities is the prediction.
"""

from torch import nn
from torch.nn import functional as F

from uecompress import checks
from uecompress.networks import plain_layers, replace_layers


class MCDropout(nn.Dropout):
    """Dropout that can also draw in evaluation mode: it does so while ``sampling`` is True.

    Otherwise it is ``nn.Dropout``. Every entry of the input has its own mask, so every example has.

    Args:
        p: the probability of dropping a unit; those that stay are divided by 1 − p.

    Raises:
        TypeError, ValueError: ``p`` is no number from 0 to 1.
    """

    acts_as = nn.Dropout

    def __init__(self, p):
        super().__init__(checks.within("p", p, 0, 1))
        self.sampling = False

    def forward(self, x):
        """``x`` with a fresh mask in training and while sampling, ``x`` itself otherwise."""
        return F.dropout(x, self.p, training=self.training or self.sampling)

    def config(self):
        """The constructor's arguments."""
        return {"p": self.p}


def mc_dropout(model):
    """A copy of a network that drops units whenever a prediction asks for samples.

    ``uncertainty.predict(mc_dropout(model), x, samples=S)`` makes S passes, each with a mask of its
    own for every example; fifty or more are needed for a steady mutual information. Without
    ``samples`` the copy predicts as ``model`` does. Batch normalization always uses its running
    statistics, and channel-wise dropout (``nn.Dropout2d``) stays off. Dropout that is not plain
    (see :func:`networks.plain_layers <uecompress.networks.plain_layers>`) is left alone with a
    warning.

    Args:
        model: a network or an ensemble; it is not changed.

    Raises:
        ValueError: the network has no plain ``nn.Dropout``, or only some that drop nothing (p = 0).
    """
    layers = plain_layers(model, nn.Dropout)
    if not any(layer.p > 0 for layer in layers.values()):
        raise ValueError("the network has no nn.Dropout with p > 0, so it has nothing to sample")
    return replace_layers(model, lambda name, leaf: MCDropout(leaf.p) if name in layers else None)
