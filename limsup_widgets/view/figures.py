"""Pictures as pure functions: arrays in, uint8 RGB (H, W, 3) or a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.segmentation import find_boundaries

from limsup_widgets.data.image import Image
from limsup_widgets.data.intensity import scale_intensity
from limsup_widgets.errors import LimsupError
from limsup_widgets.view.palette import class_palette, colour_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RGB = NDArray[np.uint8]
UNCERTAINTY_MAP = "cividis"
"""Dark blue to yellow with even lightness; made to look alike with and without red-green vision."""


def as_rgb(image: Image | NDArray) -> RGB:
    """Show any image as RGB.

    Parameters
    ----------
    image
        An `Image` or its array: (H, W), or (H, W, C) of which three channels are shown (a single
        one as grey); uint8, or real numbers scaled as `scale_intensity` does. One that stays on the
        disk is shown in small.

    Returns
    -------
    ndarray
        uint8 (H, W, 3).

    Examples
    --------
    >>> as_rgb(np.array([[0.0, 1.0]])).tolist()
    [[[0, 0, 0], [255, 255, 255]]]
    """
    array = _pixels(image) if isinstance(image, Image) else np.asarray(image)
    if array.ndim not in (2, 3):
        raise LimsupError("picture", got=f"shape {array.shape}", expected="(H, W) or (H, W, C)")
    scaled, _ = scale_intensity(array)
    if scaled.dtype != np.uint8:
        scaled = np.rint(scaled * 255).astype(np.uint8)
    if scaled.ndim == 2:
        scaled = scaled[..., None]
    channels = [min(channel, scaled.shape[-1] - 1) for channel in range(3)]
    return np.ascontiguousarray(scaled[..., channels])


def _pixels(image: Image) -> NDArray:
    return image.overview() if image.is_lazy else image.array


def _colours(codes: NDArray, palette: ArrayLike | None) -> tuple[NDArray, NDArray[np.uint8]]:
    """Check codes against the palette; return codes as integers and the table (K + 1, 3)."""
    codes = np.asarray(codes)
    top = int(codes.max(initial=0))
    table = colour_table(class_palette(max(top, 1)) if palette is None else palette)
    if top >= len(table) or codes.min(initial=0) < 0:
        raise LimsupError("class code", got=top, expected=f"0…{len(table) - 1}")
    return codes.astype(np.intp), table


def overlay(
    image: Image | NDArray, codes: NDArray, palette: ArrayLike | None = None, alpha: float = 0.45
) -> RGB:
    """Lay the colour of each pixel's class over the image.

    Parameters
    ----------
    image
        As for `as_rgb`.
    codes
        (H, W), 0 (left as it is) and 1…K.
    palette
        (K, 3) colours; `class_palette` by default.
    alpha
        0 shows the image alone, 1 the colours alone.

    Examples
    --------
    >>> overlay(np.zeros((1, 2), np.uint8), np.array([[0, 1]]), alpha=1.0).tolist()
    [[[0, 0, 0], [213, 94, 0]]]
    """
    rgb = as_rgb(image)
    codes, table = _colours(codes, palette)
    _same_size(rgb, codes)
    mixed = np.rint((1 - alpha) * rgb + alpha * table[codes]).astype(np.uint8)
    return np.where(codes[..., None] > 0, mixed, rgb)


def outline(image: Image | NDArray, codes: NDArray, palette: ArrayLike | None = None) -> RGB:
    """Draw the inner edge of each region in the colour of its class; the inside stays visible.

    Parameters as for `overlay`.
    """
    codes = np.asarray(codes)
    edges = find_boundaries(codes, mode="inner") if codes.size else np.zeros(codes.shape, bool)
    return overlay(image, np.where(edges, codes, 0), palette, alpha=1.0)


def difference(
    image: Image | NDArray, before: NDArray, after: NDArray, palette: ArrayLike | None = None
) -> RGB:
    """Show only what changed: changed pixels in their new colour on the faded grey image.

    Parameters
    ----------
    image, palette
        As for `overlay`.
    before, after
        Codes (H, W) of two predictions.
    """
    _same_size(np.asarray(before), np.asarray(after))
    grey = as_rgb(image).mean(axis=-1, keepdims=True)
    faded = np.rint(0.45 * grey + 0.55 * 255).astype(np.uint8).repeat(3, axis=-1)
    changed = np.asarray(before) != np.asarray(after)
    codes, table = _colours(np.asarray(after), palette)
    _same_size(faded, codes)
    return np.where(changed[..., None], table[codes], faded)


def uncertainty_rgb(values: NDArray, vmax: float | None = None) -> RGB:
    """Colour a map of uncertainty.

    Parameters
    ----------
    values
        (H, W) ≥ 0. Not-a-number (nothing computed there) becomes grey.
    vmax
        Value of the brightest colour; the map's largest by default. Give the same to pictures
        that are to be compared. A variance of class probabilities is at most 0.25.

    Examples
    --------
    >>> uncertainty_rgb(np.array([[0.0, 0.25]]), vmax=0.25).tolist()
    [[[0, 34, 77], [253, 231, 55]]]
    """
    import matplotlib

    values = np.asarray(values, dtype=float)
    known = np.isfinite(values)
    top = vmax if vmax is not None else float(values[known].max(initial=0))
    scaled = np.divide(np.where(known, values, 0), top) if top > 0 else np.zeros(values.shape)
    rgb = matplotlib.colormaps[UNCERTAINTY_MAP](np.clip(scaled, 0, 1), bytes=True)[..., :3]
    return np.where(known[..., None], rgb, np.uint8(128))


def _same_size(first: NDArray, second: NDArray) -> None:
    if first.shape[:2] != second.shape[:2]:
        raise LimsupError("picture", got=second.shape[:2], expected=first.shape[:2])


def figure_loop(
    image: Image | NDArray,
    scribbles: NDArray,
    before: NDArray,
    after: NDArray,
    classes: Sequence[str],
    *,
    uncertainty: NDArray | None = None,
    truth: NDArray | None = None,
    palette: ArrayLike | None = None,
    vmax: float | None = None,
    columns: int = 3,
) -> Figure:
    """Draw one round of the loop.

    Parameters
    ----------
    image
        As for `overlay`, H x W.
    scribbles, before, after
        Codes (H, W): strokes, prediction before and after tuning.
    classes
        Names of the classes 1…K.
    uncertainty
        (H, W), or None: no such picture.
    truth
        Codes (H, W), or None: no such picture.
    palette
        (K, 3) colours.
    vmax
        As for `uncertainty_rgb`.
    columns
        Pictures in a row.

    Returns
    -------
    matplotlib.figure.Figure
        Free of pyplot: nothing to close.
    """
    from matplotlib.figure import Figure

    colours = class_palette(len(classes)) if palette is None else np.asarray(palette)
    pictures = {
        "image and strokes": overlay(image, scribbles, colours, alpha=1.0),
        "before": overlay(image, before, colours),
        "after": overlay(image, after, colours),
        "what changed": difference(image, before, after, colours),
    }
    if truth is not None:
        pictures["truth"] = overlay(image, truth, colours)
    if uncertainty is not None:
        pictures["uncertainty"] = uncertainty_rgb(uncertainty, vmax)
    height, width = np.shape(scribbles)
    rows = -(-len(pictures) // columns)
    size = (3.4 * columns, rows * (3.4 * height / width + 0.3) + 0.35)
    figure = Figure(figsize=size, layout="constrained", dpi=110)
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axis, (title, picture) in zip(axes, pictures.items(), strict=False):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(title, fontsize=10)
    for axis in axes:
        axis.set_axis_off()
    if uncertainty is not None:
        _colour_bar(axes[len(pictures) - 1], uncertainty, vmax)
    _legend(figure, classes, colours)
    return figure


def _colour_bar(axis: Axes, values: NDArray, vmax: float | None) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    top = float(np.nanmax(values)) if vmax is None else vmax
    scale = ScalarMappable(Normalize(0, top), UNCERTAINTY_MAP)
    inset = axis.inset_axes((0.03, 0.05, 0.45, 0.035))
    bar = axis.figure.colorbar(scale, cax=inset, orientation="horizontal", ticks=[0, top])
    bar.ax.set_xticklabels(["0", f"{top:.2g}"], color="white", fontsize=7)
    bar.ax.xaxis.set_ticks_position("top")
    bar.ax.tick_params(length=0, pad=1)
    bar.outline.set_edgecolor("white")


def _legend(figure: Figure, classes: Sequence[str], colours: NDArray) -> None:
    from matplotlib.patches import Patch

    patches = [
        Patch(facecolor=colour / 255.0, edgecolor="0.3", linewidth=0.5, label=name)
        for name, colour in zip(classes, colours, strict=True)
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
