"""What all generators share: a checked mask, its objects, and how deep inside a pixel lies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage as ndi
from skimage.measure import label

from limsup_widgets.errors import LimsupError

Codes = NDArray[np.uint8]
BACKGROUND = 1
"""Code of the background in a mask that has one."""


def checked_mask(mask: ArrayLike, ndims: Sequence[int] = (2, 3)) -> Codes:
    """The mask as codes 0…255, uint8.

    Raises
    ------
    LimsupError
        If it holds anything but whole numbers 0…255 or has other dimensions than ``ndims``.
    """
    codes = np.asarray(mask)
    if codes.ndim not in ndims or not np.issubdtype(codes.dtype, np.integer):
        wanted = " or ".join({2: "(H, W)", 3: "(D, H, W)"}[n] for n in ndims)
        got = f"{codes.dtype} of shape {codes.shape}"
        raise LimsupError("dense mask", got=got, expected=f"integer codes {wanted}")
    if codes.min(initial=0) < 0 or codes.max(initial=0) > 255:
        raise LimsupError("code in a mask", got=f"{codes.min()}…{codes.max()}", expected="0…255")
    return codes.astype(np.uint8)


def foreground_codes(codes: Codes, foreground: Iterable[int] | None) -> list[int]:
    """The codes that stand for objects: as asked, or every code above the background's."""
    if foreground is None:
        return [code for code in np.unique(codes).tolist() if code > BACKGROUND]
    return sorted({int(code) for code in foreground})


def objects(
    mask: ArrayLike, foreground: Iterable[int] | None = None
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Every object of a mask: ``(code, where)``, ``where`` bool of the mask's shape.

    An object is a connected piece of one class; pieces that touch at a corner are one.

    Parameters
    ----------
    mask
        (H, W) or (D, H, W) codes 0…K.
    foreground
        Codes that count as objects; every code above 1 if not given.

    Examples
    --------
    >>> mask = np.array([[2, 1, 2], [2, 1, 3]])
    >>> [(code, int(where.sum())) for code, where in objects(mask)]
    [(2, 2), (2, 1), (3, 1)]
    """
    codes = checked_mask(mask)
    for code in foreground_codes(codes, foreground):
        pieces = label(codes == code, connectivity=codes.ndim)
        for piece in range(1, int(pieces.max(initial=0)) + 1):
            yield code, pieces == piece


def depth_inside(region: NDArray[Any]) -> NDArray[np.float64]:
    """Distance in pixels of each pixel of a region to the nearest outside; 1 at its rim.

    What lies beyond the image counts as outside.

    Examples
    --------
    >>> depth_inside(np.ones((3, 3), bool)).tolist()
    [[1.0, 1.0, 1.0], [1.0, 2.0, 1.0], [1.0, 1.0, 1.0]]
    """
    inner = (slice(1, -1),) * region.ndim
    return np.asarray(ndi.distance_transform_edt(np.pad(region, 1))[inner])
