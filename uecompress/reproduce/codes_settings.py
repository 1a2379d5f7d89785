"""The settings of the ``codes`` experiment, all numbers of it."""

from uecompress.reproduce import foreign
from uecompress.reproduce.bayesian_settings import DECAY, DENSE, ordinary
from uecompress.reproduce.pruning_settings import DECAYS, FIVE, RATES, THREE

GRID = {"lr": RATES, "weight_decay": DECAYS}
PARTS = ("low_rank", "sparse", "both")
# A trained network is trained on at smaller rates.
ON = {"lr": [3e-5, 1e-4, 3e-4, 1e-3, 3e-3], "weight_decay": DECAYS}


def method(make, epochs, *, start="new", network="lenet300", seeds=FIVE, search=8, like=None,
           grid=GRID, bfloat16=False, **arguments):  # fmt: skip
    """How a method makes a network and trains it, but for what is searched.

    Args:
        make: a name of :data:`uecompress.reproduce.codes_training.MAKE`, called with ``arguments``.
        epochs: of the training.
        start: the network that it begins with: "new", "dense" or "decay".
        network, seeds: for which it is done.
        search: the epochs with which is searched; with none, ``like`` names the method whose choice
            is taken over.
        grid: the values of the rate, of the weight decay, and of further arguments of ``make``.
        bfloat16: whether it is computed in.
    """
    return {
        "make": make,
        "arguments": arguments,
        "network": network,
        "seeds": seeds,
        "start": start,
        "training": ordinary(epochs, 0.0, bfloat16=bfloat16),
        "search": {"like": like} if like else {"epochs": search, "grid": grid},
    }


