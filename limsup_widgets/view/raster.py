"""From the path of a pointer to the pixels of a stroke."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

HALF = 0.5
"""Thinnest brush, in pixels: its path is one pixel wide and has no gaps."""


def stroke_pixels(
    points: Sequence[tuple[float, float]] | NDArray, radius: float, shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Pixels whose centre lies within `radius` of a drawn path.

    Parameters
    ----------
    points
        (n, 2) corners of the path as (y, x) in pixels, pixel centres at whole numbers. They may
        lie outside the image.
    radius
        Of the round brush, in pixels; raised to `HALF` if smaller.
    shape
        (H, W) of the image.

    Returns
    -------
    ndarray
        Flat C-order indices (m,), ascending, each once; empty if the path stays outside.

    Examples
    --------
    >>> stroke_pixels([(0, 0), (0, 3)], 0, (2, 5)).tolist()
    [0, 1, 2, 3]
    """
    path = np.asarray(points, dtype=float).reshape(-1, 2)
    radius = max(float(radius), HALF)
    drawn = np.zeros(shape, dtype=bool)
    if len(path) == 1:
        path = path.repeat(2, axis=0)
    for start, end in pairwise(path):
        low = np.maximum(np.floor(np.minimum(start, end) - radius), 0).astype(int)
        high = np.minimum(np.ceil(np.maximum(start, end) + radius) + 1, shape).astype(int)
        if (low < high).all():
            box = slice(low[0], high[0]), slice(low[1], high[1])
            drawn[box] |= _near_segment(start - low, end - low, radius, drawn[box].shape)
    return np.flatnonzero(drawn)


def _near_segment(
    start: NDArray, end: NDArray, radius: float, shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Where a pixel centre lies within `radius` of the segment from `start` to `end`."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    along = end - start
    length2 = float(along @ along)
    y, x = rows - start[0], columns - start[1]
    place = np.clip((y * along[0] + x * along[1]) / length2, 0, 1) if length2 else 0.0
    # The small surplus keeps a thin diagonal free of holes against rounding.
    return (y - place * along[0]) ** 2 + (x - place * along[1]) ** 2 <= radius**2 + 1e-9
