"""The canvas that every structure paints on, and the brushes they share."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

INTERSTITIUM, TUBULES, GLOMERULI, OTHER = 1, 2, 3, 4
Field = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass
class Tissue:
    """Stain maps of one field of view while it is painted.

    Parameters
    ----------
    pas, haematoxylin
        (H, W) ≥ 0, relative optical density.
    truth
        (H, W) class codes 1…4.
    nuclei
        Blocks (n, 6) of y, x, long and short half axis in pixels, angle in rad, density.
    """

    pas: Field
    haematoxylin: Field
    truth: NDArray[np.uint8]
    nuclei: list[Field] = field(default_factory=list)

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> Tissue:
        """A bare field, all interstitium."""
        zeros = np.zeros(shape, np.float32)
        return cls(zeros, zeros.copy(), np.full(shape, INTERSTITIUM, np.uint8))

    def paint(self, weight: Field, pas: Field | float, haematoxylin: Field | float = 0.0) -> None:
        """Cover with new densities where ``weight`` (H, W), 0…1, says so."""
        self.pas += weight * (pas - self.pas)
        self.haematoxylin += weight * (haematoxylin - self.haematoxylin)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> Field:
    """Gaussian noise (H, W), mean 0 and SD 1, smooth over ``sigma`` pixels.

    Coarse noise is drawn on a coarser grid and interpolated: the same look, less time.
    """
    step = max(1, int(sigma / 2))
    coarse = (-(-shape[0] // step) + 4, -(-shape[1] // step) + 4)
    noise = rng.standard_normal(coarse, dtype=np.float32)
    noise = ndi.gaussian_filter(noise, sigma / step, mode="wrap")
    if step > 1:
        noise = _between(shape[0], coarse[0], step) @ noise @ _between(shape[1], coarse[1], step).T
    noise = noise[: shape[0], : shape[1]]
    return (noise - noise.mean()) / noise.std()


def _between(n: int, coarse: int, step: int) -> Field:
    """Matrix (n, coarse) of linear interpolation at multiples of 1 / ``step``."""
    at = np.arange(n, dtype=np.float32)[:, None] / step
    return np.maximum(0, 1 - np.abs(at - np.arange(coarse, dtype=np.float32)))


def soft(distance: Field, edge: Field | float = 0.0, width: float = 1.0) -> Field:
    """0 below ``edge``, 1 above it, a ramp of ``width`` pixels between."""
    ramp: Field = np.clip((distance - edge) / np.float32(width) + 0.5, 0, 1)
    return ramp


def band(distance: Field, centre: Field | float, width: float) -> Field:
    """A bump of height 1 around ``centre``, ``width`` pixels SD."""
    bump: Field = np.exp(-(((distance - centre) / np.float32(width)) ** 2) / 2)
    return bump


def signed_distance(mask: Mask) -> Field:
    """Pixels to the border of ``mask`` (H, W): positive inside, negative outside, smoothed."""
    inside = ndi.distance_transform_edt(mask) if mask.any() else np.zeros(mask.shape)
    outside = ndi.distance_transform_edt(~mask) if not mask.all() else np.zeros(mask.shape)
    signed = np.where(mask, inside - 0.5, 0.5 - outside).astype(np.float32)
    return ndi.gaussian_filter(signed, 0.6)


def scatter(rng: np.random.Generator, where: Mask, density: Field | float) -> NDArray[np.float32]:
    """Random places (n, 2) in ``where``, ``density`` per pixel, jittered within the pixel."""
    hits = np.argwhere(where & (rng.random(where.shape, dtype=np.float32) < density))
    return (hits + rng.uniform(-0.5, 0.5, hits.shape)).astype(np.float32)
