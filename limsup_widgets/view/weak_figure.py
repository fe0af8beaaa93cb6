"""One image, its mask, and every weak label made from it, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limsup_widgets.data.weak import (
    SYNTHETIC,
    box_labels,
    boxes,
    extreme_points,
    image_tags,
    points,
    region_sizes,
    scribbles,
)
from limsup_widgets.data.weak.objects import BACKGROUND, checked_mask
from limsup_widgets.view.figures import as_rgb, overlay
from limsup_widgets.view.palette import class_palette, css, ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def weak_label_sheet(
    image: ArrayLike,
    mask: ArrayLike,
    names: tuple[str, ...] | None = None,
    seed: int = 0,
) -> Figure:
    """Draw eight panels: dense mask, scribbles, points, extreme points, boxes, sizes, tags, image.

    Pixels that stay grey carry no label. Each title states the seconds of the default cost.

    Parameters
    ----------
    image
        (H, W) or (H, W, C), as ``figures.as_rgb`` takes it.
    mask
        (H, W) codes 1…K, 1 the background.
    names
        K names; "class 1" and so on by default.
    seed
        Seed of the labels.

    Examples
    --------
    >>> mask = np.ones((32, 32), int)
    >>> mask[8:24, 10:22] = 2
    >>> len(weak_label_sheet(mask / 2.0, mask).axes)
    8
    """
    from matplotlib.figure import Figure

    codes = checked_mask(mask, ndims=(2,))
    classes = max(2, int(codes.max(initial=0)))
    names = names or tuple(f"class {code}" for code in range(1, classes + 1))
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    axes = figure.subplots(2, 4).ravel()
    marks = _spread(extreme_points(codes, seed=seed))
    panels = {
        "dense": codes,
        "scribble": scribbles(codes, seed=seed),
        "point": _spread(points(codes, seed=seed)),
        "extreme": marks,
        "box": box_labels(codes),
    }
    for axis, (kind, labels) in zip(axes, panels.items(), strict=False):
        axis.imshow(_laid(image, labels, classes))
        axis.set_title(f"{kind}: {SYNTHETIC.of(kind):g} s", fontsize=11)  # type: ignore[arg-type]
    _rectangles(axes[4], codes, classes)
    _sentences(axes[5], "size", _sizes(codes, classes, names, seed), image)
    _sentences(axes[6], "tag", _tags(codes, classes, names), image)
    axes[7].imshow(as_rgb(np.asarray(image)))
    axes[7].set_title("image: 0 s", fontsize=11)
    for axis in axes:
        axis.set_axis_off()
    return figure


def _laid(image: ArrayLike, labels: NDArray[np.uint8], classes: int) -> NDArray[np.uint8]:
    return overlay(np.asarray(image), labels, class_palette(classes), alpha=0.65)


def _spread(clicks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Paint each click as a small square: one pixel is hard to see."""
    reach = max(1, min(clicks.shape) // 40)
    seen = np.zeros_like(clicks)
    for y, x in np.argwhere(clicks > 0).tolist():
        spot = slice(max(0, y - reach), y + reach + 1), slice(max(0, x - reach), x + reach + 1)
        seen[spot] = clicks[y, x]
    return seen


def _rectangles(axis: Axes, codes: NDArray[np.uint8], classes: int) -> None:
    from matplotlib.patches import Rectangle

    palette = class_palette(classes)
    for code, y0, x0, y1, x1 in boxes(codes).tolist():
        corner, colour = (x0 - 0.5, y0 - 0.5), css(palette[code - 1])
        axis.add_patch(Rectangle(corner, x1 - x0, y1 - y0, fill=False, edgecolor=colour, lw=2))


def _sizes(
    codes: NDArray[np.uint8], classes: int, names: tuple[str, ...], seed: int
) -> list[tuple[str, int]]:
    bounds = region_sizes(codes, classes, "bounds", seed=seed)
    return [
        (f"{names[code - 1]}\n{100 * low:.1f} to {100 * high:.1f} %", code)
        for code, (low, high) in enumerate(bounds.tolist(), start=1)
        if code != BACKGROUND
    ]


def _tags(codes: NDArray[np.uint8], classes: int, names: tuple[str, ...]) -> list[tuple[str, int]]:
    tags = image_tags(codes, classes).tolist()
    return [
        (f"{names[code - 1]}: {'yes' if there else 'no'}", code)
        for code, there in enumerate(tags, start=1)
        if code != BACKGROUND
    ]


def _sentences(axis: Axes, kind: str, lines: list[tuple[str, int]], image: ArrayLike) -> None:
    """The image, faded, with what the label says written on it, one line per class."""
    faded = (0.5 * as_rgb(np.asarray(image)) + 127).astype(np.uint8)
    axis.imshow(faded)
    axis.set_title(f"{kind}: {getattr(SYNTHETIC, kind):g} s", fontsize=11)
    palette = class_palette(max(code for _, code in lines))
    for place, (line, code) in enumerate(lines, start=1):
        colour = palette[code - 1]
        box = {"facecolor": css(colour), "edgecolor": "none", "boxstyle": "round"}
        axis.text(
            0.5,
            1 - place / (len(lines) + 1),
            line,
            transform=axis.transAxes,
            ha="center",
            va="center",
            color=ink(colour),
            fontsize=10,
            bbox=box,
        )
