"""The supervision dial: what minutes buy, seen on an image and as Dice against time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from limsup_widgets.data.supervision import Supervision, supervise
from limsup_widgets.data.weak import BACKGROUND
from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.curves import Curve, Rows, curve, levels, select
from limsup_widgets.view.chapter_widget import ChapterWidget, Choice
from limsup_widgets.view.figures import overlay
from limsup_widgets.view.palette import class_palette, css

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DIALS = ("kind", "minutes", "unlabelled", "noise")
PLACE = ("kind", "unlabelled", "noise")
LABELS = {
    "kind": "Kind of label",
    "minutes": "Minutes of an annotator",
    "unlabelled": "Unlabelled images",
    "noise": "Label noise (0…1)",
}
MARKS = "osD^vPX*"
CEILING = "#3c3c3c"


def draw_curves(axes: Axes, curves: Sequence[Curve], ceiling: Curve | None = None) -> None:
    """Mean and interval against minutes, each curve with its own colour and mark."""
    colours = class_palette(max(1, len(curves)))
    for k, one in enumerate(curves):
        style: dict[str, Any] = {"color": css(colours[k]), "marker": MARKS[k % len(MARKS)], "ms": 5}
        # A little apart, so that intervals at the same budget do not hide each other.
        x = one.x * 1.05 ** (k - (len(curves) - 1) / 2)
        spread = [one.mean - one.low, one.high - one.mean]
        axes.errorbar(x, one.mean, spread, label=one.name, lw=1.2, capsize=2, **style)
    if ceiling is not None and len(ceiling.x):
        axes.plot(ceiling.x, ceiling.mean, "--", color=CEILING, lw=1.2, label=ceiling.name)
    axes.set(xlabel="minutes of an annotator", ylabel="Dice", xscale="log", ylim=(0, 1))
    ticks = sorted({float(x) for one in curves for x in one.x})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)


def dial_figure(
    images: NDArray[np.floating],
    masks: NDArray[np.integer],
    rows: Rows,
    methods: Sequence[str],
    kind: str,
    minutes: float,
    unlabelled: int,
    noise: float,
) -> Figure:
    """Draw one position of the dial.

    Parameters
    ----------
    images, masks
        ``(N, 1, H, W)`` and codes ``(N, H, W)``: the set that the minutes are spent on.
    rows
        Of a stored study, with entries method, kind, minutes, unlabelled, noise and dice.
    methods
        Curves to draw, those that the study has at this position.
    kind, minutes, unlabelled, noise
        The dial; see :func:`~limsup_widgets.data.supervision.supervise`.
    """
    seen = _supervised(masks, kind, minutes, unlabelled, noise)
    figure = Figure(figsize=(7.6, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.6])
    _draw_label(left, images, masks, seen)
    curves = curves_at(rows, methods, kind, unlabelled, noise)
    draw_curves(right, curves, _ceiling(rows, kind))
    right.axvline(minutes, color=CEILING, lw=0.8, ls=":")
    right.set_title(f"{unlabelled} unlabelled images, label noise {noise:g}", fontsize=9)
    if curves:
        handles = right.get_legend_handles_labels()
        figure.legend(*handles, fontsize=7.5, ncols=3, loc="outside lower right")
    else:
        right.text(0.5, 0.5, "not in the stored study", ha="center", transform=right.transAxes)
    return figure


def curves_at(
    rows: Rows, methods: Sequence[str], kind: str, unlabelled: int, noise: float
) -> list[Curve]:
    """Curves of the methods that the study has for this kind, pool and noise."""
    where = {"kind": kind, "unlabelled": unlabelled, "noise": noise}
    made = []
    for name in methods:
        # A method without a term never looks at the pool, so its rows serve for any pool.
        found = select(rows, method=name, **where) or select(
            rows, method=name, kind=kind, noise=noise, unlabelled=0
        )
        if found:
            made.append(curve(found, name))
    return made


def describe_dial(
    masks: NDArray[np.integer],
    rows: Rows,
    methods: Sequence[str],
    kind: str,
    minutes: float,
    unlabelled: int,
    noise: float,
) -> str:
    """Alt text of :func:`dial_figure`."""
    seen = _supervised(masks, kind, minutes, unlabelled, noise)
    told = [
        f"{one.name} {one.mean[-1]:.2f}"
        for one in curves_at(rows, methods, kind, unlabelled, noise)
    ]
    count = "no image" if seen is None else f"{len(seen.labelled)} images"
    bought = f"{minutes:g} minutes buy {count}"
    most = f"Dice at the largest budget: {', '.join(told)}" if told else "no stored result"
    return f"Kind {kind}: {bought}, {unlabelled} unlabelled, noise {noise:g}. {most}."


def supervision_dial(
    images: NDArray[np.floating],
    masks: NDArray[np.integer],
    rows: Rows,
    methods: Sequence[str],
    kind: str | None = None,
) -> ChapterWidget:
    """The dial as a widget; the positions are those of the stored study.

    Parameters
    ----------
    images, masks, rows, methods
        As for :func:`dial_figure`.
    kind
        Where the dial starts; the first kind that the methods have if not given.

    Raises
    ------
    LimsupError
        If the study has none of the methods.

    Examples
    --------
    >>> from limsup_widgets.data.blobs import blobs
    >>> toy = blobs(30)
    >>> position = {"kind": ("point", "scribble"), "minutes": (2, 8), "unlabelled": (0, 24)}
    >>> rows = [
    ...     {"method": "plain", "kind": k, "minutes": m, "unlabelled": u, "noise": n, "dice": 0.7}
    ...     for k in position["kind"] for m in position["minutes"]
    ...     for u in position["unlabelled"] for n in (0.0, 0.2)
    ... ]
    >>> supervision_dial(toy.images, toy.masks, rows, ["plain"]).drive()
    ['kind', 'minutes', 'unlabelled', 'noise']
    """
    own = [row for row in rows if row.get("method") in methods]
    if not own:
        known = ", ".join(map(str, levels(rows, "method")))
        raise LimsupError("methods of the dial", got=list(methods), expected=known)
    options = {name: levels(own, name) for name in DIALS}
    start = {name: values[0] for name, values in options.items()}
    # With the pool, since most methods are there to use it, and studies vary the rest around it.
    start |= {"kind": kind or start["kind"], "unlabelled": options["unlabelled"][-1]}
    controls = {
        name: Choice(LABELS[name], values, start[name])
        for name, values in options.items()
        if len(values) > 1
    }
    fixed = {name: values[0] for name, values in options.items() if len(values) == 1}
    return ChapterWidget(
        partial(dial_figure, images, masks, rows, methods, **fixed),
        controls,
        [{k: state[k] for k in controls} for state in _sheet(rows, methods, options, start)],
        partial(describe_dial, masks, rows, methods, **fixed),
    )


def _sheet(
    rows: Rows,
    methods: Sequence[str],
    options: Mapping[str, Sequence[Any]],
    start: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Four positions that the study has: the start, the largest budget, turns of other dials."""
    full = {**start, "minutes": options["minutes"][-1]}
    turned = [
        {**full, name: value}
        for name in ("noise", "kind", "unlabelled")
        for value in options[name]
        if value != full[name]
    ]
    between = [{**start, "minutes": minutes} for minutes in options["minutes"][1:-1]]
    states = [dict(start), full, *turned, *between]
    drawn = [s for s in states if curves_at(rows, methods, *(s[k] for k in PLACE))]
    # A study with few positions shows them again.
    return (drawn * 4)[:4]


