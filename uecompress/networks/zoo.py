"""The networks of the course, each a function that returns a tree of named layers.

Every function draws torch's default initialisation from ``seed``, bit-identical for the same seed,
without touching the caller's generator. Sizes are whole numbers of at least 1 and a dropout is a
probability: what is no number raises ``TypeError``, another number ``ValueError``. All networks but
:func:`cnn_as_printed` return plain logits (N, num_classes).
"""

from collections import OrderedDict
from itertools import pairwise

from torch import nn

from uecompress import checks
from uecompress.networks.containers import Residual
from uecompress.randomness import seeded


def mlp(
    in_features: int = 784,
    width: int = 200,
    depth: int = 3,
    num_classes: int = 10,
    dropout: float = 0.1,
    *,
    seed: int = 0,
) -> nn.Sequential:
    """The multilayer perceptron 784-200-200-200-10: 242,178 parameters.

    Batch norm stands before every linear layer; ReLU and dropout follow all but the last. This is
    the MLP of Lakshminarayanan et al. (2017), Section 3.2, with the dropout of its baseline.

    Args:
        in_features: entries of one example, which may come in any shape, (N, 1, 28, 28) say.
        width: units of each hidden layer.
        depth: number of hidden layers.
        num_classes: number of classes.
        dropout: probability of dropping a hidden unit.
        seed: seed of the initialisation.
    """
    in_features, num_classes = _sizes(in_features=in_features, num_classes=num_classes)
    width, depth = _sizes(width=width, depth=depth)
    dropout = checks.within("dropout", dropout, 0, 1)
    layers = OrderedDict(flatten=nn.Flatten())
    with seeded(seed):
        for k, (fan_in, fan_out) in enumerate(pairwise([in_features] + [width] * depth), start=1):
            layers[f"norm{k}"] = nn.BatchNorm1d(fan_in)
            layers[f"linear{k}"] = nn.Linear(fan_in, fan_out)
            layers[f"relu{k}"] = nn.ReLU()
            layers[f"dropout{k}"] = nn.Dropout(dropout)
        layers[f"norm{depth + 1}"] = nn.BatchNorm1d(width)
        layers[f"linear{depth + 1}"] = nn.Linear(width, num_classes)
    return nn.Sequential(layers)


def cnn(
    in_channels: int = 1, num_classes: int = 10, dropout: float = 0.1, *, seed: int = 0
) -> nn.Sequential:
    """The convolutional network 16-32-64-128-256 with the head 64-10: 410,540 parameters.

    It differs from :func:`cnn_as_printed` in two places: images of 28x28 are padded to 32x32 so
    that they survive five poolings, and the head ends in the logits. The seed draws the same
    weights for both.

    Args:
        in_channels: channels of the input (N, in_channels, 28, 28); 32x32 works as well.
        num_classes: number of classes.
        dropout: probability of dropping a unit of the head.
        seed: seed of the initialisation.
    """
    printed = _cnn_layers(in_channels, num_classes, dropout, seed)
    return nn.Sequential(OrderedDict(pad=nn.ZeroPad2d(2), **printed))


def cnn_as_printed(
    in_channels: int = 1, num_classes: int = 10, dropout: float = 0.1, *, seed: int = 0
) -> nn.Sequential:
    """The CNN exactly as its authors printed it, to show what is wrong with it.

    Five 2x2 poolings leave nothing of a 28x28 image, so torch raises; it runs on 32x32. ReLU and
    dropout stand on the logits, which makes them non-negative and, in training, zero at random.

    Args:
        in_channels: channels of the input (N, in_channels, 32, 32).
        num_classes: number of classes.
        dropout: probability of dropping a unit of the head, logits included.
        seed: seed of the initialisation.
    """
    layers = _cnn_layers(in_channels, num_classes, dropout, seed)
    dropout2 = nn.Dropout(layers["dropout1"].p)
    return nn.Sequential(OrderedDict(**layers, relu7=nn.ReLU(), dropout2=dropout2))


def lenet300(*, seed: int = 0) -> nn.Sequential:
    """LeNet-300-100, i.e. 784-300-100-10 with ReLU between: 266,610 parameters."""
    with seeded(seed):
        layers = OrderedDict(
            flatten=nn.Flatten(),
            linear1=nn.Linear(784, 300),
            relu1=nn.ReLU(),
            linear2=nn.Linear(300, 100),
            relu2=nn.ReLU(),
            linear3=nn.Linear(100, 10),
        )
    return nn.Sequential(layers)


