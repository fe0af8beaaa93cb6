"""Statements that can fail: what a chapter promises, and whether its numbers bear it out."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from limsup_widgets.errors import LimsupError

MIN_UNITS = 5
LEVEL = 0.95
WORDS = ("holds", "does not hold", "undecided")
LINE = re.compile(
    rf"^({'|'.join(WORDS)}): (.*) \(((?:live|stored: results/\S+\.json); .*)\)$", re.MULTILINE
)
# A file that gets one JSON line a verdict; the runner reads it.
CLAIMS_FILE = "LIMSUP_CLAIMS_FILE"
_RECORDS: list[list[Verdict]] = []


@dataclass(frozen=True)
class Verdict:
    """What became of a claim; a notebook shows it as a picture of the interval.

    Attributes
    ----------
    words
        ``holds``, ``does not hold`` or ``undecided``.
    basis
        Where the words come from, without measured numbers, so that it repeats between machines.
    differences
        One per unit, or per cluster where clusters were given; empty for a deterministic claim.
    low, high
        Ends of the 95 % Student-t interval of the mean difference; NaN with fewer than 2 units.
    region
        The claimed range of the mean difference, as (lower, upper).
    unit
        What one difference belongs to: ``seed``, ``patient``.
    """

    name: str
    words: str
    basis: str
    differences: tuple[float, ...] = ()
    low: float = float("nan")
    high: float = float("nan")
    region: tuple[float, float] = (0.0, float("inf"))
    unit: str = ""

    @property
    def mean(self) -> float:
        """Mean difference; NaN for a deterministic claim."""
        return float(np.mean(self.differences)) if self.differences else float("nan")

    @property
    def line(self) -> str:
        """The one printed line: the words first, no measured number."""
        return f"{self.words}: {self.name} ({self.basis})"

    @property
    def claimed(self) -> str:
        """The claimed range in words."""
        lower, upper = self.region
        if np.isinf(upper):
            return f"above {lower:g}"
        return f"below {upper:g}" if np.isinf(lower) else f"between {lower:g} and {upper:g}"

    @property
    def numbers(self) -> str:
        """The interval in words, as the alt text of its picture."""
        ends = f"{LEVEL:.0%} interval {self.low:+.3g} to {self.high:+.3g}"
        return (
            f"{self.name}: mean difference {self.mean:+.3g}, {ends}, claimed {self.claimed}; "
            f"{len(self.differences)} differences from {min(self.differences):+.3g} "
            f"to {max(self.differences):+.3g}. Verdict: {self.words}."
        )

    def record(self) -> dict[str, Any]:
        """Everything a listing shows, as JSON can hold it; no interval is None."""
        interval = {"mean": self.mean, "low": self.low, "high": self.high}
        return {
            "name": self.name,
            "words": self.words,
            "basis": self.basis,
            "units": len(self.differences) or None,
            "unit": self.unit or None,
            **{key: float(v) if np.isfinite(v) else None for key, v in interval.items()},
        }

    def _ipython_display_(self) -> None:
        if not self.differences:
            return
        from IPython.display import display

        from limsup_widgets.teach.pictures import interval_png

        display(
            {"image/png": interval_png(self), "text/plain": self.words},
            metadata={"image/png": {"alt": self.numbers}},
            raw=True,
        )


def claim(
    name: str,
    a: ArrayLike,
    b: ArrayLike | None = None,
    at_least: float = 0.0,
    unit: str = "seed",
    clusters: Sequence[Any] | None = None,
    stored: str | None = None,
    *,
    at_most: float | None = None,
    within: float | None = None,
    cluster: str = "cluster",
    steady: bool = True,
) -> Verdict:
    """Print one line saying whether the paired differences ``a - b`` bear out the claim.

    Parameters
    ----------
    name
        The claim as a short statement.
    a, b : (n,)
        Values with and without, paired by position. Without ``b``, ``a`` are the differences.
    at_least
        The margin: the claim *holds* when the whole interval lies above it, *does not hold* when
        the whole interval lies below, and is *undecided* in between.
    unit, clusters, cluster
        Name of what one pair is; if pairs share a cluster (images of one patient), their cluster
        labels and what a cluster is called. Cluster means are compared then, not pairs.
    stored
        Id of the stored result the values come from; without it the claim is live.
    at_most, within
        Instead of ``at_least``: the mean difference is below ``at_most``, or inside ±``within``.
    steady
        The author's statement that other seeds give the same words. ``False`` where
        `limsup chapter check` saw them flip: the words then are *undecided*, whatever these seeds
        say.

    Returns
    -------
    Verdict
        As the last expression of a cell it shows the interval as a picture.

    Raises
    ------
    LimsupError
        If the values cannot be paired or are not finite.

    Notes
    -----
    Student-t interval of the mean with n - 1 degrees of freedom, n the number of units or
    clusters. Fewer than 5 give no verdict.
    """
    differences = _cluster_means(_differences(name, a, b), clusters)
    region = _region(at_least, at_most, within)
    low, high = t_interval(differences)
    words, reason = _judge(differences.size, low, high, region)
    if not steady:
        words, reason = "undecided", ", flips under other seeds"
    origin = f"stored: results/{stored}.json" if stored else "live"
    # "5 patients", but "5 patients (mean over their images)" where pairs were pooled.
    one = unit if clusters is None else cluster
    counted = f"{differences.size} {one}s"
    pooled = "" if clusters is None else f", each the mean of its {unit}s"
    basis = f"{origin}; paired over {counted}{pooled}{reason}"
    paired = tuple(map(float, differences))
    return _told(Verdict(name, words, basis, paired, low, high, region, one))


def claim_true(
    name: str, condition: object, detail: str = "", stored: str | None = None
) -> Verdict:
    """Print one line for a claim that needs no interval: an identity, a bound, arithmetic.

    Parameters
    ----------
    condition
        A Python or numpy boolean.
    detail
        What was compared, in words that repeat between machines (no measured decimals).
    stored
        Id of the stored result that was asked; without it the claim is live.

    Raises
    ------
    LimsupError
        If ``condition`` is not a single boolean.
    """
    if not isinstance(condition, bool | np.bool_):
        raise LimsupError(
            f"claim {name!r}",
            got=type(condition).__name__,
            expected="True or False",
            do="reduce it with .all() or compare with a tolerance",
        )
    words = "holds" if condition else "does not hold"
    origin = f"stored: results/{stored}.json" if stored else "live"
    basis = f"{origin}; deterministic" + (f"; {detail}" if detail else "")
    return _told(Verdict(name, words, basis))


@contextmanager
def recorded() -> Iterator[list[Verdict]]:
    """Collect the verdicts of the claims made inside, in their order.

    Examples
    --------
    >>> with recorded() as verdicts:
    ...     _ = claim_true("one and one make two", 1 + 1 == 2)
    holds: one and one make two (live; deterministic)
    >>> [verdict.words for verdict in verdicts]
    ['holds']
    """
    verdicts: list[Verdict] = []
    _RECORDS.append(verdicts)
    try:
        yield verdicts
    finally:
        _RECORDS[:] = [kept for kept in _RECORDS if kept is not verdicts]


def read_lines(printed: str) -> list[tuple[str, str, str]]:
    """(words, name, basis) of every verdict line in what a cell printed.

    Examples
    --------
    >>> read_lines("step 3\\nholds: bounded (by 1/4) (live; deterministic)\\n")
    [('holds', 'bounded (by 1/4)', 'live; deterministic')]
    """
    return [(words, name, basis) for words, name, basis in LINE.findall(printed)]


def _told(verdict: Verdict) -> Verdict:
    """Print the line of a verdict and hand it to whoever records."""
    for record in _RECORDS:
        record.append(verdict)
    if file := os.environ.get(CLAIMS_FILE):
        with Path(file).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(verdict.record(), ensure_ascii=False) + "\n")
    print(verdict.line)
    return verdict


def _differences(name: str, a: ArrayLike, b: ArrayLike | None) -> NDArray[np.float64]:
    first = np.asarray(a, dtype=float)
    second = np.zeros_like(first) if b is None else np.asarray(b, dtype=float)
    if first.ndim != 1 or first.shape != second.shape or not first.size:
        raise LimsupError(
            f"claim {name!r}",
            got=f"shapes {first.shape} and {second.shape}",
            expected="two lists of one length, paired",
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise LimsupError(f"claim {name!r}", got="NaN or infinity", do="drop that pair and say so")
    return first - second


def _cluster_means(
    differences: NDArray[np.float64], clusters: Sequence[Any] | None
) -> NDArray[np.float64]:
    if clusters is None:
        return differences
    if len(clusters) != differences.size:
        raise LimsupError(
            "clusters", got=f"{len(clusters)} labels", expected=f"{differences.size}, one a pair"
        )
    _, member = np.unique(np.asarray(clusters), return_inverse=True)
    return np.bincount(member, differences) / np.bincount(member)


def _region(at_least: float, at_most: float | None, within: float | None) -> tuple[float, float]:
    if (at_least != 0.0) + (at_most is not None) + (within is not None) > 1:
        raise LimsupError("claim", got="several margins", expected="at_least, at_most or within")
    if within is not None:
        return -within, within
    return (at_least, float("inf")) if at_most is None else (-float("inf"), at_most)


def t_interval(differences: NDArray[np.float64]) -> tuple[float, float]:
    """95 % Student-t interval of the mean of ``(n,)`` values; NaN with fewer than 2."""
    n = differences.size
    if n < 2:
        return float("nan"), float("nan")
    half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * differences.std(ddof=1) / np.sqrt(n)
    return float(differences.mean() - half), float(differences.mean() + half)


def _judge(n: int, low: float, high: float, region: tuple[float, float]) -> tuple[str, str]:
    if n < MIN_UNITS:
        return "undecided", f", fewer than {MIN_UNITS}"
    if region[0] < low and high < region[1]:
        return "holds", ""
    if high < region[0] or low > region[1]:
        return "does not hold", ""
    return "undecided", ", the interval reaches across the margin"
