"""Where to scribble next: places of much uncertainty that no stroke has explained yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.errors import LimsupError


@dataclass(frozen=True)
class Region:
    """A place worth looking at.

    Attributes
    ----------
    image
        Index of the image.
    y, x
        Its centre, in pixels.
    box
        ``(top, left, bottom, right)``, half-open, inside the image.
    score
        Summed uncertainty in the box that present strokes do not cover.
    """

    image: int
    y: int
    x: int
    box: tuple[int, int, int, int]
    score: float


def uncovered(uncertainty: NDArray[np.floating], labels: NDArray, reach: float) -> NDArray:
    """Uncertainty less what strokes cover: nothing within ``reach`` pixels, all from twice that.

    ``uncertainty`` and ``labels`` (codes, 0 = no stroke) are ``(H, W)``.
    """
    from scipy.ndimage import distance_transform_edt

    if not labels.any():
        return uncertainty.astype(np.float64)
    distance = distance_transform_edt(labels == 0)
    return uncertainty * np.clip(distance / reach - 1, 0, 1)


def find_regions(
    uncertainty: NDArray[np.floating],
    labels: NDArray[np.uint8],
    n: int = 5,
    size: int | None = None,
    image: int = 0,
) -> list[Region]:
    """The ``n`` best boxes to look at, the best first.

    The highest place of the smoothed uncertainty, then the highest one at least a box away, …

    Parameters
    ----------
    uncertainty
        ``(H, W)``, non-negative.
    labels
        Present scribbles ``(H, W)``; what lies within a quarter of a box of them is left out.
    n
        How many at most; fewer where little is left to explain.
    size
        Side of a box in pixels; by default a sixth of the image's shorter side, at least 16.
    image
        Index to write into the regions.

    Raises
    ------
    LimsupError
        Shapes that differ, or ``n`` or ``size`` below 1.

    Examples
    --------
    >>> unsure = np.zeros((40, 40))
    >>> unsure[30, 10] = 1
    >>> find_regions(unsure, np.zeros((40, 40), np.uint8), size=8)
    [Region(image=0, y=30, x=10, box=(26, 6, 34, 14), score=1.0)]
    """
    from scipy.ndimage import gaussian_filter

    if uncertainty.shape != labels.shape:
        raise LimsupError("scribbles", got=labels.shape, expected=uncertainty.shape)
    size = max(16, min(labels.shape) // 6) if size is None else size
    if n < 1 or size < 1:
        raise LimsupError("regions", got=f"n={n}, size={size}", expected="at least 1")
    side = min(size, *labels.shape)
    left = uncovered(uncertainty, labels, reach=max(1.0, side / 4))
    smooth = gaussian_filter(left, side / 4, mode="constant")
    found = [_region(left, y, x, side, image) for y, x in _peaks(smooth, n, side)]
    worth = [region for region in found if region.score > 0]
    return sorted(worth, key=lambda r: (-r.score, r.y, r.x))


def moved(region: Region, window: tuple[int, int, int, int]) -> Region:
    """A region of a window of an image, in pixels of the image."""
    top, left = window[:2]
    box = region.box
    place = (box[0] + top, box[1] + left, box[2] + top, box[3] + left)
    return replace(region, y=region.y + top, x=region.x + left, box=place)


def _peaks(smooth: NDArray, n: int, apart: int) -> Iterator[tuple[int, int]]:
    """Rows and columns of the ``n`` highest pixels that are ``apart`` from one another."""
    for _ in range(n):
        y, x = (int(c) for c in np.unravel_index(smooth.argmax(), smooth.shape))
        if smooth[y, x] <= 0:
            return
        yield y, x
        smooth[max(0, y - apart + 1) : y + apart, max(0, x - apart + 1) : x + apart] = 0


def _region(left: NDArray, y: int, x: int, side: int, image: int) -> Region:
    """The box around a peak, pushed inside the image."""
    top, start = (
        int(np.clip(centre - side // 2, 0, length - side))
        for centre, length in zip((y, x), left.shape, strict=True)
    )
    box = (top, start, top + side, start + side)
    score = float(left[top : top + side, start : start + side].sum())
    return Region(image, y, x, box, score)