def lenet5(*, seed: int = 0) -> nn.Sequential:
    """LeNet-5-Caffe, 20-50-500-10 with ReLU after every layer but the last: 431,080 parameters.

    Two valid 5x5 convolutions, each with 2x2 max pooling, take (N, 1, 28, 28) to (N, 50, 4, 4).
    The Caffe original has a single ReLU, after ``linear1``; the compression papers use it as here.
    It is not the LeNet-5 of 6-16-120-84 units.
    """
    with seeded(seed):
        layers = OrderedDict(
            conv1=nn.Conv2d(1, 20, kernel_size=5),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(20, 50, kernel_size=5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            linear1=nn.Linear(50 * 4 * 4, 500),
            relu3=nn.ReLU(),
            linear2=nn.Linear(500, 10),
        )
    return nn.Sequential(layers)


def resnet_small(
    in_channels: int = 1, num_classes: int = 10, width: int = 16, *, seed: int = 0
) -> nn.Sequential:
    """A small residual network (He et al. 2016): 77,754 parameters with its default arguments.

    A convolution, three residual blocks of ``width``, ``2 width`` and ``4 width`` channels with
    strides 1, 2, 2, the average over the image, and a linear layer.

    Args:
        in_channels: channels of the input (N, in_channels, H, W), of any size.
        num_classes: number of classes.
        width: channels of the first block.
        seed: seed of the initialisation.
    """
    in_channels, num_classes = _sizes(in_channels=in_channels, num_classes=num_classes)
    (width,) = _sizes(width=width)
    with seeded(seed):
        layers = OrderedDict(
            conv=nn.Conv2d(in_channels, width, kernel_size=3, padding=1, bias=False),
            norm=nn.BatchNorm2d(width),
            relu=nn.ReLU(),
            block1=_residual_block(width, width, stride=1),
            relu1=nn.ReLU(),
            block2=_residual_block(width, 2 * width, stride=2),
            relu2=nn.ReLU(),
            block3=_residual_block(2 * width, 4 * width, stride=2),
            relu3=nn.ReLU(),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            linear=nn.Linear(4 * width, num_classes),
        )
    return nn.Sequential(layers)


def _cnn_layers(in_channels: int, num_classes: int, dropout: float, seed: int) -> OrderedDict:
    """The layers that both versions of the CNN have: everything up to the logits."""
    in_channels, num_classes = _sizes(in_channels=in_channels, num_classes=num_classes)
    dropout = checks.within("dropout", dropout, 0, 1)
    layers = OrderedDict()
    with seeded(seed):
        for k, (before, after) in enumerate(pairwise([in_channels, 16, 32, 64, 128, 256]), start=1):
            layers[f"norm{k}"] = nn.BatchNorm2d(before)
            layers[f"conv{k}"] = nn.Conv2d(before, after, kernel_size=3, padding=1)
            layers[f"relu{k}"] = nn.ReLU()
            layers[f"pool{k}"] = nn.MaxPool2d(2)
        layers["flatten"] = nn.Flatten()  # (N, 256, 1, 1) -> (N, 256)
        layers["norm6"] = nn.BatchNorm1d(256)
        layers["linear1"] = nn.Linear(256, 64)
        layers["relu6"] = nn.ReLU()
        layers["dropout1"] = nn.Dropout(dropout)
        layers["norm7"] = nn.BatchNorm1d(64)
        layers["linear2"] = nn.Linear(64, num_classes)
    return layers


def _residual_block(before: int, after: int, *, stride: int) -> Residual:
    """conv-BN-ReLU-conv-BN beside the identity, or beside conv1x1-BN where the shape changes."""
    branch = OrderedDict(
        conv1=nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, bias=False),
        norm1=nn.BatchNorm2d(after),
        relu1=nn.ReLU(),
        conv2=nn.Conv2d(after, after, kernel_size=3, padding=1, bias=False),
        norm2=nn.BatchNorm2d(after),
    )
    if stride == 1 and before == after:
        return Residual(nn.Sequential(branch))
    shortcut = OrderedDict(
        conv=nn.Conv2d(before, after, kernel_size=1, stride=stride, bias=False),
        norm=nn.BatchNorm2d(after),
    )
    return Residual(nn.Sequential(branch), nn.Sequential(shortcut))


def _sizes(**sizes: int) -> list[int]:
    return [checks.whole(name, size) for name, size in sizes.items()]
