"""How the density falls from 1 to its final value, as a function of progress in [0, 1]."""


def exponential(density, progress):
    """density^t: every round keeps the same share of what is left (Tanaka et al., 2020).

    Keeping the share d^(1/n) in each of n rounds leaves d. Removing that share would leave
    (1 − d^(1/n))ⁿ.

    Args:
        density: the final one.
        progress: t, in [0, 1].
    """
    return density**progress


def linear(density, progress):
    """1 − (1 − density) t: every round removes the same number of weights.

    Args:
        density: the final one.
        progress: t, in [0, 1].
    """
    return 1 - (1 - density) * progress


def cubic(density, progress):
    """Zhu and Gupta (2018), from sparsity 0: s_t = s_f (1 − (1 − t)³), fast at first.

    Args:
        density: the final one, 1 − s_f.
        progress: t, in [0, 1].
    """
    return 1 - (1 - density) * (1 - (1 - progress) ** 3)


def densities_at(schedule, density, progress):
    """What a schedule says of one density, or of each in a dict."""
    if isinstance(density, dict):
        return {name: schedule(final, progress) for name, final in density.items()}
    return schedule(density, progress)
