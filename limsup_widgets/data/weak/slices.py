"""Sparse slices: a volume with dense labels on a few of its planes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from limsup_widgets.data.weak.objects import Codes, checked_mask
from limsup_widgets.errors import LimsupError


def sparse_slices(
    mask: ArrayLike,
    number: int | None = None,
    every: int | None = None,
    axis: int = 0,
    seed: int = 0,
) -> Codes:
    """Keep the labels of a few planes of a volume.

    Parameters
    ----------
    mask
        (D, H, W) codes 0…K.
    number
        So many planes, drawn at random. Give either this or ``every``.
    every
        Every so many planes, from a random first one.
    axis
        Axis across the planes, 0…2.
    seed
        Seed of the draw.

    Returns
    -------
    ndarray
        uint8 (D, H, W): the mask on the planes kept, 0 elsewhere.

    Raises
    ------
    LimsupError
        If the mask is no volume, or not exactly one of ``number`` and ``every`` is a positive
        number.

    Examples
    --------
    >>> sparse_slices(np.ones((6, 2, 2), int), number=2).sum(axis=(1, 2)).tolist()
    [0, 0, 4, 4, 0, 0]
    """
    codes = checked_mask(mask, ndims=(3,))
    if (number is None) == (every is None) or (number or every or 0) < 1:
        got = f"number={number}, every={every}"
        raise LimsupError("planes to keep", got=got, expected="one positive number of the two")
    if axis not in (0, 1, 2):
        raise LimsupError("axis", got=axis, expected="0, 1 or 2")
    rng = np.random.default_rng(seed)
    planes = codes.shape[axis]
    if number is not None:
        kept = rng.permutation(planes)[:number]
    else:
        kept = np.arange(rng.integers(min(int(every or 1), max(planes, 1))), planes, every)
    keep = np.isin(np.arange(planes), kept)
    return np.where(np.moveaxis(keep[:, None, None], 0, axis), codes, 0).astype(np.uint8)