SETTINGS = {
    "data": "mnist",
    "foreign": ["notmnist", *foreign.NAMES],
    "dense": DENSE,
    "decay": DECAY,
    "samples": 10,
    "batch": 1000,  # training images that calibrate
    "methods": {
        # Of as many numbers: hashed layers, and dense ones of fewer units.
        "hashed_8": method("hashed", 25, ratio=8),
        "hashed_32": method("hashed", 25, ratio=32),
        "hashed_64": method("hashed", 25, ratio=64),
        "narrow_8": method("narrow", 25, ratio=8),
        "narrow_32": method("narrow", 25, ratio=32),
        "narrow_64": method("narrow", 25, ratio=64),
        "hashed_32_2": method("hashed", 25, seeds=THREE, ratio=32, folds=2),
        "hashed_32_10": method(
            "hashed", 25, seeds=THREE, ratio=32, folds=10, like="hashed_32_2"
        ),
        "structured_32": method("structured", 25, ratio=32),
        # As in the published numbers: one hidden layer of 1000.
        "wide_hashed_64": method(
            "hashed", 25, network="wide", seeds=THREE, ratio=64, like="hashed_64"
        ),
        "wide_narrow_64": method(
            "narrow", 25, network="wide", seeds=THREE, ratio=64, like="narrow_64"
        ),
        # Five members from the bytes of one network, and from as many buckets each their own.
        "members_one_vector": method(
            "hashed_ensemble", 25, seeds=THREE, ratio=8, num_estimators=5, like="hashed_8"
        ),
        "members_apart": method(
            "hashed_members", 25, seeds=THREE, ratio=40, num_estimators=5, like="hashed_32"
        ),
        "dropout": method(
            "hashed_dropout", 25, seeds=THREE, ratio=8,
            grid=GRID | {"probability": [0.05, 0.1, 0.2, 0.3, 0.5]},
        ),
        # Trained on from the network with tuned weight decay, with rounded weights and without.
        "float": method("plain", 10, start="decay", search=4, grid=ON),
        "lsq_4": method("lsq", 10, start="decay", search=4, grid=ON, bits=4),
        "lsq_2": method("lsq", 10, start="decay", search=4, grid=ON, bits=2),
        "bitnet": method("bitnet", 10, start="decay", search=4, grid=ON),
        "lenet5_bitnet": method(
            "bitnet", 12, start="dense", network="lenet5", seeds=THREE, search=2, grid=ON,
            bfloat16=True,
        ),
        # As many epochs in all: thin layers with new weights, and cut from a network of 20 epochs.
        "thin_16": method("new_low_rank", 25, rank=16),
        "svd_16": method("svd", 5, start="dense", search=3, grid=ON, rank=16),
        # The first layer in a share of its bytes, trained on.
        **{
            f"tuned_{way}_{percent}": method(
                "part", 10, start="decay", seeds=THREE, like="float", way=way, share=percent / 100
            )
            for way in PARTS
            for percent in (5, 10, 20)
        },
    },
    # Of the network with tuned weight decay, not trained again: a way and its arguments.
    "rounded": {
        "float16": ["floats", {"dtype": "float16"}],
        "bfloat16": ["floats", {"dtype": "bfloat16"}],
        "8": ["weights", {"bits": 8}],
        "4": ["weights", {"bits": 4}],
        "3": ["weights", {"bits": 3}],
        "2": ["weights", {"bits": 2}],
        "4_mse": ["weights", {"bits": 4, "threshold": "mse"}],
        "3_mse": ["weights", {"bits": 3, "threshold": "mse"}],
        "2_mse": ["weights", {"bits": 2, "threshold": "mse"}],
        "4_nf4": ["weights", {"bits": 4, "kind": "nf4", "per": 64}],
        "ternary": ["weights", {"kind": "ternary"}],
        "4_codebook": ["codebooks", {"clusters": 16}],
        "2_codebook": ["codebooks", {"clusters": 4}],
        "4_gptq": ["gptq", {"bits": 4}],
        "3_gptq": ["gptq", {"bits": 3}],
        "2_gptq": ["gptq", {"bits": 2}],
        "3_gptq_noise": ["gptq", {"bits": 3, "noise": True}],
        "3_mixed": ["mixed", {"mean_bits": 3}],
        # One scale for a layer, as outlier channel splitting has it.
        "4_whole": ["weights", {"bits": 4, "per": "tensor"}],
        "3_whole": ["weights", {"bits": 3, "per": "tensor"}],
        "2_whole": ["weights", {"bits": 2, "per": "tensor"}],
        "3_whole_clip": ["weights", {"bits": 3, "per": "tensor", "threshold": "mse"}],
        "2_whole_clip": ["weights", {"bits": 2, "per": "tensor", "threshold": "mse"}],
        "3_split": ["split", {"bits": 3, "ratio": 0.05}],
        "2_split": ["split", {"bits": 2, "ratio": 0.05}],
        "3_split_clip": ["split", {"bits": 3, "ratio": 0.05, "threshold": "mse"}],
        "2_split_clip": ["split", {"bits": 2, "ratio": 0.05, "threshold": "mse"}],
        # Clipped where the one before clips, and not rounded.
        "3_clipped": ["clipped", {"bits": 3, "threshold": "mse"}],
        "2_clipped": ["clipped", {"bits": 2, "threshold": "mse"}],
        # What layers are given, the weights as they are.
        "given_8_max": ["given", {"bits": 8, "threshold": "max"}],
        "given_8_kl": ["given", {"bits": 8, "threshold": "kl"}],
        "given_4_max": ["given", {"bits": 4, "threshold": "max"}],
        "given_4_mse": ["given", {"bits": 4, "threshold": "mse"}],
        "given_4_kl": ["given", {"bits": 4, "threshold": "kl"}],
        # The first layer in a share of its bytes, for its weights and for its responses.
        **{
            f"{way}_{percent}": ["part", {"way": way, "share": percent / 100}]
            for way in PARTS
            for percent in (5, 10, 20)
        },
        "low_rank_5_given": ["part", {"way": "low_rank", "share": 0.05, "given": True}],
        "both_5_given": ["part", {"way": "both", "share": 0.05, "given": True}],
    },
    "clipping": {"bits": [8, 4], "thresholds": ["max", "percentile", "mse", "kl"]},
    "variances": {"seeds": THREE, "bits": [2, 3, 4], "grids": ["log", "linear"]},
}  # fmt: skip
