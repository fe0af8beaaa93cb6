"""Curves over the rows of a stored study: a mean and its interval at each budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.teach.claims import t_interval

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Curve:
    """Mean of ``y`` over the rows at each ``x``, all arrays ``(n,)``.

    Attributes
    ----------
    low, high
        95 % Student-t interval of the mean; equal to it where a single row is left.
    """

    name: str
    x: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def curve(rows: Rows, name: str = "", x: str = "minutes", y: str = "dice", **where: Any) -> Curve:
    """Mean ``y`` against ``x`` over the rows whose entries equal all of ``where``.

    Examples
    --------
    >>> rows = [{"minutes": m, "dice": d} for m, d in [(2, 0.5), (2, 0.7), (8, 0.9)]]
    >>> made = curve(rows)
    >>> made.x.tolist(), made.mean.round(3).tolist()
    ([2.0, 8.0], [0.6, 0.9])
    """
    chosen = select(rows, **where)
    points = sorted({float(row[x]) for row in chosen})
    means, lows, highs = [], [], []
    for point in points:
        values = np.array([float(row[y]) for row in chosen if float(row[x]) == point])
        low, high = t_interval(values) if len(values) > 1 else (values[0], values[0])
        means.append(values.mean())
        lows.append(low)
        highs.append(high)
    return Curve(name, *(np.array(part, float) for part in (points, means, lows, highs)))


def select(rows: Rows, **where: Any) -> list[Mapping[str, Any]]:
    """Rows whose entries equal all of ``where``."""
    return [row for row in rows if all(row.get(key) == value for key, value in where.items())]


def levels(rows: Iterable[Mapping[str, Any]], key: str) -> list[Any]:
    """Different entries under ``key``, numbers in order, words as they come.

    Examples
    --------
    >>> levels([{"kind": "point"}, {"kind": "dense"}, {"kind": "point"}], "kind")
    ['point', 'dense']
    >>> levels([{"minutes": 8}, {"minutes": 2}], "minutes")
    [2, 8]
    """
    found = list(dict.fromkeys(row[key] for row in rows if key in row))
    return sorted(found) if all(isinstance(value, int | float) for value in found) else found
