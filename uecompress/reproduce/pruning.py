"""Pruning on MNIST: magnitudes, tickets, scores before training, units, and what doubt makes of it.

Chapters 18 to 22 at full scale, on LeNet-300-100, and for some rows on LeNet-5 and the course's
CNN. Every method trains what is left with its own rate and weight decay; the reference of all is
the dense network with tuned weight decay. ``python -m uecompress.reproduce pruning`` also writes
small networks of the first seed as files.

How the settings were chosen: the rate, the weight decay and a method's own knob by the validation
NLL of the first seed at one density, one after the other, of five values each, mostly in shorter
trainings; the grids are among the results, as ``search``. Epochs and batch sizes by the time there
was, densities and tolerances beforehand.
"""

from uecompress.reproduce import bayesian, foreign, pruning_tickets
from uecompress.reproduce import pruning_collapse as collapse
from uecompress.reproduce import pruning_questions as questions
from uecompress.reproduce import pruning_training as common
from uecompress.reproduce.card import potential
from uecompress.reproduce.pruning_settings import SETTINGS

VERSION = common.VERSION
METHODS, IMP, POTENTIAL = SETTINGS["methods"], SETTINGS["imp"], SETTINGS["potential"]
LAST = ("gradual", "rigl")  # no row of theirs has a published number here
BEGUN = ("l1_refit", "slimming")  # after networks that need a search themselves


def units(store):
    """What can be computed independently, the rows with published numbers first."""
    bases = [(f"base {k} {n} {s}", bayesian.trained, (n, k, s)) for n, k, s in _bases()]
    own = [name for name in METHODS if name not in (*BEGUN, "ticket", *LAST)]
    rows = list(_published())
    late = [case for case in rows if case[0] in BEGUN]
    soon = [case for case in rows if case[0] not in (*BEGUN, *LAST)]
    chains = [(f"chain {kind} {s}", pruning_tickets.chain, (kind, s, n)) for kind, s, n in _chains()]
    more = [case for case in _candidates() if case not in rows]
    return [
        bases,
        [(f"search {name}", common.search, (name,)) for name in own]
        + [("search imp", pruning_tickets.search, ())],
        chains + [("{} {} {}".format(*case), common.row, case) for case in soon],
        [(f"search {name}", common.search, (name,)) for name in BEGUN]
        + _named("imp", pruning_tickets.row, _tickets())
        + _named("early", pruning_tickets.early_stop, _early()),
        [("{} {} {}".format(*case), common.row, case) for case in late]
        + _named("base row", common.base_row, _bases())
        + _named("collapse", collapse.row, _collapse())
        + _named("emptied", collapse.emptied, _emptied())
        + _named("scratch", questions.scratch, _scratch()),
        [("search ticket", pruning_tickets.ticket_search, ())]
        + [("{} {} {}".format(*case), common.row, case) for case in more],
        _named("ticket", pruning_tickets.candidate, _ticket_candidates())
        + _named("variant", questions.variant, _variants())
        + _named("unpruned", questions.unpruned, _unpruned())
        + _named("on", pruning_tickets.on, _members()),
        _named("members", questions.members, _ensembles()) + [("exemplars", questions.exemplars, ())],
        [(f"search {name}", common.search, (name,)) for name in LAST],
        [("{} {} {}".format(*case), common.row, case) for case in rows if case[0] in LAST],
    ]


def run(store):
    """All rows, the grids of the searches, the potential of each metric, and the questions."""
    rows = [common.base_row(*case) for case in _bases()]
    rows += [common.row(*case) for case in dict.fromkeys([*_published(), *_candidates()])]
    rows += [pruning_tickets.candidate(*case) for case in _ticket_candidates()]
    found = {name: common.search(name) for name in METHODS if name != "ticket"}
    found |= {"ticket": pruning_tickets.ticket_search(), "imp": pruning_tickets.search()}
    return {
        "search": found,
        "rows": rows,
        "tickets": [pruning_tickets.row(*case) for case in _tickets()],
        "early_stop": [pruning_tickets.early_stop(*case) for case in _early()],
        "collapse": [collapse.row(*case) for case in _collapse()],
        "emptied": [collapse.emptied(*case) for case in _emptied()],
        "scratch": [questions.scratch(*case) for case in _scratch()],
        "potential": byte_potential(rows),
        "variants": [questions.variant(*case) for case in _variants()],
        "unpruned": [questions.unpruned(*case) for case in _unpruned()],
        "members": [questions.members(*case) for case in _ensembles()],
        "exemplars": questions.exemplars(),
        "frame": store.value("frame", foreign.frame_row),
    }


