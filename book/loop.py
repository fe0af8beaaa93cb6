"""The picture of the loop on the first page: ``python book/loop.py`` writes ``_static/loop.png``.

One patient of the simulated cohort, strokes on image 0, everything shown on image 7, which nobody
scribbles. Same numbers, same picture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Patch

from limsup_widgets import Session, annotate, kidney_cohort
from limsup_widgets.data.kidney import CLASSES, Subject
from limsup_widgets.learn.metrics import mean_dice
from limsup_widgets.teach.pictures import figure_png
from limsup_widgets.view.figures import difference, overlay, uncertainty_rgb
from limsup_widgets.view.palette import class_palette

TARGET = Path(__file__).parent / "_static" / "loop.png"
PATIENT, SCRIBBLED, SHOWN = "p18", 0, 7
DPI = 130
INK, QUIET = "#222222", "#666666"


def pictures(subject: Subject) -> list[tuple[str, str, np.ndarray]]:
    """Title, line below and RGB (H, W, 3) of each step."""
    shown = [SCRIBBLED, *subject.test]
    truths = [subject.truth(i) for i in shown]
    session = Session([subject.image(i) for i in shown], CLASSES, truths=truths)
    strokes = annotate(truths[0], strokes_per_class=3)
    for stroke in strokes:
        session.add_stroke(stroke)
    session.tune(progress=False)
    image, change = subject.image(SHOWN), session.compare(1)
    after = mean_dice(session.dice([1, 2, 3]))
    session.toggle_previous()
    before = mean_dice(session.dice([1, 2, 3]))
    session.toggle_previous()
    seconds = sum(stroke.seconds for stroke in strokes)
    return [
        (
            "scribble",
            f"{len(strokes)} strokes, about {seconds:.0f} s, on one image",
            overlay(subject.image(SCRIBBLED), session.labels(0), alpha=1.0),
        ),
        ("before", f"on images without a stroke: Dice {before:.2f}", overlay(image, change.before)),
        ("after tuning", f"on the same images: Dice {after:.2f}", overlay(image, change.after)),
        (
            "what changed",
            f"{change.fraction:.0%} of the pixels",
            difference(image, change.before, change.after),
        ),
        (
            "where unsure",
            "bright: a stroke there is worth most",
            uncertainty_rgb(session.uncertainty(1)),
        ),
    ]


def draw(steps: list[tuple[str, str, np.ndarray]]) -> Figure:
    """Five pictures in a row, and the way back from the last to the first."""
    figure = Figure(figsize=(12.4, 2.75), facecolor="white")
    axes = figure.subplots(1, len(steps))
    figure.subplots_adjust(left=0.005, right=0.995, top=0.88, bottom=0.27, wspace=0.06)
    for number, (axis, (title, line, picture)) in enumerate(zip(axes, steps, strict=True), start=1):
        axis.imshow(picture, interpolation="lanczos")
        axis.set_title(f"{number}  {title}", fontsize=11, color=INK, loc="left", pad=5)
        axis.text(0, -0.05, line, transform=axis.transAxes, va="top", fontsize=8.5, color=QUIET)
        axis.set_axis_off()
    _way_back(figure, axes[-1], axes[0])
    _legend(figure)
    return figure


def _way_back(figure: Figure, last: Axes, first: Axes) -> None:
    arrow = ConnectionPatch(
        xyA=(0.5, -0.2),
        coordsA=last.transAxes,
        xyB=(0.5, -0.2),
        coordsB=first.transAxes,
        arrowstyle="-|>,head_width=0.4,head_length=0.7",
        connectionstyle="bar,armA=0,armB=0,fraction=-0.012",
        color=QUIET,
        linewidth=1,
        mutation_scale=14,
    )
    figure.add_artist(arrow)


def _legend(figure: Figure) -> None:
    patches = [
        Patch(facecolor=colour / 255, edgecolor="0.4", linewidth=0.5, label=name)
        for name, colour in zip(CLASSES, class_palette(len(CLASSES)), strict=True)
    ]
    figure.legend(handles=patches, loc="lower center", ncols=4, frameon=False, fontsize=8.5)


def main() -> None:
    """Write the picture."""
    subject = kidney_cohort().subject(PATIENT)
    TARGET.write_bytes(figure_png(draw(pictures(subject)), dpi=DPI))
    print(f"{TARGET.name}: {TARGET.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
