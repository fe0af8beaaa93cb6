"""Which method when: the methods of a stored study against one control, situation by situation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.claims import MIN_UNITS, t_interval
from limsup_widgets.teach.curves import Rows, levels, select

SITUATION = ("kind", "minutes", "noise")
EQUAL_WITHIN = 0.01
SIGNS = {"better": "▲", "worse": "▼", "equal": "=", "unclear": "?"}


@dataclass(frozen=True)
class Comparison:
    """A method against the control in one situation, paired by seed.

    Attributes
    ----------
    situation
        Kind of label, minutes and label noise.
    dice, difference
        Mean Dice of the method, and mean of method minus control.
    low, high
        95 % Student-t interval of the mean difference.
    words
        ``better`` or ``worse`` if the interval lies on one side of 0, ``equal`` if it lies within
        ±0.01, else ``unclear``; always ``unclear`` below 5 pairs.
    """

    method: str
    situation: tuple[Any, ...]
    dice: float
    difference: float
    low: float
    high: float
    words: str

    @property
    def short(self) -> str:
        """One entry of a table: sign and difference in hundredths of Dice.

        Examples
        --------
        >>> Comparison("m", ("point", 2, 0.0), 0.7, 0.021, 0.01, 0.03, "better").short
        '▲ +2.1'
        """
        return f"{SIGNS[self.words]} {100 * self.difference:+.1f}"


def compare(rows: Rows, method: str, control: str, **situation: Any) -> Comparison | None:
    """Compare two methods over the seeds that both have; None if the method was not run there.

    Rows with the largest pool are taken, since a method that can use unlabelled images should.

    Raises
    ------
    LimsupError
        If the method was run and the control was not.
    """
    own, other = (_by_seed(rows, name, situation) for name in (method, control))
    if not own:
        return None
    seeds = sorted(set(own) & set(other))
    if not seeds:
        raise LimsupError(f"control {control!r}", got=f"no row for {situation}", do="run it too")
    differences = np.array([own[s] - other[s] for s in seeds])
    low, high = t_interval(differences)
    words = _judge(len(seeds), low, high)
    mean = float(np.mean([own[s] for s in seeds]))
    where = tuple(situation[key] for key in SITUATION)
    return Comparison(method, where, mean, float(differences.mean()), low, high, words)


def situations(rows: Rows, method: str) -> list[dict[str, Any]]:
    """Situations in which a method was run, in the order of kind, noise and minutes."""
    own = select(rows, method=method)
    found = {tuple(row[key] for key in SITUATION) for row in own}
    order = levels(own, "kind")
    ordered = sorted(found, key=lambda s: (order.index(s[0]), s[2], s[1]))
    return [dict(zip(SITUATION, each, strict=True)) for each in ordered]


def tally(comparisons: Sequence[Comparison]) -> str:
    """How often the verdicts fell, in words.

    Examples
    --------
    >>> one = Comparison("m", ("point", 2, 0.0), 0.7, 0.02, 0.01, 0.03, "better")
    >>> tally([one, one])
    'better in 2 of 2'
    """
    counts = {word: sum(c.words == word for c in comparisons) for word in SIGNS}
    told = [f"{word} in {n}" for word, n in counts.items() if n]
    return ", ".join(told) + f" of {len(comparisons)}"


def _by_seed(rows: Rows, method: str, situation: dict[str, Any]) -> dict[int, float]:
    found = select(rows, method=method, **situation)
    pool = max((row["unlabelled"] for row in found), default=0)
    return {row["seed"]: float(row["dice"]) for row in found if row["unlabelled"] == pool}


def _judge(n: int, low: float, high: float) -> str:
    if n < MIN_UNITS:
        return "unclear"
    if low > 0 or high < 0:
        return "better" if low > 0 else "worse"
    return "equal" if low > -EQUAL_WITHIN and high < EQUAL_WITHIN else "unclear"