def byte_potential(rows):
    """How small a network each way to prune makes before a metric leaves its tolerance.

    Args:
        rows: those of :func:`run`.

    Returns:
        As :func:`uecompress.reproduce.card.potential`, with densities for ``rank``.
    """
    seeds, ways = POTENTIAL["seeds"], POTENTIAL["methods"]
    dense = {
        row["seed"]: row
        for row in rows
        if (row["method"], row["network"]) == ("decay", "lenet300") and row["seed"] in seeds
    }
    kept = [
        row | {"when": row["method"], "rank": row["density"]}
        for row in rows
        if row["method"] in ways
        and row["seed"] in seeds
        and row["density"] in POTENTIAL["densities"]
    ]
    kept += [row | {"when": "dense", "rank": 1.0} for row in dense.values()]
    for row in kept:
        for key in POTENTIAL["tolerances"]:
            if key.startswith("nll"):
                row[key] *= 100 / dense[row["seed"]][key]
            elif key.startswith("auroc"):
                row[key] *= 100
    return potential(kept, POTENTIAL["tolerances"])


def artefacts():
    """Small networks of the first seed as they are stored: name of the file -> bytes."""
    files = {}
    for method, density in SETTINGS["kept_density"].items():
        seed = METHODS[method]["seeds"][0]
        files[f"{method}-{seed}.uec"] = bayesian.as_bytes(common.trained(method, seed, density))
    seed, rounds = IMP["seeds"][0], IMP["rows"][-1]
    last = pruning_tickets.chain("reset", seed, rounds + 1)[-1][0]
    return files | {f"imp-{seed}.uec": bayesian.as_bytes(last)}


def _named(what, function, cases):
    """One unit for each case."""
    return [(" ".join(map(str, [what, *case])), function, case) for case in cases]


def _bases():
    """The ordinary networks that others begin with: (network, kind, seed)."""
    lenet300, lenet5 = METHODS["magnitude"], METHODS["lenet5_magnitude"]
    for kind in ("dense", "decay"):
        yield from (("lenet300", kind, seed) for seed in lenet300["seeds"])
    yield from (("lenet5", "dense", seed) for seed in lenet5["seeds"])


def _published():
    """(method, seed, density) of the rows of the table."""
    for method, settings in METHODS.items():
        yield from ((method, s, d) for d in settings["densities"] for s in settings["seeds"])


def _candidates():
    """(method, seed, density) of the byte potential."""
    for method in POTENTIAL["methods"]:
        if method != "ticket":
            yield from ((method, *case) for case in _ticket_candidates())


def _ticket_candidates():
    return [(seed, d) for d in POTENTIAL["densities"] for seed in POTENTIAL["seeds"]]


def _chains():
    """(kind, seed, rounds) of the chains; those of the potential are longer."""
    for seed in IMP["seeds"]:
        longest = max(IMP["rows"]) + 1
        if seed in POTENTIAL["seeds"]:
            longest = max(longest, *(n for _, n in IMP["round_of"]))
        yield "reset", seed, longest
        yield "rewound", seed, max(IMP["rewound_rows"]) + 1


def _tickets():
    """(kind, seed, rounds) of the rows of tickets."""
    kinds = {"reset": "rows", "rewound": "rewound_rows", "redrawn": "redrawn_rows"}
    for kind, key in kinds.items():
        yield from ((kind, seed, rounds) for rounds in IMP[key] for seed in IMP["seeds"])


def _early():
    return [(seed, w) for w in ("dense", "ticket", "redrawn") for seed in IMP["seeds"]]


def _collapse():
    settings = SETTINGS["collapse"]
    return [
        (name, rounds, seed)
        for name in collapse.NAMES
        for rounds in settings["rounds"]
        if rounds == 1 or name not in ("random", "magnitude")  # whose scores stay as they are
        for seed in settings["seeds"]
    ]


def _emptied():
    return [(seed,) for seed in SETTINGS["collapse"]["seeds"]]


def _scratch():
    return [(way, seed) for way in ("e", "b", "uniform") for seed in SETTINGS["scratch"]["seeds"]]


def _variants():
    """(kind, method, seed) of the controls of masks: shuffled, without ink, with noise."""
    seeds = METHODS["snip"]["seeds"]
    kinds = [("shuffled", of) for of in SETTINGS["questions"]["shuffled"]]
    return [(*kind, s) for kind in [*kinds, ("ink", "snip"), ("noise", "snip")] for s in seeds]


def _unpruned():
    seeds = METHODS["magnitude"]["seeds"]
    return [(b, w, s) for b in ("dense", "decay") for w in questions.UNPRUNED for s in seeds]


def _members():
    """(mask, seed, rounds) of the members that share a mask."""
    seeds, rounds = IMP["seeds"], SETTINGS["questions"]["mask_round"]
    return [(mask, seed, rounds) for mask in seeds for seed in seeds]


def _ensembles():
    return [(mask,) for mask in (*IMP["seeds"], "own", "dense")]
