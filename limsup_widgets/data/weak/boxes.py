"""Bounding boxes: two corners per object. Outside is background, inside is unknown."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limsup_widgets.data.weak.objects import BACKGROUND, Codes, checked_mask, objects
from limsup_widgets.errors import LimsupError

Boxes = NDArray[np.int64]


def boxes(
    mask: ArrayLike,
    margin: int = 0,
    jitter: int = 0,
    foreground: Iterable[int] | None = None,
    seed: int = 0,
) -> Boxes:
    """One box per object.

    Parameters
    ----------
    mask
        (H, W) or (D, H, W) codes 0…K.
    margin
        Pixels by which every side lies outside the tight box.
    jitter
        Every side is moved by a random whole number in −jitter…jitter: an error, the box may then
        cut its object. A box keeps at least one pixel along each axis.
    foreground
        Codes that count as objects; every code above 1 if not given.
    seed
        Seed of the jitter.

    Returns
    -------
    ndarray
        int64 (n, 1 + 2 N) for N axes: code, first index along each axis, and the index **after**
        the last along each axis, as slices have it. Boxes stop at the image's edge.

    Raises
    ------
    LimsupError
        If ``margin`` or ``jitter`` is negative.

    Examples
    --------
    >>> mask = np.ones((6, 6), int)
    >>> mask[1:3, 2:5] = 2
    >>> boxes(mask).tolist(), boxes(mask, margin=2).tolist()
    ([[2, 1, 2, 3, 5]], [[2, 0, 0, 5, 6]])
    """
    if min(margin, jitter) < 0:
        raise LimsupError("margin of a box", got=min(margin, jitter), expected="0 or more")
    codes = checked_mask(mask)
    rng = np.random.default_rng(seed)
    shape = np.array(codes.shape)
    rows = np.zeros((0, 1 + 2 * codes.ndim), np.int64)
    for code, where in objects(codes, foreground):
        pixels = np.argwhere(where)
        moves = rng.integers(-jitter, jitter + 1, (2, codes.ndim))
        start = np.clip(pixels.min(0) - margin + moves[0], 0, shape - 1)
        stop = np.clip(pixels.max(0) + 1 + margin + moves[1], start + 1, shape)
        rows = np.vstack([rows, np.concatenate([[code], start, stop])])
    return rows


def box_slices(box: NDArray[np.int64]) -> tuple[slice, ...]:
    """The part of the image a row of :func:`boxes` covers.

    Examples
    --------
    >>> box_slices(np.array([2, 1, 2, 3, 5]))
    (slice(1, 3, None), slice(2, 5, None))
    """
    start, stop = np.split(box[1:], 2)
    return tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))


def box_labels(
    mask: ArrayLike, margin: int = 0, jitter: int = 0, filled: bool = False, seed: int = 0
) -> Codes:
    """The label map that boxes around all objects justify.

    Parameters
    ----------
    mask, margin, jitter, seed
        As for :func:`boxes`; objects are all codes above 1.
    filled
        Call every pixel of a box by the object's code (smaller boxes on top). This is the wrong
        reading of a box, kept as a control.

    Returns
    -------
    ndarray
        uint8 of the mask's shape: 1 outside all boxes, 0 inside; a box is a constraint, no label.

    Examples
    --------
    >>> mask = np.ones((3, 4), int)
    >>> mask[0, 1] = mask[1, 2] = 2
    >>> box_labels(mask).tolist()
    [[1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    """
    codes = checked_mask(mask)
    drawn = boxes(codes, margin, jitter, seed=seed)
    labels = np.where(codes > 0, BACKGROUND, 0).astype(np.uint8)
    areas = (drawn[:, 1 + codes.ndim :] - drawn[:, 1 : 1 + codes.ndim]).prod(axis=1)
    for row in drawn[np.argsort(-areas, kind="stable")]:
        labels[box_slices(row)] = row[0] if filled else 0
    return labels
