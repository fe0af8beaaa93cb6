"""From what a hand touched to the stroke that it changed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limsup_widgets.data.strokes import Stroke
from limsup_widgets.errors import LimsupError


def flat_pixels(pixels: ArrayLike | tuple[ArrayLike, ...], shape: tuple[int, int]) -> NDArray:
    """Flat C-order indices (n,) of touched pixels.

    Parameters
    ----------
    pixels
        A mask ``(H, W)`` of bool, flat indices (n,), or a tuple of rows (n,) and columns (n,).
    shape
        ``(H, W)`` of the image.

    Raises
    ------
    LimsupError
        A mask of another shape, numbers that are no integers, or a pixel outside the image.

    Examples
    --------
    >>> flat_pixels(([0, 1], [2, 2]), (2, 3)).tolist()
    [2, 5]
    """
    if isinstance(pixels, tuple) and len(pixels) == 2:
        rows, columns = (_integers(part) for part in pixels)
        _check_range(rows, shape[0], "row of a stroke")
        _check_range(columns, shape[1], "column of a stroke")
        return rows * shape[1] + columns
    array = np.asarray(pixels)
    if array.dtype == bool:
        if array.shape != shape:
            raise LimsupError("mask of a stroke", got=array.shape, expected=shape)
        return np.flatnonzero(array)
    flat = _integers(array)
    _check_range(flat, shape[0] * shape[1], "pixel of a stroke")
    return flat


def changing_stroke(
    labels: NDArray[np.uint8],
    flat: NDArray[np.int64],
    codes: ArrayLike,
    image: int = 0,
    seconds: float = 0.0,
) -> Stroke | None:
    """The stroke that gives pixels ``flat`` (n,) their ``codes``; None if it changes nothing.

    ``labels`` (H, W) is read, not changed; ``codes`` is one code or (n,).
    """
    old = labels.ravel()[flat]
    new = np.broadcast_to(np.asarray(codes, dtype=np.uint8), flat.shape)
    changed = old != new
    if not changed.any():
        return None
    return Stroke.from_pixels(
        labels.shape, flat[changed], old[changed], new[changed], image, seconds
    )


def _integers(values: Any) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise LimsupError("pixels of a stroke", got=array.dtype, expected="integers or a mask")
    return array.astype(np.int64).ravel()


def _check_range(values: NDArray[np.int64], size: int, name: str) -> None:
    outside = values[(values < 0) | (values >= size)]
    if outside.size:
        raise LimsupError(name, got=int(outside[0]), expected=f"0…{size - 1}")
