"""Region sizes: how much of the image each class takes, exactly, within bounds or roughly."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limsup_widgets.data.weak.objects import checked_mask
from limsup_widgets.errors import LimsupError

Shares = NDArray[np.float64]


def pixel_counts(mask: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Pixels (voxels) of each class, (K,); entry k belongs to code k + 1.

    Raises
    ------
    LimsupError
        If the mask holds a code above ``classes``.

    Examples
    --------
    >>> pixel_counts(np.array([[1, 1], [1, 3]]), classes=3).tolist()
    [3, 0, 1]
    """
    codes = checked_mask(mask)
    if codes.max(initial=0) > classes:
        raise LimsupError("code in a mask", got=int(codes.max()), expected=f"0…{classes}")
    return np.bincount(codes.ravel(), minlength=classes + 1)[1:]


def region_sizes(
    mask: ArrayLike,
    classes: int,
    kind: Literal["exact", "bounds", "noisy"] = "exact",
    margin: float = 0.1,
    seed: int = 0,
) -> Shares:
    """Share of the image that each class takes.

    Parameters
    ----------
    mask
        (H, W) or (D, H, W) codes 0…K.
    classes
        K.
    kind
        ``"exact"``: the true shares. ``"bounds"``: a lower and an upper limit that always contain
        the truth; the interval is ``2 * margin`` times the truth wide and lies around it at
        random, so that its middle gives nothing away. ``"noisy"``: the truth times
        ``exp(margin * z)`` with z standard normal, at most 1.
    margin
        Relative half-width of the bounds, or SD of the log of the noise.
    seed
        Seed of the interval's place and of the noise.

    Returns
    -------
    ndarray
        float64 (K,) or, for bounds, (K, 2), in 0…1, shares of **all** pixels of the mask; entry k
        belongs to code k + 1. An absent class has share 0 in every kind. Times ``mask.size`` they
        are pixels; noisy shares need not sum to one.

    Raises
    ------
    LimsupError
        If the kind is unknown, ``margin`` negative or a code above ``classes``.

    Examples
    --------
    >>> mask = np.array([[1, 1], [1, 2]])
    >>> region_sizes(mask, 2).tolist()
    [0.75, 0.25]
    >>> low, high = region_sizes(mask, 2, "bounds", margin=0.2)[1].tolist()
    >>> low <= 0.25 <= high, round(high - low, 3)
    (True, 0.1)
    """
    if kind not in ("exact", "bounds", "noisy"):
        raise LimsupError("kind of size", got=repr(kind), expected="exact, bounds or noisy")
    if margin < 0:
        raise LimsupError("margin of a size", got=margin, expected="0 or more")
    shares = pixel_counts(mask, classes) / max(1, np.asarray(mask).size)
    rng = np.random.default_rng(seed)
    if kind == "bounds":
        return _bounds(shares, margin, rng)
    if kind == "noisy":
        return np.minimum(shares * np.exp(margin * rng.standard_normal(classes)), 1.0)
    return shares


def _bounds(shares: Shares, margin: float, rng: np.random.Generator) -> Shares:
    """Limits (K, 2) around the shares, placed at random."""
    below = rng.random(len(shares))
    low = shares * (1 - 2 * margin * below)
    high = shares * (1 + 2 * margin * (1 - below))
    return np.stack([np.maximum(low, 0.0), np.minimum(high, 1.0)], axis=1)
