"""Exercises that say why a wrong answer is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.answers import Unreadable, close, is_number, read_answer


@dataclass(frozen=True)
class Misconception:
    """A known wrong answer and the thought behind it.

    Attributes
    ----------
    example
        A wrong answer that this misconception leads to.
    says
        What the reader is told: the thought, and where it goes wrong.
    when
        Optional rule for answers other than the example.
    """

    example: Any
    says: str
    when: Callable[[Any], bool] | None = None


@dataclass(frozen=True)
class Exercise:
    """The right answer, its tolerance, and the known wrong ones; see :func:`exercise`."""

    id: str
    answer: Any
    tol: float
    why: str
    wrong: tuple[Misconception, ...]
    cases: tuple[tuple[Any, ...], ...] = field(default=())


@dataclass(frozen=True)
class Judgement:
    """Whether an answer is right, and the one sentence told."""

    right: bool
    says: str


_EXERCISES: dict[str, Exercise] = {}


def exercise(
    id: str,
    answer: Any,
    tol: float = 1e-3,
    why: str = "",
    wrong: Mapping[Any, str] | Sequence[Misconception] = (),
    cases: Sequence[tuple[Any, ...]] = (),
) -> None:
    """Register an exercise; running the cell again replaces it.

    Parameters
    ----------
    id
        Chapter id, a dot, a number: ``ls01.2``.
    answer
        A number, a truth value, a text (one of a few words) or an array. With ``cases``, the list
        of values that the reader's function must return for them.
    tol
        Largest absolute difference of a number or array entry that still counts as right.
    why
        One sentence added to "Right".
    wrong
        ``{wrong answer: what is thought and why it fails}``, or a list of :class:`Misconception`.
    cases
        Argument tuples: the reader then hands in a function.

    Raises
    ------
    LimsupError
        If a wrong answer would count as right, or nothing says how an answer goes wrong.
    """
    known = (
        tuple(Misconception(*item) for item in wrong.items())
        if isinstance(wrong, Mapping)
        else tuple(wrong)
    )
    made = Exercise(id, answer, tol, why, known, tuple(cases))
    for each in known:
        told = _judge_value(made, each.example)
        if told.right or told.says != each.says:
            raise LimsupError(
                f"exercise {id!r}",
                got=f"wrong answer {each.example!r} told: {told.says or 'Right'}",
                expected=each.says,
                do="reorder the misconceptions or narrow tol",
            )
    _EXERCISES[id] = made


def registered() -> Mapping[str, Exercise]:
    """The exercises of this process, by id."""
    return dict(_EXERCISES)


@contextmanager
def own_registry() -> Iterator[None]:
    """Inside, only exercises registered inside are known; afterwards those from before."""
    before = dict(_EXERCISES)
    _EXERCISES.clear()
    try:
        yield
    finally:
        _EXERCISES.clear()
        _EXERCISES.update(before)


def judge(id: str, answer: Any) -> Judgement:
    """Judge an answer without printing; never raises for any answer."""
    found = _EXERCISES.get(id)
    if found is None:
        near = ", ".join(sorted(_EXERCISES)) or "none yet"
        return Judgement(False, f"No exercise {id} here (known: {near}); run the cell above first.")
    return _judge(found, answer)


def check(id: str, answer: Any) -> None:
    """Print one line: right, or what is wrong with the answer.

    Examples
    --------
    >>> exercise("demo.1", answer=0.25, why="p(1 - p) peaks at one half.",
    ...          wrong={1.0: "A variance of a 0/1 variable cannot reach 1."})
    >>> check("demo.1", "25 %")
    demo.1 – Right. p(1 - p) peaks at one half.
    >>> check("demo.1", 1)
    demo.1 – Not yet. A variance of a 0/1 variable cannot reach 1.
    """
    judgement = judge(id, answer)
    print(f"{id} – {'Right' if judgement.right else 'Not yet'}. {judgement.says}".rstrip())


def _judge(exercise: Exercise, answer: Any) -> Judgement:
    if answer is None or answer is ...:
        return Judgement(False, "Put your answer in place of the dots, then run the cell.")
    if not exercise.cases:
        return _judge_value(exercise, answer)
    if not callable(answer):
        return Judgement(False, "A function is asked for: hand in its name without brackets.")
    values = [answer(*case) for case in exercise.cases]
    if all(value is None or value is ... for value in values):
        return Judgement(False, "Your function returns nothing yet: end it with return.")
    return _judge_value(exercise, values)


def _judge_value(exercise: Exercise, answer: Any) -> Judgement:
    try:
        value = read_answer(answer, like=exercise.answer)
    except Unreadable as problem:
        told = _misconception(exercise, answer)
        return Judgement(False, told or str(problem))
    if close(value, exercise.answer, exercise.tol):
        return Judgement(True, exercise.why)
    return Judgement(False, _misconception(exercise, value) or _hint(exercise, value))


def _misconception(exercise: Exercise, value: Any) -> str | None:
    for known in exercise.wrong:
        if known.when is not None and _applies(known.when, value):
            return known.says
        if known.when is None and close(value, known.example, exercise.tol):
            return known.says
    return None


def _applies(rule: Callable[[Any], bool], value: Any) -> bool:
    try:
        return bool(rule(value))
    except (TypeError, ValueError, IndexError, AttributeError):
        return False


def _hint(exercise: Exercise, value: Any) -> str:
    if not is_number(exercise.answer):
        return "That is not it; read the question once more and try a small case by hand."
    expected = float(exercise.answer)
    if close(value, 100 * expected, 100 * exercise.tol) and expected:
        return "That looks like a percentage; give it as a fraction of 1."
    if close(value, -expected, exercise.tol):
        return "The size is right, the sign is not."
    off = "high" if float(np.asarray(value)) > expected else "low"
    return f"Too {off}; the tolerance is {exercise.tol:g}."
