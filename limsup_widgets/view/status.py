"""The words of the views: progress, scores, changes, places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from limsup_widgets.session.compare import Comparison
    from limsup_widgets.session.regions import Region
    from limsup_widgets.session.screen import Screen

KINDS = {"V": "total (V)", "E": "epistemic: the network (E)", "A": "aleatoric: the data (A)"}
"""Kinds of uncertainty, V = A + E, by their letter."""


LIVE = "live: each stroke is answered at once, and the network tunes behind it"
NOT_LIVE = "not live: press Tune when you have painted"
FAR = "zoom in to work here: the framed part is worked on until then"
NO_PREDICTION = "no prediction yet: paint at least two classes, then Tune"


def answer_text(screen: Screen, tuning: bool) -> str:
    """Whose answer is on view, how far it has come, and how far it can be trusted.

    Examples
    --------
    >>> from limsup_widgets.session.screen import Screen
    >>> answer_text(Screen(0, (0, 0, 4, 4)), tuning=True)
    'on view: nothing yet · the network is tuning'
    """
    names = {"": "nothing yet", "quick": "quick answer", "network": "network"}
    parts = [f"on view: {names[screen.by]}"]
    if screen.by and screen.done < 1:
        parts.append(f"{100 * screen.done:.0f} % of the window")
    if screen.by == "network" and screen.passes:
        parts.append(f"uncertainty of {screen.passes} passes")
    if tuning:
        parts.append("the network is tuning")
    return " · ".join([*parts, *([screen.note] if screen.note else [])])


def saved_text(saved: bool, folder: object) -> str:
    """The mark that tells whether a power cut would lose anything.

    Examples
    --------
    >>> saved_text(True, "case7"), saved_text(False, None)
    ('✓ saved', '● not saved: session.save(folder)')
    """
    if folder is None:
        return "● not saved: session.save(folder)"
    return "✓ saved" if saved else "● saving …"


def progress_text(step: int, total: int, loss: float) -> str:
    """Where a tune is.

    Examples
    --------
    >>> progress_text(3, 40, 0.51234)
    'step 3 of 40 · loss 0.512'
    """
    return f"step {step} of {total} · loss {loss:.3f}"


def dice_text(dice: NDArray[np.floating] | None, classes: Sequence[str]) -> str:
    """Mean and per-class Dice in one line; empty if the truth is not known.

    Examples
    --------
    >>> dice_text(np.array([0.8, 0.6, np.nan]), ["a", "b", "c"])
    'Dice 0.700  (a 0.80 · b 0.60 · c –)'
    """
    if dice is None or np.isnan(dice).all():
        return ""
    each = " · ".join(
        f"{name} {'–' if math.isnan(value) else format(value, '.2f')}"
        for name, value in zip(classes, dice, strict=True)
    )
    return f"Dice {np.nanmean(dice):.3f}  ({each})"


def comparison_head(comparison: Comparison) -> list[str]:
    """Titles of the columns of `comparison_rows`."""
    return ["class", "gained", "lost"] + ["Dice"] * (comparison.dice_after is not None)


def comparison_rows(comparison: Comparison, classes: Sequence[str]) -> list[list[str]]:
    """What a tune changed, one row per class: pixels gained and lost and, if known, the Dice.

    The previous result stands before the arrow, the present one after it.
    """
    rows = [
        [name, f"+{int(gained)}", f"−{int(lost)}"]
        for name, gained, lost in zip(classes, comparison.gained, comparison.lost, strict=True)
    ]
    before, after = comparison.dice_before, comparison.dice_after
    if before is not None and after is not None:
        for row, old, new in zip(rows, before, after, strict=True):
            row.append("–" if math.isnan(new) else f"{old:.2f} → {new:.2f}")
    return rows


def region_text(rank: int, region: Region, total: float) -> str:
    """One line of the list of places, with its share of what is left to explain."""
    share = 100 * region.score / total if total > 0 else 0
    return f"{rank}.  row {region.y}, column {region.x} · {share:.0f} %"


def count_text(counts: NDArray[np.integer], classes: Sequence[str]) -> str:
    """How many pixels of each class are scribbled.

    Examples
    --------
    >>> count_text(np.array([2, 0]), ["a", "b"])
    'scribbled: a 2 · b 0 pixels'
    """
    each = " · ".join(f"{name} {count}" for name, count in zip(classes, counts, strict=True))
    return f"scribbled: {each} pixels"
