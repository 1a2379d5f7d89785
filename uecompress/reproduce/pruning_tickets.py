"""Lottery tickets of the ``pruning`` experiment: chains, rewound, redrawn, stopped early."""

import functools
import itertools

import torch

from uecompress import data, networks, pruning
from uecompress.reproduce import pruning_rows
from uecompress.reproduce import pruning_training as common
from uecompress.reproduce.pruning_settings import SETTINGS
from uecompress.reproduce.search import searched
from uecompress.reproduce.store import Store

IMP, NETWORK = SETTINGS["imp"], "lenet300"


def how():
    """The training of each round, with what was chosen for it."""
    return IMP["training"] | search()["choice"]


def told(how):
    """What decides a chain."""
    return [how, *(IMP[key] for key in ("rounds", "kept", "kept_of_last", "rewound_epochs"))]


def search():
    """Rate and weight decay, by the ticket after some rounds of short trainings."""
    settings = IMP["search"]
    seed = IMP["seeds"][0]
    start = common.untrained(NETWORK, seed)
    store = Store("pruning-search", ["imp", IMP["training"], settings, told(None)], common.VERSION)

    def tried(knobs):
        short = IMP["training"] | {"epochs": settings["epochs"]} | knobs
        rounds = _rounds(start, lambda network: common.fit(network, short, seed))
        return next(itertools.islice(rounds, settings["rounds"], None))[0]

    return searched(store, "imp", settings["grid"], tried)


def _rounds(start, train):
    """Pairs (trained network, ticket that is left of it), from the dense network on."""
    *first, last = networks.plain_layers(start)
    n = IMP["rounds"]
    density = dict.fromkeys(first, IMP["kept"] ** n) | {last: IMP["kept_of_last"] ** n}
    return pruning.lottery_tickets(start, train, rounds=n, density=density)


def start(kind, seed):
    """The weights to which a chain goes back: the first, or those after some epochs."""
    new = common.untrained(NETWORK, seed)
    if kind == "reset":
        return new
    short = how() | {"epochs": IMP["rewound_epochs"], "hold": 0.0, "lr_end": how()["lr"]}
    store = Store("pruning-tickets", [kind, *told(how())], common.VERSION)
    return store.network(f"start-{seed}", new, lambda: common.fit(new, short, seed))


def chain(kind, seed, count):
    """The first ``count`` pairs of a chain: pair r is the trained ticket of r rounds, and the next.

    Args:
        kind: "reset" or "rewound".
        seed: of the weights and the order of examples.
        count: how many rounds, of one training each.
    """
    store, training = Store("pruning-tickets", [kind, *told(how())], common.VERSION), how()
    numbers = itertools.count()

    def train(network):
        name = f"{seed}-{next(numbers)}"
        return store.network(name, network, lambda: common.fit(network, training, seed))

    return list(itertools.islice(_rounds(start(kind, seed), train), count))


def ticket(seed, rounds):
    """The ticket after so many rounds, with its first weights."""
    if rounds == 0:
        return common.untrained(NETWORK, seed)
    return chain("reset", seed, rounds)[-1][1]


def on(mask, seed, rounds):
    """The ticket of one seed with the first weights of another, trained: a network."""
    if mask == seed:
        return chain("reset", seed, rounds + 1)[-1][0]
    new = pruning.with_zeros_of(common.untrained(NETWORK, seed), ticket(mask, rounds))
    store = Store("pruning-tickets", ["redrawn", *told(how())], common.VERSION)
    return store.network(f"{mask}-{seed}-{rounds}", new, lambda: common.fit(new, how(), seed))


def row(kind, seed, rounds):
    """The row of a trained ticket; "redrawn" ones have weights of a seed that no other uses."""

    def make():
        if kind == "redrawn":
            model = on(seed, 100 + seed, rounds)
        else:
            model = chain(kind, seed, rounds + 1)[-1][0]
        return model, common.untrained(NETWORK, seed)

    found = pruning_rows.measured(f"imp_{kind}", seed, rounds, make, [kind, told(how())])
    cost = IMP["rewound_epochs"] * (kind == "rewound") + (rounds + 1) * how()["epochs"]
    return (
        found
        | {"density": _density(found), "rounds": rounds, "network": NETWORK}
        | {"epochs": cost}
    )


def _density(row):
    total = sum(a * b for a, b in row["shapes"])
    return round(sum(row["nonzero_weights"]) / total, 4)


def candidate(seed, density):
    """The row of a ticket that is trained as the masks found before training are."""
    rounds = dict(IMP["round_of"])[density]
    choice = ticket_search()["choice"]

    def make():
        zeros = functools.partial(ticket, seed, rounds)
        model = common.trained(
            "ticket", seed, density, ticket=zeros, told=told(how()), knobs=choice
        )
        return model, common.untrained(NETWORK, seed)

    decided = [common.described("ticket", choice), told(how())]
    found = pruning_rows.measured("ticket", seed, density, make, decided)
    cost = rounds * how()["epochs"] + pruning_rows.epochs("ticket")
    return found | {"network": NETWORK, "epochs": cost}


def ticket_search():
    """The search for the training of those."""
    settings = common.METHODS["ticket"]
    density = settings["search"]["density"]
    rounds = dict(IMP["round_of"])[density]
    zeros = functools.partial(ticket, settings["seeds"][0], rounds)
    return common.search("ticket", ticket=zeros, told=told(how()))


def early_stop(seed, which):
    """When the NLL of the validation split is lowest, at a constant rate.

    Args:
        seed: of the weights and the order of examples.
        which: "dense", "ticket" or "redrawn".

    Returns:
        A dict with ``steps`` and ``nll``, lists, and ``best``, the step of the lowest.
    """
    training = how() | {"hold": 0.0, "lr_end": how()["lr"]}
    every = IMP["early_stop_steps"]
    store = Store("pruning-early", [*told(how()), IMP["early_stop"], every], common.VERSION)
    mask = ticket(seed, IMP["early_stop"])
    model = {
        "dense": lambda: common.untrained(NETWORK, seed),
        "ticket": lambda: mask,
        "redrawn": lambda: pruning.with_zeros_of(common.untrained(NETWORK, 100 + seed), mask),
    }[which]()

    def compute():
        x, y = data.load("mnist", "validation")
        hold, losses, count = networks.hold_zeros(model), [], itertools.count(1)

        def after_step(trained, progress):
            hold(trained, progress)
            if next(count) % every == 0:
                losses.append(torch.nn.functional.cross_entropy(trained(x), y).item())

        common.fit(model, training, seed, after_step=after_step)
        steps = [every * (k + 1) for k in range(len(losses))]
        best = steps[min(range(len(losses)), key=losses.__getitem__)]
        return {"steps": steps, "nll": [round(v, 5) for v in losses], "best": best}

    return {"seed": seed, "which": which} | store.value(f"{which}-{seed}", compute)
