"""Points: one pixel, or a few, inside each object."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limsup_widgets.data.weak.objects import (
    BACKGROUND,
    Codes,
    checked_mask,
    depth_inside,
    foreground_codes,
    objects,
)
from limsup_widgets.errors import LimsupError

INTERIOR = 2.0
"""From this depth on, in pixels, a pixel is inside and not on the rim."""


def points(
    mask: ArrayLike,
    per_object: int = 1,
    background: int = 5,
    foreground: Iterable[int] | None = None,
    seed: int = 0,
) -> Codes:
    """Click into every object, away from its rim where there is room.

    Parameters
    ----------
    mask
        (H, W) or (D, H, W) codes 0…K.
    per_object
        Clicks per object, fewer in an object of fewer pixels.
    background
        Clicks on random pixels of the background, code 1; none if 1 is among ``foreground``.
    foreground
        Codes that count as objects; every code above 1 if not given.
    seed
        Seed of the draws; those of one class do not depend on the other classes.

    Returns
    -------
    ndarray
        uint8 of the mask's shape: the code at a click, 0 elsewhere.

    Raises
    ------
    LimsupError
        If a number of clicks is negative.

    Examples
    --------
    >>> mask = np.ones((5, 6), int)
    >>> mask[:3, :3] = 2
    >>> mask[4, 5] = 3
    >>> clicks = points(mask, background=2)
    >>> int(clicks[1, 1]), int(clicks[4, 5]), np.bincount(clicks.ravel()).tolist()
    (2, 3, [26, 2, 1, 1])
    """
    if min(per_object, background) < 0:
        raise LimsupError("clicks", got=min(per_object, background), expected="0 or more")
    codes = checked_mask(mask)
    wanted = foreground_codes(codes, foreground)
    clicks = np.zeros_like(codes)
    for code in wanted:
        rng = np.random.default_rng([seed, code])
        depth = depth_inside(codes == code)
        for _, where in objects(codes, [code]):
            clicks.flat[_inside(where, depth, per_object, rng)] = code
    if BACKGROUND not in wanted:
        rng = np.random.default_rng([seed, BACKGROUND])
        free = np.flatnonzero(codes == BACKGROUND)
        clicks.flat[rng.permutation(free)[:background]] = BACKGROUND
    return clicks


def _inside(
    where: NDArray[np.bool_], depth: NDArray[np.float64], number: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Flat indices of ``number`` pixels of an object, those off the rim first."""
    pixels = rng.permutation(np.flatnonzero(where))
    on_rim = depth.flat[pixels] < min(INTERIOR, depth[where].max())
    return pixels[np.argsort(on_rim, kind="stable")][:number]
