"""Pruning on MNIST: magnitudes, tickets, scores before training, units, and what doubt makes of it.

Chapters 18 to 22 at full scale, on LeNet-300-100, and for some rows on LeNet-5 and the course's
CNN. Every method trains what is left with its own rate and weight decay; the reference of all is
the dense network with tuned weight decay. ``python -m uecompress.reproduce pruning`` also writes
small networks of the first seed as files.

How the settings were chosen: the rate, the weight decay and a method's own knob by the validation
NLL of the first seed at one density, one after the other, of five values each and more where the
last was the best, mostly in shorter trainings; the grids are among the results, as ``search``.
Epochs and batch sizes by the time there was, densities and tolerances beforehand.
"""

from uecompress.reproduce import bayesian, foreign, pruning_rows, pruning_scratch, pruning_tickets
from uecompress.reproduce import pruning_cases as cases
from uecompress.reproduce import pruning_collapse as collapse
from uecompress.reproduce import pruning_questions as questions
from uecompress.reproduce import pruning_training as common
from uecompress.reproduce.card import potential
from uecompress.reproduce.pruning_settings import SETTINGS

VERSION = common.VERSION
METHODS, IMP, POTENTIAL = SETTINGS["methods"], SETTINGS["imp"], SETTINGS["potential"]
LAST = ("gradual", "rigl")  # no row of theirs has a published number here
BEGUN = ("l1_refit", "slimming", "slimming_layers")  # after networks that need a search themselves


def units(store):
    """What can be computed independently, the rows with published numbers first."""
    own = [name for name in METHODS if name not in (*BEGUN, *LAST, "ticket", "unpenalized")]
    rows = list(cases.published())
    late = [case for case in rows if case[0] in BEGUN]
    soon = [case for case in rows if case[0] not in (*BEGUN, *LAST)]
    more = [case for case in cases.candidates() if case not in rows]
    return [
        _named("base", bayesian.trained, cases.bases()),
        _named("search", common.search, [(name,) for name in own])
        + _named("search imp", pruning_tickets.search, [()]),
        _named("row", pruning_rows.row, soon)
        + _named("chain", pruning_tickets.chain, cases.chains()),
        _named("search", common.search, [(name,) for name in BEGUN])
        + _named("imp", pruning_tickets.row, cases.tickets())
        + _named("early", pruning_tickets.early_stop, cases.early()),
        _named("row", pruning_rows.row, late)
        + _named("base row", pruning_rows.base_row, cases.bases())
        + _named("collapse", collapse.row, cases.collapse())
        + _named("emptied", collapse.emptied, cases.emptied())
        + _named("scratch", pruning_scratch.row, cases.scratch()),
        _named("search ticket", pruning_tickets.ticket_search, [()])
        + _named("row", pruning_rows.row, more),
        _named("ticket", pruning_tickets.candidate, cases.ticket_candidates())
        + _named("variant", questions.variant, cases.variants())
        + _named("unpruned", questions.unpruned, cases.unpruned())
        + _named("on", pruning_tickets.on, cases.members()),
        _named("members", questions.members, cases.ensembles())
        + _named("exemplars", questions.exemplars, [()]),
        _named("search", common.search, [(name,) for name in LAST]),
        _named("row", pruning_rows.row, [case for case in rows if case[0] in LAST]),
    ]


def run(store):
    """All rows, the grids of the searches, the potential of each metric, and the questions."""
    rows = [pruning_rows.base_row(*case) for case in cases.bases()]
    weights = dict.fromkeys([*cases.published(), *cases.candidates()])  # some are both
    rows += [pruning_rows.row(*case) for case in weights]
    rows += [pruning_tickets.candidate(*case) for case in cases.ticket_candidates()]
    found = {n: common.search(n) for n in METHODS if n not in ("ticket", "unpenalized")}
    found |= {"ticket": pruning_tickets.ticket_search(), "imp": pruning_tickets.search()}
    return {
        "search": found,
        "rows": rows,
        "tickets": [pruning_tickets.row(*case) for case in cases.tickets()],
        "early_stop": [pruning_tickets.early_stop(*case) for case in cases.early()],
        "collapse": [collapse.row(*case) for case in cases.collapse()],
        "emptied": [collapse.emptied(*case) for case in cases.emptied()],
        "scratch": [pruning_scratch.row(*case) for case in cases.scratch()],
        "potential": byte_potential(rows),
        "variants": [questions.variant(*case) for case in cases.variants()],
        "unpruned": [questions.unpruned(*case) for case in cases.unpruned()],
        "members": [questions.members(*case) for case in cases.ensembles()],
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


def _named(what, function, arguments):
    """One unit for each case."""
    return [(" ".join(map(str, [what, *case])), function, case) for case in arguments]