def _supervised(
    masks: NDArray[np.integer], kind: str, minutes: float, unlabelled: int, noise: float
) -> Supervision | None:
    """What is bought, or None if the minutes pay for nothing."""
    try:
        return supervise(masks, kind, minutes, unlabelled, noise)
    except LimsupError:
        return None


def _draw_label(
    axes: Axes,
    images: NDArray[np.floating],
    masks: NDArray[np.integer],
    seen: Supervision | None,
) -> None:
    """The first annotated image that holds an object, under the labels it got."""
    axes.axis("off")
    if seen is None:
        axes.text(0.5, 0.5, "these minutes\nbuy no image", ha="center", va="center")
        return
    holds = [i for i in seen.labelled if (masks[i] != BACKGROUND).any()]
    i = holds[0] if holds else seen.labelled[0]
    picture = overlay(images[i, 0], seen.labels[i], class_palette(int(masks.max())), alpha=0.7)
    axes.imshow(picture, interpolation="nearest")
    for box in () if seen.boxes[i] is None else seen.boxes[i]:
        y0, x0, y1, x1 = box[1:]
        axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color="white", lw=1.5)
    share = seen.share if (seen.labels > 0).any() else 0.0
    bought = f"{len(seen.labelled)} images of {len(masks)}"
    axes.set_title(f"{bought}\n{share:.1%} of their pixels labelled", fontsize=9)


def _ceiling(rows: Rows, kind: str) -> Curve | None:
    if kind == "dense":
        return None
    found = select(rows, method="full supervision", noise=0.0)
    return curve(found, "full supervision, same minutes") if found else None
