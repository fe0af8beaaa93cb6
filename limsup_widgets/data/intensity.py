"""One rule that turns any pixel type into uint8 or float32 in [0, 1]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.errors import LimsupError

WINDOW = (0.5, 99.5)
"""Percentiles that become 0 and 1 when intensities have no fixed scale."""


def scale_intensity(
    array: NDArray, *, name: str = "image", window: tuple[float, float] = WINDOW
) -> tuple[NDArray, tuple[str, ...]]:
    """Give intensities the one scale that the rest of the package expects.

    Parameters
    ----------
    array
        Any shape; bool, integer or real. One window for all its values, so that the planes of
        a volume and the channels of a colour image stay comparable.
    name
        What to call the image in an error.
    window
        Percentiles mapped to 0 and 1, for everything that is neither uint8 nor already in [0, 1].

    Returns
    -------
    tuple
        The array (uint8 as it was, anything else float32 in [0, 1]) and one line per change.

    Raises
    ------
    LimsupError
        For an empty array, a value that is no real number, NaN or infinity.

    Examples
    --------
    >>> scaled, notes = scale_intensity(np.array([0, 500, 1000], np.uint16), window=(0, 100))
    >>> scaled.tolist(), notes
    ([0.0, 0.5, 1.0], ('uint16 scaled: 0 to 1000 (percentiles 0 to 100) became 0 to 1',))
    """
    if array.size == 0:
        raise LimsupError(name, got=f"no pixels (shape {array.shape})", do="give an image")
    if array.dtype == np.uint8:
        return array, ()
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255), ("black and white read as 0 and 255",)
    if array.dtype.kind not in "iuf":
        raise LimsupError(
            name,
            got=f"pixels of type {array.dtype.name}",
            expected="real numbers",
            do="convert them",
        )
    _check_finite(array, name)
    if array.dtype.kind == "f" and array.min() >= 0 and array.max() <= 1:
        return array.astype(np.float32), ()
    return _windowed(array, window)


def _check_finite(array: NDArray, name: str) -> None:
    bad = int(array.size - np.count_nonzero(np.isfinite(array)))
    if bad:
        raise LimsupError(
            name,
            got=f"{bad} of {array.size} pixels NaN or infinite",
            expected="finite values",
            do="replace them, e.g. with numpy.nan_to_num, and save again",
        )


def limits(array: NDArray, window: tuple[float, float] = WINDOW) -> tuple[float, float]:
    """Values at the percentiles of ``window``; of nearly constant images the extremes."""
    low, high = (float(edge) for edge in np.percentile(array, window))
    if high <= low:
        # Nearly constant images (a few bright dots on black) would collapse onto one value.
        low, high = float(array.min()), float(array.max())
    return low, high


def _windowed(array: NDArray, window: tuple[float, float]) -> tuple[NDArray, tuple[str, ...]]:
    low, high = limits(array, window)
    if high <= low:
        flat = np.zeros(array.shape, np.float32)
        return flat, (f"{array.dtype.name} constant at {low:g}: read as 0",)
    scaled = np.clip((array.astype(np.float64) - low) / (high - low), 0, 1).astype(np.float32)
    note = (
        f"{array.dtype.name} scaled: {low:g} to {high:g} "
        f"(percentiles {window[0]:g} to {window[1]:g}) became 0 to 1"
    )
    return scaled, (note,)
