"""The exercises of chapter 7, ensembles and dropout."""

import math

import torch

from uecompress import ensembles, uncertainty
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def pairs():
    """The share of pairs that differ among the answers 9, 5, 5, 5, 9."""
    return Number(
        12 / 20,
        {
            "this is the share that agrees": 8 / 20,
            "no member is a pair with itself: divide by M(M − 1)": 12 / 25,
            "six of ten pairs, or twelve of twenty: count order on both sides or on neither": 6
            / 20,
            "divide by the number of pairs": 6.0,
        },
    )


def gap():
    """What averaging gains on one image, for three probabilities of the right class."""
    members, together = -math.log(0.9 * 0.5 * 0.1) / 3, math.log(2)
    return Number(
        members - together,
        {
            "this is the NLL of the ensemble, not the gap": together,
            "this is the mean NLL of the members, not the gap": members,
            "averaging helps: take the ensemble's NLL from the mean of the members'": (
                together - members
            ),
            "this is in bits: use the natural logarithm": (members - together) / math.log(2),
        },
    )


def masks():
    """The mean mutual information of three masks, where half of all say one thing, half another."""
    two_to_one = math.log(3) - 2 / 3 * math.log(2)
    return Number(
        0.75 * two_to_one,
        {
            "all three may also agree: that has probability 1/4, and then it is 0": two_to_one,
            "this is the value for very many masks": math.log(2),
            "1 − 1/S is only the first term of an expansion": 2 / 3 * math.log(2),
            "two of three agree in 6 of the 8 outcomes, not in 3": 3 / 8 * two_to_one,
        },
    )


def between():
    """What members disagree about, each taken as the mean of its masks, for each image."""
    torch.manual_seed(0)
    drawn = [
        torch.randn(rows, images, classes).double().log_softmax(-1)
        for rows, images, classes in ((6, 4, 3), (20, 3, 10))
    ]
    return Function(
        _between,
        [(drawn[0], 2), (drawn[0], 3), (drawn[1], 5)],
        {
            "this is what the masks of one member disagree about": lambda log_probs, members: (
                uncertainty.mutual_information(log_probs) - _between(log_probs, members)
            ),
            "this is the disagreement of all rows, the sum of both parts": lambda log_probs, m: (
                uncertainty.mutual_information(log_probs)
            ),
            "the member is slowest: the first rows all belong to the first member": (
                lambda log_probs, members: _between(
                    torch.cat([log_probs[m::members] for m in range(members)]), members
                )
            ),
            "average the probabilities of a member's masks, not their logarithms": (
                lambda log_probs, members: _between(log_probs, members, _mean_of_logs)
            ),
            "give one number for each image: do not average over them": (
                lambda log_probs, members: _between(log_probs, members).mean()
            ),
            "give nats, not a share of the whole": lambda log_probs, members: (
                _between(log_probs, members) / uncertainty.mutual_information(log_probs)
            ),
        },
        show=lambda log_probs, members: (
            f"log_probs of shape {tuple(log_probs.shape)} and {members} members"
        ),
    )


def _between(log_probs, members, mean=uncertainty.mean_log_probs):
    """The mutual information of the members' means: log_probs (M·S, N, C) gives (N,)."""
    return uncertainty.mutual_information(torch.stack([*map(mean, log_probs.chunk(members))]))


def _mean_of_logs(log_probs):
    return log_probs.mean(0).log_softmax(-1)


def rate(*, network, digits, letters):
    """Fifty masks of rate 0.5, put on a trained network: AUROC on letters, and overconfidence.

    Args:
        network: the network of the page, trained with dropout at rate 0.1.
        digits: test images and labels.
        letters: the foreign images.
    """
    auroc, over, of_entropy = _alarm(network, digits, letters, 0.5)
    unchanged = _alarm(network, digits, letters, 0.1)
    return Number(
        [auroc, over],
        {
            "this is the rate of the training": unchanged[:2],
            "this is the AUROC of the entropy": [of_entropy, over],
            "AUROC: digits come first, letters second": [1 - auroc, over],
            "it is the mean confidence minus the accuracy": [auroc, -over],
            "the AUROC comes first": [over, auroc],
        },
    )


def _alarm(network, digits, letters, rate):
    """AUROC of the mutual information, overconfidence, and AUROC of the entropy."""
    masked = ensembles.mc_dropout(network)
    for module in masked.modules():
        if isinstance(module, ensembles.MCDropout):
            module.p = rate
    images, labels = digits
    rows = [uncertainty.predict(masked, i, samples=50) for i in (images, letters)]
    confidence = 1 - uncertainty.max_probability_score(rows[0]).mean().item()
    by_disagreement, by_entropy = (
        float(uncertainty.auroc(*map(score, rows)))
        for score in (uncertainty.mutual_information, uncertainty.entropy)
    )
    return [by_disagreement, confidence - float(uncertainty.accuracy(rows[0], labels)), by_entropy]
