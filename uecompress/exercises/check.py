"""What the reader sees when an answer is checked."""

import importlib


def check(label, answer, **page):
    """Compare an answer with what the exercise expects, and print what the comparison teaches.

    What is expected stands in ``uecompress/exercises/``, one file a chapter: ``"ex-svd-rank"`` is
    the function ``rank`` of ``svd.py``, which returns a :class:`Number` or a :class:`Function`.

    Args:
        label: of the exercise, ``"ex-svd-rank"``.
        answer: a number, an array, a string such as ``"9/12"``, or a function; ``...`` or ``None``,
            or a function that returns one of these, while nobody has answered yet, which is no
            failure.
        page: values of the page that the answer depends on.

    Raises:
        ValueError: there is no such exercise.
    """
    exercise = find(label)
    if answer is None or answer is ...:
        print("… waiting for your answer")
        return
    verdict, words = exercise(**page).judge(answer)
    print({True: "✓", False: "✗", None: "…"}[verdict], words)


def find(label):
    """The function that says what an exercise expects.

    Raises:
        ValueError: there is no such exercise.
    """
    _, chapter, name = [*label.split("-", 2), "", ""][:3]
    name = name.replace("-", "_")
    try:
        room = importlib.import_module(f"uecompress.exercises.{chapter}")
        return vars(room)[name]
    except (ImportError, KeyError):
        raise ValueError(f"there is no exercise {label!r}") from None
