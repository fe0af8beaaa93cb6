"""Partial classes: a site labelled some organs and left the others alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from limsup_widgets.data.weak.objects import BACKGROUND, Codes, checked_mask


def partial_classes(mask: ArrayLike, known: Iterable[int], as_background: bool = False) -> Codes:
    """Keep the labels of the classes that this site annotated.

    Parameters
    ----------
    mask
        (H, W) or (D, H, W) codes 0…K.
    known
        Codes annotated here. Leave out the background's code: a site that outlined the liver only
        cannot say that a pixel outside it is none of the other organs.
    as_background
        Call all other pixels background, code 1: the wrong but common practice.

    Returns
    -------
    ndarray
        uint8 of the mask's shape: a known code, elsewhere 0 (unknown) or, if asked, 1.

    Examples
    --------
    >>> mask = np.array([[1, 2, 3]])
    >>> partial_classes(mask, [2]).tolist(), partial_classes(mask, [2], as_background=True).tolist()
    ([[0, 2, 0]], [[1, 2, 1]])
    """
    codes = checked_mask(mask)
    kept = np.isin(codes, list(known))
    rest = np.where((codes > 0) & as_background, BACKGROUND, 0)
    return np.where(kept, codes, rest).astype(np.uint8)
