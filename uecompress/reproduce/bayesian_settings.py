"""The settings of the ``bayesian`` experiment, all numbers of it."""

from uecompress.reproduce import foreign


def ordinary(epochs, lr, *, batch_size=128, hold=0.5, weight_decay=0.0, bfloat16=False):
    """How a network is trained: the rate stays for the share ``hold``, then falls to 0."""
    settings = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "hold": hold, "lr_end": 0.0}
    return settings | {"weight_decay": weight_decay, "bfloat16": bfloat16}


def elbo(epochs, batch_size, lr, warm_up, log_sigma2, *, kl_weight=1, clip=None, **more):
    """How a variational network is trained."""
    settings = ordinary(epochs, lr, batch_size=batch_size, **more)
    settings |= {"warm_up": warm_up, "kl_weight": kl_weight, "clip_sigma": clip}
    return settings | {"posterior": {"initial_log_sigma2": log_sigma2}}


DENSE = {"lenet300": ordinary(20, 1e-3), "lenet5": ordinary(12, 1e-3, bfloat16=True)}
# A Gaussian prior of the weights without an ELBO, from scratch.
DECAY = {"lenet300": ordinary(60, 1e-3, weight_decay=3e-4)}
ORDINARY = {"dense": DENSE, "decay": DECAY}
SETTINGS = {
    "data": "mnist",
    "foreign": ["notmnist", *foreign.NAMES],
    "samples": 10,
    **ORDINARY,
    "runs": [
        {
            "network": "lenet300",
            "method": "graves",
            "seeds": [0, 1, 2, 3, 4],
            "training": elbo(60, 256, 3e-3, [0.0, 0.3], -6, hold=0.0),
            "threshold": 1.5,
            "fine_tuning": ordinary(3, 1e-3, hold=0.0),
            "clusters": 32,
        },
        {
            "network": "lenet300",
            "method": "sparse_vd",
            "seeds": [0, 1, 2, 3, 4],
            "training": elbo(60, 256, 5e-3, [0.05, 0.3], -8, hold=0.0),
            "threshold": 1.0,
            "clusters": 32,
        },
        {
            "network": "lenet300",
            "method": "group_jeffreys",
            "seeds": [0, 1, 2, 3, 4],
            "training": elbo(50, 256, 8e-3, [0.0, 0.2], -5, hold=0.2, clip=0.2),
            "threshold": -2.7,
            "more_bits": 2,
            "clusters": 32,
        },
        {
            "network": "lenet5",
            "method": "sparse_vd",
            "seeds": [0, 1, 2],
            "training": elbo(30, 128, 3e-3, [0.05, 0.3], -8, bfloat16=True),
            "threshold": 1.0,
            "clusters": 32,
        },
        {
            "network": "lenet5",
            "method": "group_horseshoe",
            "seeds": [0, 1, 2],
            "training": elbo(
                25, 128, 5e-3, [0.0, 0.2], -5, hold=0.2, kl_weight=5, clip=0.2, bfloat16=True
            ),
            "threshold": {"conv1": 0.0, "conv2": 2.5, "linear1": 1.5, "linear2": -0.6},
            "fine_tuning": ordinary(8, 3e-3, hold=0.0),
            "more_bits": 2,
            "clusters": 32,
        },
        {
            "network": "lenet5",
            "method": "vnq",
            "seeds": [0, 1, 2],
            "training": elbo(15, 128, 2e-3, [0.0, 0.25], -8, hold=0.2, bfloat16=True),
            "threshold": 2.0,
        },
    ],
}
