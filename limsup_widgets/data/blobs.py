"""Toy images with a mask by construction: one lobed object, and dials for what makes it hard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.errors import LimsupError

BACKGROUND, OBJECT, SECOND = 1, 2, 3
GREY = 0.35


@dataclass(frozen=True)
class Toy:
    """Images with dense masks.

    Attributes
    ----------
    images
        ``(N, 1, H, W)`` float32, about 0…1.
    masks
        ``(N, H, W)`` uint8: 1 background, 2 object, 3 second organ.
    """

    images: NDArray[np.float32]
    masks: NDArray[np.uint8]

    @property
    def classes(self) -> int:
        """Number of classes K, those included that no mask happens to hold."""
        return max(2, int(self.masks.max(initial=2)))

    def __len__(self) -> int:
        return len(self.images)


def blobs(
    n: int,
    seed: int = 0,
    *,
    size: int = 48,
    contrast: float = 0.3,
    noise: float = 0.1,
    distractors: int = 0,
    hole: bool = False,
    ramp: float = 0.15,
    second: bool = False,
    empty: float = 0.0,
    hetero: float = 0.0,
) -> Toy:
    """Draw ``n`` images of a bright lobed object on a grey ramp.

    Image i depends on ``seed`` and i only, so a longer set begins with the shorter one.

    Parameters
    ----------
    n, seed, size
        Number of images, seed of the draws, side in pixels (at least 24).
    contrast
        Grey level of the object above its surroundings.
    noise
        Standard deviation of white noise.
    distractors
        Round spots of the object's grey that belong to the background.
    hole
        A dark disc inside the object that still belongs to it.
    ramp
        Grey level gained from one side of the image to the other, in a random direction.
    second
        A touching organ of 0.6 times the contrast, class 3.
    empty
        Share of images without the object (and without the second organ), in 0…1.
    hetero
        Spread between images: gain ``exp(N(0, hetero))`` and offset ``N(0, hetero / 2)``.

    Returns
    -------
    Toy
        Images and masks.

    Raises
    ------
    LimsupError
        If ``n`` is below 1, ``size`` below 24 or ``empty`` outside 0…1.

    Examples
    --------
    >>> toy = blobs(3, seed=1)
    >>> toy.images.shape, toy.masks.shape, np.unique(toy.masks).tolist()
    ((3, 1, 48, 48), (3, 48, 48), [1, 2])
    """
    if n < 1 or size < 24 or not 0 <= empty <= 1:
        raise LimsupError(
            "blobs",
            got=f"n={n}, size={size}, empty={empty}",
            expected="n of at least 1, size of at least 24, empty within 0…1",
        )
    images = np.empty((n, 1, size, size), np.float32)
    masks = np.full((n, size, size), BACKGROUND, np.uint8)
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        grey = GREY + ramp * _ramp(rng, size)
        if rng.random() >= empty:
            _add_object(grey, masks[i], rng, contrast, hole, second)
        for _ in range(distractors):
            _add_distractor(grey, masks[i], rng, contrast)
        grey = grey * np.exp(rng.normal(0, hetero)) + rng.normal(0, hetero / 2)
        images[i, 0] = grey + rng.normal(0, noise, grey.shape)
    return Toy(images, masks)


def _grid(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.mgrid[:size, :size].astype(float)
    return y, x


def _ramp(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """−1/2…1/2 along a random direction."""
    y, x = _grid(size)
    angle = rng.uniform(0, 2 * np.pi)
    along = (y - size / 2) * np.sin(angle) + (x - size / 2) * np.cos(angle)
    return along / size


def _disc(size: int, centre: NDArray[np.float64], radius: float) -> NDArray[np.bool_]:
    y, x = _grid(size)
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def _lobed(
    size: int, centre: NDArray[np.float64], radius: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Three or five lobes around ``centre``, a fifth of the image at the usual radius."""
    y, x = _grid(size)
    angle = np.arctan2(y - centre[0], x - centre[1])
    lobes, phase = rng.choice([3, 5]), rng.uniform(0, 2 * np.pi)
    edge = radius * (1 + 0.25 * np.cos(lobes * angle + phase))
    return np.hypot(y - centre[0], x - centre[1]) <= edge


def _add_object(
    grey: NDArray[np.float64],
    mask: NDArray[np.uint8],
    rng: np.random.Generator,
    contrast: float,
    hole: bool,
    second: bool,
) -> None:
    size = len(grey)
    radius = size * rng.uniform(0.18, 0.26)
    centre = rng.uniform(0.32, 0.68, 2) * size
    shape = _lobed(size, centre, radius, rng)
    if second:
        way = rng.uniform(0, 2 * np.pi)
        beside = centre + 1.3 * radius * np.array([np.sin(way), np.cos(way)])
        organ = _disc(size, beside, 0.6 * radius) & ~shape
        grey[organ] += 0.6 * contrast
        mask[organ] = SECOND
    grey[shape] += contrast
    mask[shape] = OBJECT
    if hole:
        grey[_disc(size, centre, 0.35 * radius)] -= 1.5 * contrast


def _add_distractor(
    grey: NDArray[np.float64], mask: NDArray[np.uint8], rng: np.random.Generator, contrast: float
) -> None:
    """A spot at one of twenty places where it touches no organ, else none."""
    size = len(grey)
    for _ in range(20):
        centre, radius = rng.uniform(0.1, 0.9, 2) * size, size * rng.uniform(0.07, 0.1)
        if (mask[_disc(size, centre, radius + 2)] == BACKGROUND).all():
            grey[_disc(size, centre, radius)] += contrast
            return
