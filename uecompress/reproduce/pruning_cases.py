"""Which networks the ``pruning`` experiment makes: the cases of each of its tables."""

from uecompress.reproduce import pruning_collapse, pruning_questions
from uecompress.reproduce.pruning_settings import SETTINGS

METHODS, IMP, POTENTIAL = SETTINGS["methods"], SETTINGS["imp"], SETTINGS["potential"]


def bases():
    """The ordinary networks that others begin with: (network, kind, seed)."""
    lenet300, lenet5 = METHODS["magnitude"], METHODS["lenet5_magnitude"]
    for kind in ("dense", "decay"):
        yield from (("lenet300", kind, seed) for seed in lenet300["seeds"])
    yield from (("lenet5", "dense", seed) for seed in lenet5["seeds"])


def published():
    """(method, seed, density) of the rows of the table."""
    for method, settings in METHODS.items():
        yield from ((method, s, d) for d in settings["densities"] for s in settings["seeds"])


def candidates():
    """(method, seed, density) of the byte potential."""
    for method in POTENTIAL["methods"]:
        if method != "ticket":
            yield from ((method, *case) for case in ticket_candidates())


def ticket_candidates():
    """(seed, density) of the byte potential."""
    return [(seed, d) for d in POTENTIAL["densities"] for seed in POTENTIAL["seeds"]]


def chains():
    """(kind, seed, rounds) of the chains; those of the potential are longer."""
    for seed in IMP["seeds"]:
        longest = max(IMP["rows"]) + 1
        if seed in POTENTIAL["seeds"]:
            longest = max(longest, *(n for _, n in IMP["round_of"]))
        yield "reset", seed, longest
        yield "rewound", seed, max(IMP["rewound_rows"]) + 1


def tickets():
    """(kind, seed, rounds) of the rows of tickets."""
    kinds = {"reset": "rows", "rewound": "rewound_rows", "redrawn": "redrawn_rows"}
    for kind, key in kinds.items():
        yield from ((kind, seed, rounds) for rounds in IMP[key] for seed in IMP["seeds"])


def early():
    """(seed, which) of the early stops."""
    return [(seed, w) for w in ("dense", "ticket", "redrawn") for seed in IMP["seeds"]]


def collapse():
    """(score, rounds, seed) of the table of layer collapse."""
    settings = SETTINGS["collapse"]
    return [
        (name, rounds, seed)
        for name in pruning_collapse.NAMES
        for rounds in settings["rounds"]
        if rounds == 1 or name not in ("random", "magnitude")  # whose scores stay as they are
        for seed in settings["seeds"]
    ]


def emptied():
    """(seed,) of the networks without a middle layer."""
    return [(seed,) for seed in SETTINGS["collapse"]["seeds"]]


def scratch():
    """(way, seed) of the networks with new weights."""
    ways = ("e", "b", "found", "uniform")
    return [(way, seed) for way in ways for seed in SETTINGS["scratch"]["seeds"]]


def variants():
    """(kind, method, seed) of the controls of masks: shuffled, without ink, with noise."""
    seeds = METHODS["snip"]["seeds"]
    kinds = [("shuffled", of) for of in SETTINGS["questions"]["shuffled"]]
    return [(*kind, s) for kind in [*kinds, ("ink", "snip"), ("noise", "snip")] for s in seeds]


def unpruned():
    """(base, way, seed) of the networks that are cut and not trained again."""
    seeds = METHODS["magnitude"]["seeds"]
    return [
        (b, w, s) for b in ("dense", "decay") for w in pruning_questions.UNPRUNED for s in seeds
    ]


def members():
    """(mask, seed, rounds) of the members that share a mask."""
    seeds, rounds = IMP["seeds"], SETTINGS["questions"]["mask_round"]
    return [(mask, seed, rounds) for mask in seeds for seed in seeds if seed != mask]


def ensembles():
    """(mask,) of the ensembles."""
    return [(mask,) for mask in (*IMP["seeds"], "own", "dense")]
