"""Overlap with a reference, pixels pooled over the images of a subject (MONAI computes it)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from limsup_widgets.errors import LimsupError


def dice_per_class(
    predicted: Sequence[NDArray[Any]], truth: Sequence[NDArray[Any]], classes: int
) -> NDArray[np.float64]:
    """Dice of each class, pixels of all images pooled.

    Parameters
    ----------
    predicted, truth
        Codes 1…K, one array ``(H, W)`` per image; pixels with truth 0 are left out.
    classes
        K.

    Returns
    -------
    ndarray
        ``(K,)`` in [0, 1]; nan for a class that the truth never holds.

    Examples
    --------
    >>> dice_per_class([np.array([[1, 1, 2]])], [np.array([[1, 2, 2]])], 3).round(3).tolist()
    [0.667, 0.667, nan]
    """
    from monai.metrics import compute_dice

    if not truth or [a.shape for a in predicted] != [b.shape for b in truth]:
        raise LimsupError(
            "Dice",
            got=f"shapes {[a.shape for a in predicted]} and {[b.shape for b in truth]}",
            expected="a prediction for every truth",
        )
    flat = [np.concatenate([a.ravel() for a in arrays]) for arrays in (predicted, truth)]
    known = flat[1] > 0
    one_hot = [
        torch.nn.functional.one_hot(torch.from_numpy(a[known].astype(np.int64)), classes + 1).T
        for a in flat
    ]
    p, t = (a[None, 1:, :, None] for a in one_hot)
    return compute_dice(p, t, include_background=True)[0].double().numpy()


def mean_dice(dice: NDArray[np.floating]) -> float:
    """Mean over the classes that the truth holds; nan if it holds none."""
    held = dice[~np.isnan(dice)]
    return float(held.mean()) if held.size else float("nan")


def agreement(
    predicted: NDArray[Any], reference: NDArray[Any], where: NDArray[np.bool_] | None = None
) -> float:
    """Share of pixels on which two code images agree, inside ``where``."""
    same = predicted == reference
    return float(same.mean() if where is None else same[where].mean())
