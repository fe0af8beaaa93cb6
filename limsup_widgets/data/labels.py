"""Label codes: 0 is unlabelled and 1…K are classes outside a loss, −1 and 0…K−1 inside it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_targets(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Codes 0…K (0 = unlabelled) of any shape → loss targets −1…K−1 (−1 = ignored).

    Examples
    --------
    >>> to_targets(np.array([0, 1, 4])).tolist()
    [-1, 0, 3]
    """
    return labels.astype(np.int64) - 1


def from_targets(targets: NDArray[Any]) -> NDArray[np.uint8]:
    """Loss targets −1…K−1 of any shape → codes 0…K; the inverse of :func:`to_targets`.

    Examples
    --------
    >>> from_targets(np.array([-1, 0, 3])).tolist()
    [0, 1, 4]
    """
    return (targets + 1).astype(np.uint8)
