"""Answers that are functions, written by the reader and run on inputs that the page hides."""

import copy

from uecompress.exercises.number import Number


class Function:
    """A function that an exercise asks for.

    Args:
        right: a function that does what is asked.
        inputs: tuples of arguments, on which the reader's function is run.
        wrong: explanations of known mistakes, each with a function that makes the mistake.
        show: a function of the arguments that says in words which input it was; their ``repr`` if
            not given.

    Raises:
        ValueError: a mistake leads to the right answer for all inputs.
    """

    def __init__(self, right, inputs, wrong=None, show=None):
        self.right, self.inputs, self.wrong = right, list(inputs), dict(wrong or {})
        self.show = show or (lambda *arguments: ", ".join(map(repr, arguments)))
        for explanation, mistake in self.wrong.items():
            if self._first_failure(mistake) is None:
                raise ValueError(f"the mistake «{explanation}» leads to the right answers")

    def judge(self, answer):
        """Whether the function is right, and one sentence on it; None while it returns nothing."""
        if not callable(answer):
            return False, "give the function itself, without calling it"
        if self._returns_nothing(answer):
            return None, "waiting for your answer: the function returns nothing yet"
        failure = self._first_failure(answer)
        if failure is None:
            return True, "correct"
        for explanation, mistake in self.wrong.items():
            if self._agree(answer, mistake):
                return False, explanation
        return False, failure

    def _returns_nothing(self, function):
        """Whether it is still the stub of the page, as the first input tells."""
        try:
            given = function(*copy.deepcopy(self.inputs[0]))
        except Exception:  # a reader's function may raise anything
            return False
        return given is None or given is ...

    def _first_failure(self, function):
        """What is wrong with the first input for which it fails; None if there is none."""
        for arguments in self.inputs:
            expected = Number(self.right(*copy.deepcopy(arguments)))
            try:
                given = function(*copy.deepcopy(arguments))
            except Exception as error:  # a reader's function may raise anything
                return f"for {self.show(*arguments)} it raises {type(error).__name__}: {error}"
            if given is None or given is ...:
                return f"for {self.show(*arguments)} it returns nothing"
            verdict, words = expected.judge(given)
            if not verdict or words != "correct":
                return f"for {self.show(*arguments)}: {words}"
        return None

    def _agree(self, answer, mistake):
        """Whether the reader's function gives what the mistake gives, for all inputs."""
        try:
            return all(
                Number(mistake(*copy.deepcopy(a))).judge(answer(*copy.deepcopy(a)))[1] == "correct"
                for a in self.inputs
            )
        except Exception:  # the reader's function, or the mistake, raises for some input
            return False
