"""Every exercise of a chapter, answered right, wrong, and in ways that make no sense."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from limsup_widgets.teach.answers import is_number
from limsup_widgets.teach.chapters import SHARED_TAGS, load_cells
from limsup_widgets.teach.exercises import Exercise, judge, own_registry, registered

NONSENSE: tuple[Any, ...] = (
    None,
    ...,
    "",
    "what?",
    float("nan"),
    [],
    [[1], [1, 2]],
    {},
    np.zeros((7, 7, 7)),
    print,
)


def exercise_problems(path: Path) -> list[str]:
    """What is wrong with the exercises of one notebook, in words.

    Runs the cells tagged ``imports``, ``method`` and ``exercise``. Each registered answer must be
    accepted, also as text, percentage, list or array; each misconception told its own sentence,
    each nonsense one sentence.
    """
    with own_registry():
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            load_cells(path, (*SHARED_TAGS, "exercise"))
        found = [f"exercise cells print {printed.getvalue()[:60]!r}"] if printed.getvalue() else []
        found += [] if registered() else ["no exercise was registered"]
        for each in registered().values():
            found += [f"exercise {each.id}: {line}" for line in _problems(each, path)]
    return found


def _problems(each: Exercise, path: Path) -> list[str]:
    chapter = path.stem.split("-")[0]
    found = [] if each.id.startswith(f"{chapter}.") else [f"its id does not begin with {chapter}."]
    if not judge(each.id, _handed_in(each, each.answer)).right:
        found.append("its own answer is not accepted")
    if not each.wrong:
        found.append("names no misconception")
    for wrong in each.wrong:
        told = judge(each.id, _handed_in(each, wrong.example))
        if told.right or told.says != wrong.says:
            found.append(f"wrong answer {wrong.example!r} is told {told.says!r}")
    return found + _other_writings(each) + _nonsense(each)


def _other_writings(each: Exercise) -> list[str]:
    """A right answer is right as text, as a percentage, as a list and as an array, too."""
    return [
        f"its own answer is not accepted as {writing!r}"
        for writing in _writings(each)
        if not judge(each.id, writing).right
    ]


def _writings(each: Exercise) -> list[Any]:
    answer = each.answer
    if each.cases:
        return []
    if isinstance(answer, str):
        return [f" {answer.upper()} "]
    if isinstance(answer, bool | np.bool_):
        return [str(answer), "yes" if answer else "no"]
    if is_number(answer):
        number = float(answer)
        return [repr(number), str(number).replace(".", ","), f"{100 * number!r} %", [number]]
    return [np.asarray(answer).tolist(), tuple(np.asarray(answer).tolist()), np.asarray(answer)]


def _nonsense(each: Exercise) -> list[str]:
    found = []
    for nonsense in NONSENSE:
        if each.cases and callable(nonsense):
            continue
        told = judge(each.id, nonsense)
        if told.right or not told.says.endswith((".", "?", "!")):
            found.append(f"nonsense {nonsense!r} is told {told.says!r}")
    return found


def _handed_in(each: Exercise, value: Any) -> Any:
    """What a reader would hand in: for a function exercise, a function with these values."""
    if not each.cases:
        return value
    values = iter(value)
    return lambda *case: next(values)
