"""The bench: one network on ``digits``, and the row that every method has to beat.

Every chapter from the eighth on compares with the same two rows: :func:`dense`, a LeNet-300-100
with tuned weight decay, and :func:`baseline`, what chapter 8 makes of it by cutting the smallest
weights and clustering the others. :func:`card` measures any network in the same way.
"""

import functools
import tempfile
from pathlib import Path

import torch

from uecompress import checks, data, networks, storage, training, uncertainty

SEEDS = (0, 1, 2)
# Of five rates and seven decays these have the smallest NLL on the validation images (seed 0):
# ``python -m uecompress.reproduce bench`` searches again.
SETTINGS = {"epochs": 25, "batch_size": 100, "lr": 2e-3, "weight_decay": 3e-4}
SHARE, EPOCHS, CLUSTERS = 0.97, 10, 4  # the shortest file that the validation images allow


def dense(seed=0):
    """LeNet-300-100 with tuned weight decay, trained on ``digits`` from its own start.

    Args:
        seed: of the start and of the order of examples.
    """
    return fit(networks.lenet300(seed=seed), seed, **SETTINGS)


def baseline(network, seed=0, share=SHARE, clusters=CLUSTERS):
    """What a method has to beat: small weights cut, the others tuned and made to share values.

    Args:
        network: what :func:`dense` returned; it is not changed.
        seed: of the order of examples while it is tuned.
        share: of the weights that become zero, in [0, 1).
        clusters: values that the other weights of a layer take.
    """
    small = cut(network, share)
    how = SETTINGS | {"epochs": EPOCHS}
    tuned = fit(small, seed, after_step=networks.hold_zeros(small), **how)
    return networks.cluster_weights(tuned, clusters)


def cut(network, share):
    """A copy whose weights of smallest size are zero, over all Linear and Conv2d layers together.

    Args:
        network: it is not changed.
        share: of the weights, in [0, 1).

    Raises:
        ValueError: a share outside [0, 1), a network without plain layers.
    """
    share = checks.within("share", share, 0, 1, open_high=True)
    result = networks.plain(network)
    layers = networks.plain_layers(result).values()
    sizes = torch.cat([layer.weight.detach().abs().flatten() for layer in layers])
    if count := round(share * len(sizes)):
        threshold = sizes.kthvalue(count).values
        for layer in layers:
            layer.weight.data[layer.weight.abs() <= threshold] = 0
    return result


def fit(network, seed, *, weight_decay, **settings):
    """``network`` trained on the training images of ``digits`` with weight decay."""
    adam = functools.partial(torch.optim.Adam, weight_decay=weight_decay)
    images = data.load("digits", "train")
    return training.fit(network, images, seed=seed, optimizer=adam, progress=False, **settings)


def card(network, name, *, uncompressed=None, **options):
    """The scorecard of a network on ``digits``, with its file and two foreign sets.

    They are the letters of ``glyphs`` and the test digits themselves, turned by 90 degrees.

    Args:
        network: what the row is about; it is stored, and the file is what counts.
        name: of the row: the method and the network.
        uncompressed: as in :func:`uncertainty.scorecard <uecompress.uncertainty.scorecard>`.
        options: its other arguments.
    """
    test, (letters, _) = data.load("digits", "test"), data.load("glyphs", "test")
    foreign = {"letters": letters, "turned": test[0].rot90(dims=(2, 3))}
    options = {"validation": data.load("digits", "validation")} | options
    with tempfile.TemporaryDirectory() as folder:
        storage.save(network, path := Path(folder) / "network")
        return uncertainty.scorecard(
            network, test, foreign, path, name=name, uncompressed=uncompressed, **options
        )


def rows():
    """The two fixed rows of every table, for three seeds, as they are stored.

    Returns:
        A list of scorecard rows, each with its ``seed``: the dense network and the baseline.
        ``python -m uecompress.reproduce bench`` makes them again, with :func:`measure`.
    """
    return data.results("bench")["results"]["rows"]


def measure(seeds):
    """The two rows, trained and measured for each of these seeds."""
    found = []
    for seed in seeds:
        network = dense(seed)
        found.append(card(network, "dense (weight decay)"))
        small = baseline(network, seed)
        found.append(card(small, "cut and clustered", uncompressed=network))
    return found
