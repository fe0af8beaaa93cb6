"""Extreme points: the outermost pixels of an object along each axis."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from limsup_widgets.data.weak.objects import Codes, checked_mask, objects


def extreme_points(
    mask: ArrayLike, foreground: Iterable[int] | None = None, seed: int = 0
) -> Codes:
    """Click the top, bottom, left and right of every object (in 3D also front and back).

    The clicks belong to the object, and they fix its tight box: together they justify
    ``np.maximum(box_labels(mask), extreme_points(mask))``.

    Parameters
    ----------
    mask
        (H, W) or (D, H, W) codes 0…K.
    foreground
        Codes that count as objects; every code above 1 if not given.
    seed
        Seed of the choice among pixels that lie equally far out.

    Returns
    -------
    ndarray
        uint8 of the mask's shape: the code at a click, 0 elsewhere; up to 2 N clicks per object
        for N axes, fewer where one pixel is extreme twice.

    Examples
    --------
    >>> cross = np.array([[1, 2, 1], [2, 2, 2], [1, 2, 1]])
    >>> extreme_points(cross).tolist()
    [[0, 2, 0], [2, 0, 2], [0, 2, 0]]
    """
    codes = checked_mask(mask)
    clicks = np.zeros_like(codes)
    rng = np.random.default_rng(seed)
    for code, where in objects(codes, foreground):
        pixels = np.argwhere(where)
        for along in pixels.T:
            for end in (along.min(), along.max()):
                clicks[tuple(rng.choice(pixels[along == end]))] = code
    return clicks
