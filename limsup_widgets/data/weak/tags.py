"""Image tags: which classes are there at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limsup_widgets.data.weak.sizes import pixel_counts


def image_tags(mask: ArrayLike, classes: int) -> NDArray[np.bool_]:
    """Say of each class whether the image holds it.

    Parameters
    ----------
    mask
        (H, W) or (D, H, W) codes 0…K.
    classes
        K.

    Returns
    -------
    ndarray
        bool (K,); entry k belongs to code k + 1.

    Examples
    --------
    >>> image_tags(np.array([[1, 1], [1, 3]]), classes=3).tolist()
    [True, False, True]
    """
    return pixel_counts(mask, classes) > 0
