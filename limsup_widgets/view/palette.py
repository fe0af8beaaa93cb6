"""One colour per class, the same in every view, told apart without red-green vision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limsup_widgets.errors import LimsupError

Colour = tuple[int, int, int]

BASE: tuple[Colour, ...] = (
    (213, 94, 0),
    (0, 114, 178),
    (0, 158, 115),
    (240, 228, 66),
    (204, 121, 167),
    (86, 180, 233),
    (230, 159, 0),
    (60, 60, 60),
)
"""Vermilion, blue, bluish green, yellow, reddish purple, sky blue, orange, near black.

Okabe and Ito, "Color Universal Design" (2008), with black lightened so that it shows on screens.
"""


def class_palette(classes: int) -> NDArray[np.uint8]:
    """Colours (K, 3) of the classes 1…K.

    Beyond the eight base colours the same hues return, lighter each round: names in the legend
    must then carry the difference.

    Examples
    --------
    >>> class_palette(2).tolist()
    [[213, 94, 0], [0, 114, 178]]
    """
    if classes < 1:
        raise LimsupError("classes", got=classes, expected="at least 1")
    rounds, hues = np.divmod(np.arange(classes), len(BASE))
    lighter = (0.55**rounds)[:, None]
    mixed = np.array(BASE)[hues] * lighter + 255 * (1 - lighter)
    return mixed.round().astype(np.uint8)


def colour_table(palette: ArrayLike) -> NDArray[np.uint8]:
    """Look-up table (K + 1, 3) by code: black for 0 (unlabelled), then `palette` (K, 3)."""
    colours = np.asarray(palette, dtype=np.uint8).reshape(-1, 3)
    return np.vstack([np.zeros((1, 3), np.uint8), colours])


def css(colour: Sequence[int] | NDArray) -> str:
    """The colour as HTML and Qt style sheets write it.

    Examples
    --------
    >>> css((213, 94, 0))
    '#d55e00'
    """
    red, green, blue = (int(value) for value in colour)
    return f"#{red:02x}{green:02x}{blue:02x}"


def ink(colour: Sequence[int] | NDArray) -> str:
    """Black or white, whichever reads better on `colour` (WCAG 2 relative luminance).

    Examples
    --------
    >>> ink((240, 228, 66)), ink((0, 114, 178))
    ('#000000', '#ffffff')
    """
    value = np.asarray(colour, dtype=float) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"
