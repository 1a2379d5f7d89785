"""The settings of the ``pruning`` experiment, all numbers of it, and what each stage costs.

Process time of one thread: an epoch of the LeNet-300-100 takes 1.95 s, of the LeNet-5 11 s and of
the CNN 30 s (both with bfloat16); a row, with its file and foreign sets, 4.6 s, 15 s and 22 s.

| stage | units | minutes |
|---|---:|---:|
| 1 ordinary networks: LeNet-300-100, 5 dense 3, 5 decayed 10; LeNet-5, 3 dense 7 | 13 | 20 |
| 2 searches: L1 17, CNN 17, IMP 12, LeNet-5 10, GraSP 4, six others 16 | 12 | 76 |
| 3 rows: magnitude 7, L1 7, SNIP 18, GraSP, ERK and random 13, SynFlow 13, neurons 2 | 70 | 61 |
| 3 rows: LeNet-5, 3 seeds, magnitude 7, SNIP 9; CNN with and without a penalty 32 | 12 | 49 |
| 3 IMP chains: 5 of 16 or 21 rounds 31, 5 rewound ones of 13 rounds 21 | 10 | 52 |
| 4 rows of tickets, redrawn ones trained 10; early stops 6; searches for refits 5 | 87 | 21 |
| 5 refits 5; ordinary rows 2; collapse 4; scratch 20; slimming by layers 8 | 70 | 39 |
| 6 byte potential: magnitude 9, SNIP 8, SynFlow 11, ERK 13, search for tickets 3 | 49 | 44 |
| 7 tickets 16; other masks 22; cut and not trained 4; members with one mask 7 | 113 | 49 |
| 8 ensembles, exemplars | 8 | 3 |
| 9 gradual pruning and RigL, whose rows no published number judges | 12 | 17 |
| all | 456 | 430 |
"""

from uecompress.reproduce import foreign
from uecompress.reproduce.bayesian_settings import DECAY, DENSE, ordinary

FIVE, THREE = [0, 1, 2, 3, 4], [0, 1, 2]
DENSITIES = [0.2, 0.1, 0.05, 0.036, 0.02, 0.01]  # of the byte potential
RATES = [3e-4, 6e-4, 1.2e-3, 2.5e-3, 5e-3]
DECAYS = [0.0, 1e-5, 3e-5, 1e-4, 3e-4]


def method(start, epochs, *, densities, search, network="lenet300", seeds=FIVE, **more):
    """How a method makes a network and trains it, but for what is searched.

    Args:
        start: the network that it begins with: "new", or that of another method.
        epochs: of the training.
        densities: those of its rows.
        search: the density and the epochs with which is searched, and further knobs with values.
        network, seeds: for which it is done.
        more: further settings of the training.
    """
    density, short, knobs = search
    return {
        "network": network,
        "seeds": seeds,
        "start": start,
        "training": ordinary(epochs, 0.0, **more),
        "densities": densities,
        "search": {
            "density": density,
            "epochs": short,
            "grid": {"lr": RATES, "weight_decay": DECAYS} | knobs,
        },
    }


