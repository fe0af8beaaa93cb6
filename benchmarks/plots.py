"""Pictures of a record, and what they show in words. The record is all that they know.

Every record gives a bar chart of its seconds (over what their range is, if not rounds, stands in
``over``); further ones stand in ``figures``:

- ``bars``: ``{"kind": "bars", "title", "x": "seconds", "bars": {name: number}}``, where wanted
  ``"spread": {name: [low, high]}``
- ``lines``: ``{"kind": "lines", "title", "x", "y", "series": [{"name", "x": [], "y": []}]}``, where
  wanted ``"low"`` and ``"high"`` of a series, and ``"x_log"``, ``"y_log"``

A spec may bring its own ``"alt"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from limsup_widgets.teach.pictures import figure_png
from limsup_widgets.view.palette import class_palette, css

Spec = Mapping[str, Any]
MARKERS, DASHES = "os^Dvp*x", ("-", "--", "-.", ":")
PALETTE = class_palette(8)
OURS, OTHERS = css(PALETTE[0]), css(PALETTE[1])
REST = [css(PALETTE[i]) for i in (1, 2, 4, 7, 6, 5)]
"""Colours of lines beside ours; yellow, which is too light for a line, is left out."""
TICKS = 8


def specs(record: Mapping[str, Any]) -> list[Spec]:
    """The bar chart of seconds, if there is more than ours, and the record's own figures."""
    bars = {**record.get("peers", {}), own(record): record["ours_s"]}
    seconds = {
        "kind": "bars",
        "title": record["title"],
        "x": f"seconds, median and range over the {record.get('over', 'rounds')}",
        "bars": bars,
        "spread": record.get("spread", {}),
    }
    return ([seconds] if record.get("peers") else []) + list(record.get("figures", []))


def own(record: Mapping[str, Any]) -> str:
    """Name of limsup's way; records of the first version do not say it."""
    return record.get("ours", "limsup")


def draw(spec: Spec, ours: str = "limsup") -> Figure:
    """One picture."""
    rows = len(spec["bars"]) if spec["kind"] == "bars" else 0
    figure = Figure(figsize=(7.2, 1.1 + 0.36 * rows if rows else 3.8), layout="constrained")
    axes = figure.subplots()
    (_bars if spec["kind"] == "bars" else _lines)(axes, spec, ours)
    axes.set_title(spec["title"], fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _bars(axes: Axes, spec: Spec, ours: str) -> None:
    shown = {name: value for name, value in spec["bars"].items() if value is not None}
    colours = [OURS if name == ours else OTHERS for name in shown]
    axes.barh(list(shown), list(shown.values()), color=colours, height=0.65)
    for row, (name, value) in enumerate(shown.items()):
        low, high = spec.get("spread", {}).get(name, (value, value))
        axes.plot([low, high], [row, row], color="#222222", lw=1.2)
        axes.annotate(
            number(value), (max(value, high), row), (4, 0), textcoords="offset points", va="center"
        )
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.set_xlabel(spec["x"])


def _lines(axes: Axes, spec: Spec, ours: str) -> None:
    others = [line["name"] for line in spec["series"] if line["name"] != ours]
    for number, line in enumerate(spec["series"]):
        mine = line["name"] == ours
        colour = OURS if mine else REST[others.index(line["name"]) % len(REST)]
        style = MARKERS[number % len(MARKERS)] + DASHES[number % len(DASHES)]
        axes.plot(line["x"], line["y"], style, color=colour, label=line["name"], ms=5)
        if "low" in line:
            axes.fill_between(line["x"], line["low"], line["high"], color=colour, alpha=0.18, lw=0)
    axes.set(xlabel=spec["x"], ylabel=spec["y"])
    axes.legend(fontsize=8, frameon=False)
    if spec.get("x_log"):
        places = sorted({value for line in spec["series"] for value in line["x"]})
        _logarithmic(axes, "x", places)
    if spec.get("y_log"):
        _logarithmic(axes, "y", [])


def _logarithmic(axes: Axes, which: Literal["x", "y"], places: Sequence[float]) -> None:
    """Plain numbers instead of powers; at the points themselves where they are few."""
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    if 0 < len(places) <= TICKS:
        axis.set_major_locator(FixedLocator(list(places)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(lambda value, _: number(value))
        return
    for set_formatter in (axis.set_major_formatter, axis.set_minor_formatter):
        set_formatter(lambda value, _: roundnumber(value))


def roundnumber(value: float) -> str:
    """A tick's label if it is 1, 2 or 5 times a power of ten, else nothing.

    Examples
    --------
    >>> roundnumber(0.02), roundnumber(300.0), roundnumber(5000.0)
    ('0.02', '', '5,000')
    """
    first = f"{value:e}"[0]
    return number(value) if first in "125" and float(f"{value:.0e}") == value else ""


def number(value: float | None) -> str:
    """Three digits, never as a power of ten unless tiny.

    Examples
    --------
    >>> number(1434.2), number(0.12345), number(20000), number(None), number(2.4e-6)
    ('1,434', '0.123', '20,000', '–', '2.4e-06')
    """
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def describe(spec: Spec) -> str:
    """What the picture shows, for those who do not see it."""
    if spec.get("alt"):
        return str(spec["alt"])
    told = _bars_told(spec["bars"]) if spec["kind"] == "bars" else _lines_told(spec["series"])
    axes = spec["x"] if spec["kind"] == "bars" else f"{spec['y']} against {spec['x']}"
    return f"{spec['title']}: {axes}. {told}."


def _bars_told(bars: Mapping[str, float | None]) -> str:
    return "; ".join(f"{name} {number(value)}" for name, value in bars.items() if value is not None)


def _lines_told(series: Sequence[Spec]) -> str:
    return "; ".join(
        f"{line['name']} from {number(line['y'][0])} at {number(line['x'][0])} "
        f"to {number(line['y'][-1])} at {number(line['x'][-1])}"
        for line in series
    )


def write_pictures(record: Mapping[str, Any], folder: Path) -> list[tuple[str, str]]:
    """Write all pictures of a record; file names and alt texts, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, spec in enumerate(specs(record)):
        name = f"{record['name']}-{record['device']}-{number}.png"
        (folder / name).write_bytes(figure_png(draw(spec, own(record))))
        written.append((name, describe(spec)))
    return written
