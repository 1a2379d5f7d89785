"""A fresh run beside the stored one: what differs, and by how much."""

RELATIVE, ABSOLUTE = 1e-3, 1e-6  # |a − b| ≤ 1e-3 |a| + 1e-6: results are stored with 4 to 6 digits
CIRCUMSTANCES = ("threads", "cpu", "versions")  # which explain a difference
NO_RESULT = (*CIRCUMSTANCES, "date", "minutes", "measured_again")


def differences(stored, fresh):
    """What differs between two JSON values, in words; a stored number a and b do if they are apart
    by more than 0.1 % of a and one millionth.

    Entries of lists are compared one by one, and what differs in many is said once: for
    "rows[*].auroc", in how many of how many, and the largest difference.

    Args:
        stored, fresh: nested dicts and lists of numbers, strings, booleans and None.

    Returns:
        A list of strings, empty where nothing differs.
    """
    said, numbers = {}, {}
    _walk(stored, fresh, "", said, numbers)
    said = [f"{what} ({count} times)" if count > 1 else what for what, count in said.items()]
    for path, pairs in numbers.items():
        far = [(a, b) for a, b in pairs if abs(a - b) > RELATIVE * abs(a) + ABSOLUTE]
        if far:
            a, b = max(far, key=lambda pair: abs(pair[0] - pair[1]))
            count = f"{len(far)} of {len(pairs)} numbers differ"
            said.append(f"{path}: {count}, most of all {a} stored, {b} now")
    return said


def compare(stored, fresh):
    """What differs in two result files, and what differs in the circumstances.

    Returns:
        Two lists of strings, as :func:`differences` gives them.
    """
    both = stored, fresh
    results = [{k: v for k, v in each.items() if k not in NO_RESULT} for each in both]
    around = [{k: each[k] for k in CIRCUMSTANCES} for each in both]
    return differences(*results), differences(*around)


def _walk(stored, fresh, path, said, numbers):
    """Count differences by their words, and collect by path the pairs of numbers."""
    if isinstance(stored, dict) and isinstance(fresh, dict):
        for key in stored | fresh:
            below = f"{path}.{key}".lstrip(".")
            if key not in fresh or key not in stored:
                _count(said, f"{below}: only {'stored' if key in stored else 'now'}")
            else:
                _walk(stored[key], fresh[key], below, said, numbers)
    elif isinstance(stored, list) and isinstance(fresh, list):
        if len(stored) != len(fresh):
            _count(said, f"{path}: {len(stored)} entries stored, {len(fresh)} now")
        for a, b in zip(stored, fresh, strict=False):
            _walk(a, b, f"{path}[*]", said, numbers)
    elif _number(stored) and _number(fresh):
        numbers.setdefault(path, []).append((stored, fresh))
    elif stored != fresh:
        _count(said, f"{path}: {stored!r} stored, {fresh!r} now")


def _number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(said, what):
    said[what] = said.get(what, 0) + 1
