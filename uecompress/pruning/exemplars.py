"""Pruning-identified exemplars (Hooker et al., 2019): what pruned networks see differently."""

import torch

from uecompress.uncertainty.metrics import check_log_probs


def exemplars(dense, pruned):
    """The examples to which most dense networks give one label, and most pruned ones another.

    The modal label of a population of networks, trained from different seeds, is the one that most
    of them predict; of equally frequent ones the smallest. An example is pruning-identified where
    that of the pruned population differs (Hooker et al., 2019, "What do compressed deep neural
    networks forget?", Section 2.2). They tend to be the ones that people find hard, too.

    Args:
        dense: ``log_probs`` (M, N, C) of the dense networks, as members.
        pruned: those of the pruned ones, (M', N, C), for the same examples.

    Returns:
        (N,) bool.

    Raises:
        TypeError, ValueError: what is no prediction; another number of examples or classes.
    """
    if dense.shape[1:] != pruned.shape[1:]:
        raise ValueError(
            f"predictions of {tuple(dense.shape[1:])} and {tuple(pruned.shape[1:])} examples and "
            "classes cannot be compared"
        )
    labels = [_modal_label(log_probs) for log_probs in (dense, pruned)]
    return labels[0] != labels[1]


def _modal_label(log_probs):
    """(M, N, C) -> (N,)."""
    log_probs = check_log_probs(log_probs)
    votes = torch.nn.functional.one_hot(log_probs.argmax(-1), log_probs.shape[-1]).sum(0)
    return votes.argmax(-1)
