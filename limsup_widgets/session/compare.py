"""What a tune changed: the previous result against the present one, class by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Comparison:
    """Codes before and after, and how they differ.

    Attributes
    ----------
    before, after
        Codes 1…K, ``(H, W)``.
    gained, lost
        Pixels that became, and that ceased to be, of each class, ``(K,)``.
    dice_before, dice_after
        Per class ``(K,)``, or None where the truth is not known.
    """

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    gained: NDArray[np.int64]
    lost: NDArray[np.int64]
    dice_before: NDArray[np.float64] | None = None
    dice_after: NDArray[np.float64] | None = None

    @property
    def where(self) -> NDArray[np.bool_]:
        """Pixels whose class changed, ``(H, W)``."""
        return self.before != self.after

    @property
    def changed(self) -> NDArray[np.int64]:
        """Per class, pixels that became or ceased to be of it, ``(K,)``."""
        return self.gained + self.lost

    @property
    def fraction(self) -> float:
        """Share of the image that changed class, in [0, 1]."""
        return float(self.where.mean())


def compare_codes(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    classes: int,
    truth: NDArray[np.uint8] | None = None,
) -> Comparison:
    """Compare two results for one image.

    Parameters
    ----------
    before, after, truth
        Codes ``(H, W)``; truth 0 is left out of the Dice.
    classes
        K.

    Examples
    --------
    >>> change = compare_codes(np.array([[1, 1, 2]]), np.array([[1, 2, 2]]), 2)
    >>> change.gained.tolist(), change.lost.tolist(), round(change.fraction, 2)
    ([0, 1], [1, 0], 0.33)
    """
    where = before != after
    gained, lost = (
        np.bincount(codes[where], minlength=classes + 1)[1:].astype(np.int64)
        for codes in (after, before)
    )
    if truth is None:
        return Comparison(before, after, gained, lost)
    from limsup_widgets.learn.metrics import dice_per_class

    dice = (dice_per_class([codes], [truth], classes) for codes in (before, after))
    return Comparison(before, after, gained, lost, *dice)
