"""Scribbles: a few brush strokes per class, anywhere, in the core or along the rim."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limsup_widgets.data.annotators import Style, annotate
from limsup_widgets.data.strokes import Stroke
from limsup_widgets.data.weak.objects import Codes, checked_mask, depth_inside
from limsup_widgets.errors import LimsupError

Placement = Literal["anywhere", "centre", "border"]
PLACEMENTS: tuple[Placement, ...] = get_args(Placement)
CORE = 0.6
"""The core of a class: at least this share of its greatest depth."""
RIM = 3.0
"""The rim of a class: at most so many pixels deep."""


def scribbles(
    mask: ArrayLike,
    strokes: int = 2,
    length: int = 18,
    placement: Placement = "anywhere",
    width: float = 3.0,
    fraction: float = 1.0,
    pixels: int | None = None,
    seed: int = 0,
) -> Codes:
    """Draw strokes into every class that stay inside it, a volume plane by plane.

    The strokes are those of :func:`limsup_widgets.data.annotators.annotate` with a careful hand:
    along the middle of a class, 2 pixels from other classes where there is room.

    Parameters
    ----------
    mask
        (H, W) or (D, H, W) codes 0…K; pixels with 0 are left alone, so a mask thinned by
        ``sparse_slices`` is scribbled on its planes only.
    strokes
        Most strokes per class and plane.
    length
        Longest stroke in pixels; strokes are half as long to as long as that.
    placement
        ``"anywhere"``; ``"centre"``: at least 0.6 of the class's greatest depth, in each plane;
        ``"border"``: at most 3 pixels deep, with a brush of 1 pixel.
    width
        Diameter of the brush in pixels, 1…3; 1 where a place is narrow.
    fraction
        Share of the strokes kept per class and plane, rounded up.
    pixels
        Keep at most so many pixels per class and plane: whole strokes, the last one cut short.
        Equal numbers make placements comparable.
    seed
        Seed of the strokes.

    Returns
    -------
    ndarray
        uint8 of the mask's shape: the code under a stroke, 0 elsewhere.

    Raises
    ------
    LimsupError
        If the placement is unknown, or a number out of its range.

    Examples
    --------
    >>> mask = np.ones((40, 40), int)
    >>> mask[8:32, 8:32] = 2
    >>> drawn = scribbles(mask, pixels=12)
    >>> np.bincount(drawn.ravel())[1:].tolist(), bool((drawn == mask)[drawn > 0].all())
    ([12, 12], True)
    """
    codes = checked_mask(mask)
    if placement not in PLACEMENTS:
        raise LimsupError("placement", got=repr(placement), expected=" or ".join(PLACEMENTS))
    if min(strokes, length) < 1 or not 1 <= width <= 3:
        got = f"strokes={strokes}, length={length}, width={width}"
        raise LimsupError("scribble", got=got, expected="strokes, length ≥ 1, width 1…3")
    style = _hand(strokes, length, width, placement)
    labels = np.zeros_like(codes)
    planes = codes[None] if codes.ndim == 2 else codes
    drawn = labels[None] if codes.ndim == 2 else labels
    for z, plane in enumerate(planes):
        for stroke in annotate(_ground(plane, placement), style, fraction, seed, image=z):
            _paint(stroke, drawn[z], pixels)
    return labels


def _hand(strokes: int, length: int, width: float, placement: Placement) -> Style:
    if placement == "border":
        return Style({}, {}, other_classes=(strokes, length), width=1.0, margin=1.0)
    return Style({}, {}, other_classes=(strokes, length), width=width)


def _ground(codes: Codes, placement: Placement) -> Codes:
    """The codes (H, W) where strokes may lie, 0 elsewhere."""
    if placement == "anywhere":
        return codes
    ground = np.zeros_like(codes)
    for code in np.unique(codes[codes > 0]):
        depth = depth_inside(codes == code)
        core = depth >= max(CORE * depth.max(), 1.0)
        rim = (depth > 0) & (depth <= RIM)
        ground[core if placement == "centre" else rim] = code
    return ground


def _paint(stroke: Stroke, labels: NDArray[np.uint8], pixels: int | None) -> None:
    """Apply a stroke to labels (H, W), at most up to ``pixels`` of its class."""
    code = stroke.runs[0][3] if stroke.runs else 0
    before = labels.copy()
    stroke.apply(labels)
    if pixels is None:
        return
    fresh = np.argwhere((labels == code) & (before != code))
    room = max(0, pixels - int((before == code).sum()))
    # From one end on: pixels in the order of their distance from the first.
    far = np.argsort(((fresh - fresh[:1]) ** 2).sum(1), kind="stable")[room:]
    labels[tuple(fresh[far].T)] = 0
