"""Labels that are wrong: boundaries that wander, objects overlooked, tags flipped."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage as ndi

from limsup_widgets.data.weak.objects import BACKGROUND, Codes, checked_mask, objects
from limsup_widgets.errors import LimsupError


def noisy_boundaries(
    mask: ArrayLike, radius: float = 2.0, smooth: float = 4.0, seed: int = 0
) -> Codes:
    """Let every boundary wander, as between two careful people.

    Each pixel takes the code of a place at most ``radius`` away; the displacement is a smooth
    random field of that root mean square, cut at ``radius``.

    Parameters
    ----------
    mask
        (H, W) or (D, H, W) codes 0…K.
    radius
        Largest displacement in pixels; below 1 nothing moves.
    smooth
        SD in pixels of the filter that smooths the field: small values fray, large ones shift.
    seed
        Seed of the field.

    Returns
    -------
    ndarray
        uint8 of the mask's shape; pixels farther than ``radius`` from another code are unchanged.

    Raises
    ------
    LimsupError
        If ``radius`` is negative or ``smooth`` is not positive.

    Examples
    --------
    >>> mask = np.ones((20, 20), int)
    >>> mask[:, 10:] = 2
    >>> changed = noisy_boundaries(mask, radius=3) != mask
    >>> bool(changed.any()), bool(changed[:, :7].any() or changed[:, 13:].any())
    (True, False)
    """
    if radius < 0 or smooth <= 0:
        got = f"radius={radius}, smooth={smooth}"
        raise LimsupError("boundary noise", got=got, expected="radius ≥ 0 and smooth > 0")
    codes = checked_mask(mask)
    if not codes.size:
        return codes
    steps = _smooth_steps(codes.shape, radius, smooth, np.random.default_rng(seed))
    limits = np.array(codes.shape).reshape(-1, *([1] * codes.ndim)) - 1
    return codes[tuple(np.clip(np.indices(codes.shape) + steps, 0, limits))]


def _smooth_steps(
    shape: tuple[int, ...], radius: float, smooth: float, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Whole steps (N, ...) of a smooth random field, none longer than ``radius``."""
    noise = rng.standard_normal((len(shape), *shape))
    field = np.stack([ndi.gaussian_filter(part, smooth) for part in noise])
    field *= radius / max(float(np.sqrt((field**2).sum(0).mean())), 1e-12)
    length = np.linalg.norm(field, axis=0)
    field *= radius / np.maximum(length, max(radius, 1e-12))
    steps = np.rint(field)
    # Rounding may reach beyond the radius; cutting towards zero cannot.
    beyond = np.linalg.norm(steps, axis=0) > radius
    return np.where(beyond, np.trunc(field), steps).astype(np.intp)


def missing_objects(
    mask: ArrayLike, share: float = 0.2, foreground: Iterable[int] | None = None, seed: int = 0
) -> Codes:
    """Overlook objects: each becomes background with probability ``share``.

    Parameters
    ----------
    mask
        (H, W) or (D, H, W) codes 0…K.
    share
        0…1.
    foreground
        Codes that count as objects; every code above 1 if not given.
    seed
        Seed of the draws.

    Returns
    -------
    ndarray
        uint8 of the mask's shape.

    Examples
    --------
    >>> missing_objects(np.array([[2, 1, 3, 1]]), share=1.0).tolist()
    [[1, 1, 1, 1]]
    """
    _checked_share(share)
    left = checked_mask(mask)
    rng = np.random.default_rng(seed)
    for _, where in objects(left.copy(), foreground):
        if rng.random() < share:
            left[where] = BACKGROUND
    return left


def flip_tags(tags: ArrayLike, share: float = 0.02, seed: int = 0) -> NDArray[np.bool_]:
    """Turn each tag over with probability ``share``.

    Parameters
    ----------
    tags
        bool, any shape, as of :func:`~limsup_widgets.data.weak.tags.image_tags`.
    share
        0…1.
    seed
        Seed of the draws.

    Examples
    --------
    >>> flip_tags([True, False], share=1.0).tolist()
    [False, True]
    """
    _checked_share(share)
    told = np.asarray(tags, dtype=bool)
    return told ^ (np.random.default_rng(seed).random(told.shape) < share)


def _checked_share(share: float) -> None:
    if not 0 <= share <= 1:
        raise LimsupError("share of errors", got=share, expected="0…1")
