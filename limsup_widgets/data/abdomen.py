"""Toy abdomens: slices with five organs of known masks, and dials for what breaks a size prior.

Grey levels of the organs overlap under the noise and loops of bowel imitate them, so a network
must learn where an organ lies. Nothing here is anatomy to rely on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.errors import LimsupError

ORGANS = ("liver", "spleen", "kidneys", "pancreas", "aorta")
CLASSES = ("background", *ORGANS)
"""Codes 1…6; everything that is no organ, inside the body or not, is background."""

GREY = {"air": 0.10, "tissue": 0.35, "liver": 0.55, "spleen": 0.58}
GREY |= {"kidneys": 0.70, "pancreas": 0.50, "aorta": 0.62}
SPREAD = dict.fromkeys(ORGANS, 0.3) | {"pancreas": 0.45}
BODY, BODY_SPREAD, BODY_SHIFT = (0.31, 0.40), 0.15, 0.04
# Centres and half-axes (down, right) in half-axes of the body, seen from the feet: liver left.
ELLIPSES = {
    "liver": [(-0.15, -0.45, 0.55, 0.42)],
    "spleen": [(0.0, 0.62, 0.38, 0.2)],
    "kidneys": [(0.5, -0.38, 0.2, 0.17), (0.5, 0.38, 0.2, 0.17)],
    "aorta": [(0.45, 0.04, 0.13, 0.1)],
}
ARC = (0.33, 0.2, 0.42, 0.075)
JITTER, BOWEL = 0.04, 4

Field = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Abdomens:
    """Slices of different patients.

    Attributes
    ----------
    images
        ``(N, 1, H, W)`` float32, about 0…1.
    masks
        ``(N, H, W)`` uint8 codes of :data:`CLASSES`.
    bodies
        ``(N, H, W)`` bool: inside the body.
    """

    images: NDArray[np.float32]
    masks: NDArray[np.uint8]
    bodies: Mask

    def __len__(self) -> int:
        return len(self.images)

    def shares(self) -> Field:
        """Share of the image that each class covers, ``(N, 6)``; rows sum to 1."""
        return np.stack([(self.masks == c).mean((1, 2)) for c in range(1, len(CLASSES) + 1)], 1)


def abdomens(
    n: int,
    seed: int = 0,
    *,
    size: int = 64,
    noise: float = 0.06,
    bias: float = 0.1,
    spread: float = 1.0,
    fov: float = 1.0,
    megaly: Mapping[str, float] | None = None,
) -> Abdomens:
    """Draw ``n`` patients.

    Patient i depends on ``seed`` and i alone. Areas are log-normal: one factor for the body (log-sd
    0.15) and one for each organ (0.3, pancreas 0.45).

    Parameters
    ----------
    n, seed, size
        Number of patients, seed of the draws, side in pixels (at least 32).
    noise, bias
        Standard deviation of white noise; grey level gained across the image.
    spread
        Factor on the organs' log-sd; 0 gives everybody the same sizes relative to the body.
    fov
        Side of the field of view over the usual one. A narrow one (below 1) shows the same organs
        larger: a pixel then stands for ``fov**2`` of the usual area.
    megaly
        Factors on the area of named organs, as in ``{"spleen": 1.8}``.

    Raises
    ------
    LimsupError
        A number out of range, or an unknown organ.

    Examples
    --------
    >>> patients = abdomens(3, seed=1)
    >>> patients.images.shape, np.unique(patients.masks).tolist()
    ((3, 1, 64, 64), [1, 2, 3, 4, 5, 6])
    """
    grown = dict(megaly or {})
    _check(n, size, fov, grown)
    drawn = [
        _patient(np.random.default_rng([seed, i]), size, noise, bias, spread, fov, grown)
        for i in range(n)
    ]
    images, masks, bodies = (np.stack(parts) for parts in zip(*drawn, strict=True))
    return Abdomens(images[:, None], masks, bodies)


def _patient(
    rng: np.random.Generator,
    size: int,
    noise: float,
    bias: float,
    spread: float,
    fov: float,
    grown: Mapping[str, float],
) -> tuple[NDArray[np.float32], NDArray[np.uint8], Mask]:
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    turn = rng.uniform(0, 2 * np.pi)
    ramp = bias * (y * np.sin(turn) + x * np.cos(turn))
    scale = np.exp(rng.normal(0, BODY_SPREAD) / 2) / fov
    dy, dx = rng.normal(0, BODY_SHIFT, 2)
    v, u = (y - dy) / (BODY[0] * scale), (x - dx) / (BODY[1] * scale)
    body = u**2 + v**2 <= 1
    grey = np.where(body, GREY["tissue"], GREY["air"])
    _add_bowel(grey, v, u, rng)
    mask = np.ones((size, size), np.uint8)
    for code, organ in enumerate(ORGANS, start=2):
        area = np.exp(spread * SPREAD[organ] * rng.normal()) * grown.get(organ, 1.0)
        shape = _organ(organ, v, u, np.sqrt(area), rng) & body
        grey[shape], mask[shape] = GREY[organ], code
    image = grey + ramp + rng.normal(0, noise, grey.shape)
    return image.astype(np.float32), mask, body


def _organ(organ: str, v: Field, u: Field, length: float, rng: np.random.Generator) -> Mask:
    """Where an organ lies, its lengths times ``length``; ``v``, ``u`` in half-axes of the body."""
    dv, du = rng.normal(0, JITTER, 2)
    if organ == "pancreas":
        return _arc(v - dv, u - du, length)
    parts = [
        np.hypot((v - dv - cv) / (length * rv), (u - du - cu) / (length * ru)) <= 1
        for cv, cu, rv, ru in ELLIPSES[organ]
    ]
    return np.any(parts, axis=0)


def _arc(v: Field, u: Field, length: float) -> Mask:
    """The curved band of the pancreas, thicker and longer with ``length``."""
    cv, cu, radius, half = ARC
    away = np.hypot(v - cv, u - cu) - radius
    angle = np.arctan2(u - cu, cv - v)
    return (np.abs(away) <= half * length) & (np.abs(angle) <= 1.0 * length)


def _add_bowel(grey: Field, v: Field, u: Field, rng: np.random.Generator) -> None:
    """Round loops in the grey levels of organs, in front, where the pancreas may hide them."""
    for _ in range(BOWEL):
        cv, cu = rng.uniform(-0.75, -0.2), rng.uniform(0.0, 0.6)
        loop = np.hypot(v - cv, u - cu) <= rng.uniform(0.08, 0.14)
        grey[loop & (u**2 + v**2 <= 1)] = rng.uniform(0.48, 0.66)


def _check(n: int, size: int, fov: float, grown: Mapping[str, float]) -> None:
    if n < 1 or size < 32 or not 0.6 <= fov <= 2:
        raise LimsupError(
            "abdomens",
            got=f"n={n}, size={size}, fov={fov}",
            expected="n of at least 1, size of at least 32, fov within 0.6…2",
        )
    if unknown := set(grown) - set(ORGANS):
        raise LimsupError("megaly", got=sorted(unknown), expected=", ".join(ORGANS))