SETTINGS = {
    "data": "mnist",
    "foreign": ["notmnist", *foreign.NAMES],
    "dense": DENSE,
    "decay": DECAY,
    "batch": 100,  # images that a foresight method sees
    "rounds": 100,  # of SynFlow
    "methods": {
        # Their own knob: the magnitudes of all layers compared as they are, or each layer's shares.
        "magnitude": method(
            "decay", 20, densities=[0.05, 0.02], search=(0.02, 10, {"lamp": [False, True]})
        ),
        # The density is what the penalty makes it. Searched by what the largest 5 % are worth after
        # two epochs of tuning without it.
        "l1": method(
            "new", 40, densities=[1.0],
            search=(0.05, 20, {"penalty": [0.0125, 0.025, 0.05, 0.1, 0.2]}),
        ),
        "l1_refit": method("l1", 10, densities=[0.05], search=(0.05, 10, {})),
        "snip": method("new", 25, densities=[0.05, 0.02, 0.01, 0.005], search=(0.02, 10, {})),
        "grasp": method(
            "new", 25, densities=[0.02],
            search=(0.02, 10, {"temperature": [1.0, 20.0, 200.0, 2000.0, 20000.0]}),
        ),
        "synflow": method("new", 25, densities=[0.02, 0.01, 0.005], search=(0.02, 10, {})),
        "erk": method("new", 25, densities=[0.02], search=(0.02, 10, {})),
        "random": method("new", 25, densities=[0.02], search=(0.02, 10, {})),
        "neurons": method("decay", 20, densities=[0.5], search=(0.5, 10, {})),
        "lenet5_magnitude": method(
            "dense", 12, densities=[0.01], search=(0.01, 3, {"lamp": [False, True]}),
            network="lenet5", seeds=THREE, bfloat16=True,
        ),
        # As in the paper: without ReLU after the convolutions.
        "lenet5_snip": method(
            "new", 15, densities=[0.02], search=(0.02, 3, {}),
            network="lenet5_linear", seeds=THREE, bfloat16=True,
        ),
        # Searched by what is left of it after two epochs of tuning.
        "penalized": method(
            "new", 10, densities=[1.0],
            search=(0.3, 2, {"penalty": [1e-5, 3e-5, 1e-4, 3e-4, 1e-3]}),
            network="cnn", seeds=THREE, bfloat16=True,
        ),
        "unpenalized": method(  # the control, with what was chosen for the former
            "new", 10, densities=[1.0], search=(0.3, 2, {}),
            network="cnn", seeds=THREE, bfloat16=True,
        ),
        # As published: the scales of all layers compared, or each layer's among themselves.
        "slimming": method(
            "penalized", 5, densities=[0.3], search=(0.3, 2, {}),
            network="cnn", seeds=THREE, bfloat16=True,
        ),
        "slimming_layers": method(
            "penalized", 5, densities=[0.3], search=(0.3, 2, {}),
            network="cnn", seeds=THREE, bfloat16=True,
        ),
        "ticket": method("new", 25, densities=[], search=(0.02, 10, {}), seeds=THREE),
        "gradual": method(
            "new", 25, densities=[0.02], search=(0.02, 10, {"end": [0.3, 0.5, 0.7, 0.8, 0.9]})
        ),
        "rigl": method(
            "new", 25, densities=[0.02],
            search=(0.02, 10, {"fraction": [0.1, 0.2, 0.3, 0.5, 0.7]}),
        ),
    },
    "imp": {
        "seeds": FIVE,
        "rounds": 21,
        "kept": 0.8,  # of each layer in each round
        "kept_of_last": 0.9,
        "training": ordinary(10, 0.0),
        "search": {"rounds": 7, "epochs": 5, "grid": {"lr": RATES, "weight_decay": DECAYS}},
        "rows": [0, 3, 7, 10, 12, 13, 14, 15],
        "rewound_epochs": 1,
        "rewound_rows": [7, 10, 12],
        "redrawn_rows": [7, 12, 15],
        "early_stop": 7,  # against 0
        "early_stop_steps": 107,
        # The round at which a ticket has about a density of the byte potential.
        "round_of": [[0.2, 7], [0.1, 10], [0.05, 13], [0.036, 15], [0.02, 18], [0.01, 21]],
    },
    "tuning": ordinary(2, 1e-3),
    "scratch": {"seeds": THREE, "training": DECAY["lenet300"]},
    "potential": {
        "methods": ["magnitude", "ticket", "snip", "synflow", "erk"],
        "densities": DENSITIES,
        "seeds": THREE,
        "tolerances": {  # NLLs in percent of the decayed network's, AUROC in points
            "error": 0.1,
            "nll_scaled": 5.0,
            "nll_shifted": 5.0,
            "auroc": -0.5,
            "auroc_omniglot": -0.5,
            "auroc_turned": -0.5,
        },
    },
    "questions": {
        "shuffled": ["snip", "grasp", "synflow"],
        "density": 0.02,  # of the shuffled masks, the ink and the noise
        "unpruned": {"share": 0.5, "images": 1000},
        "mask_round": 12,
        "exemplars": 0.02,
        "shown": 24,
    },
    "collapse": {
        "seeds": THREE,
        "widths": [784, 100, 100, 100, 100, 100, 10],
        "rounds": [1, 100],
        "steps_per_decade": 4,
    },
    "kept_density": {  # the networks of the first seed that are kept as files
        "magnitude": 0.02, "l1_refit": 0.05, "snip": 0.02, "grasp": 0.02,
        "synflow": 0.01, "erk": 0.02, "gradual": 0.02, "rigl": 0.02,
        "lenet5_magnitude": 0.01, "lenet5_snip": 0.02, "slimming_layers": 0.3,
    },
}  # fmt: skip
