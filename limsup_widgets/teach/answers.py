"""Reading what a reader typed: numbers as text, percentages, lists for arrays."""

from __future__ import annotations

from typing import Any

import numpy as np


class Unreadable(Exception):
    """The answer cannot be compared; the message is the sentence for the reader."""


def is_number(value: Any) -> bool:
    """Whether ``value`` is one real number; truth values are not."""
    single = isinstance(value, int | float | np.integer | np.floating)
    return single and not isinstance(value, bool | np.bool_)


def read_answer(answer: Any, like: Any) -> Any:
    """Turn an answer into the kind of ``like``: truth value, number, text or array.

    Raises
    ------
    Unreadable
        With one helpful sentence.

    Examples
    --------
    >>> read_answer("12,5 %", like=0.1)
    0.125
    >>> read_answer([1, 2], like=(1.0, 2.0)).shape
    (2,)
    """
    if callable(answer):
        raise Unreadable("That is a function; call it and hand in its value.")
    if isinstance(like, bool | np.bool_):
        return _truth(answer)
    if is_number(like):
        return _number(answer)
    if isinstance(like, str):
        return _text(answer)
    return _array(answer, np.shape(like))


def close(value: Any, target: Any, tol: float) -> bool:
    """Whether two answers agree within ``tol``; answers of another kind or shape do not."""
    if isinstance(target, str) or isinstance(value, str):
        return (
            isinstance(value, str) and isinstance(target, str) and _plain(value) == _plain(target)
        )
    if isinstance(value, bool | np.bool_) != isinstance(target, bool | np.bool_):
        return False
    try:
        a, b = np.asarray(value, dtype=float), np.asarray(target, dtype=float)
    except (TypeError, ValueError):
        return False
    return a.shape == b.shape and bool(np.all(np.abs(a - b) <= tol))


def _plain(text: str) -> str:
    return " ".join(text.casefold().replace("_", " ").replace("-", " ").split()).strip(" .")


def _truth(answer: Any) -> bool:
    words = {"true": True, "yes": True, "false": False, "no": False}
    if isinstance(answer, bool | np.bool_):
        return bool(answer)
    if isinstance(answer, str) and _plain(answer) in words:
        return words[_plain(answer)]
    raise Unreadable("The answer is True or False.")


def _number(answer: Any) -> float:
    if isinstance(answer, str):
        answer = _number_from_text(answer)
    if isinstance(answer, bool | np.bool_):
        raise Unreadable("A number is asked for, not True or False.")
    array = _numeric(answer)
    if array.size != 1:
        raise Unreadable(f"One number is asked for, not {array.size} (shape {array.shape}).")
    value = float(array.reshape(()))
    if not np.isfinite(value):
        raise Unreadable(f"The answer came out as {value}: look for a division by zero.")
    return value


def _number_from_text(text: str) -> float:
    bare = text.strip().replace(",", ".")
    percent = bare.endswith("%")
    try:
        return float(bare.rstrip("% ")) / (100 if percent else 1)
    except ValueError:
        raise Unreadable(f"A number is asked for; {text!r} cannot be read as one.") from None


def _text(answer: Any) -> str:
    if not isinstance(answer, str):
        raise Unreadable('The answer is a word; write it in quotation marks, as in "none".')
    return answer


def _array(answer: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = _numeric(answer)
    if array.shape != shape:
        raise Unreadable(f"The answer has shape {array.shape}; {shape} is asked for.")
    if not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))[0].tolist()
        raise Unreadable(f"The answer has NaN or infinity, first at {bad}.")
    return array


def _numeric(answer: Any) -> np.ndarray:
    detached = answer.detach() if hasattr(answer, "detach") else answer
    try:
        return np.asarray(detached, dtype=float)
    except (TypeError, ValueError):
        kind = type(answer).__name__
        raise Unreadable(f"Numbers are asked for; a {kind} like this cannot be read.") from None
