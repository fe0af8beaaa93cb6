"""Whole strokes that test and never teach."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def balanced_accuracy(found: NDArray[Any], known: NDArray[Any]) -> float:
    """Share of pixels found right, the mean over the classes of ``known``; nan for no pixel.

    Examples
    --------
    >>> balanced_accuracy(np.array([1, 1, 1, 2]), np.array([1, 1, 2, 2]))
    0.75
    """
    shares = [float((found[known == c] == c).mean()) for c in np.unique(known)]
    return float(np.mean(shares)) if shares else float("nan")
