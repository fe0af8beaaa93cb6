"""Pictures of a record, and what they show in words. The record is all that they know.

Every record gives a bar chart of its seconds; further ones stand in ``figures``:

- ``bars``: ``{"kind": "bars", "title", "x": "seconds", "bars": {name: number}}``, where wanted
  ``"spread": {name: [low, high]}``
- ``lines``: ``{"kind": "lines", "title", "x", "y", "series": [{"name", "x": [], "y": []}]}``, where
  wanted ``"low"`` and ``"high"`` of a series, and ``"x_log"``, ``"y_log"``

A spec may bring its own ``"alt"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limsup_widgets.teach.pictures import figure_png
from limsup_widgets.view.palette import class_palette, css

Spec = Mapping[str, Any]
MARKERS, DASHES = "os^Dvp*x", ("-", "--", "-.", ":")
OURS, OTHERS = (css(colour) for colour in class_palette(2))


def specs(record: Mapping[str, Any]) -> list[Spec]:
    """The bar chart of seconds, if there is more than ours, and the record's own figures."""
    bars = {**record.get("peers", {}), own(record): record["ours_s"]}
    seconds = {
        "kind": "bars",
        "title": record["title"],
        "x": "seconds, median and range over the rounds",
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
            f"{value:.3g}", (max(value, high), row), (4, 0), textcoords="offset points", va="center"
        )
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.set_xlabel(spec["x"])


def _lines(axes: Axes, spec: Spec, ours: str) -> None:
    palette = class_palette(max(2, len(spec["series"]) + 1))
    for number, line in enumerate(spec["series"]):
        colour = OURS if line["name"] == ours else css(palette[number + 1])
        style = MARKERS[number % len(MARKERS)] + DASHES[number % len(DASHES)]
        axes.plot(line["x"], line["y"], style, color=colour, label=line["name"], ms=5)
        if "low" in line:
            axes.fill_between(line["x"], line["low"], line["high"], color=colour, alpha=0.18, lw=0)
    axes.set_xscale("log" if spec.get("x_log") else "linear")
    axes.set_yscale("log" if spec.get("y_log") else "linear")
    axes.set(xlabel=spec["x"], ylabel=spec["y"])
    axes.legend(fontsize=8, frameon=False)


def describe(spec: Spec) -> str:
    """What the picture shows, for those who do not see it."""
    if spec.get("alt"):
        return str(spec["alt"])
    told = _bars_told(spec["bars"]) if spec["kind"] == "bars" else _lines_told(spec["series"])
    axes = spec["x"] if spec["kind"] == "bars" else f"{spec['y']} against {spec['x']}"
    return f"{spec['title']}: {axes}. {told}."


def _bars_told(bars: Mapping[str, float | None]) -> str:
    return "; ".join(f"{name} {value:.3g}" for name, value in bars.items() if value is not None)


def _lines_told(series: Sequence[Spec]) -> str:
    return "; ".join(
        f"{line['name']} from {_number(line['y'][0])} at {_number(line['x'][0])} "
        f"to {_number(line['y'][-1])} at {_number(line['x'][-1])}"
        for line in series
    )


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.3g}"


def write_pictures(record: Mapping[str, Any], folder: Path) -> list[tuple[str, str]]:
    """Write all pictures of a record; file names and alt texts, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, spec in enumerate(specs(record)):
        name = f"{record['name']}-{record['device']}-{number}.png"
        (folder / name).write_bytes(figure_png(draw(spec, own(record))))
        written.append((name, describe(spec)))
    return written
