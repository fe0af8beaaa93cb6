"""Tissue of one field of view: tubules, glomeruli, vessels, glass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy.spatial import cKDTree

from limsup_widgets.data.kidney.parameters import Parameters

INTERSTITIUM, TUBULES, GLOMERULI, OTHER = 1, 2, 3, 4


@dataclass
class Tissue:
    """Stain maps (H, W) ≥ 0 and truth (H, W), codes 1…4."""

    haematoxylin: NDArray[np.float32]
    pas: NDArray[np.float32]
    truth: NDArray[np.uint8]


def draw_tissue(p: Parameters, rng: np.random.Generator, shape: tuple[int, int]) -> Tissue:
    h, w = shape
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    wy = yy + 2.2 * smooth_noise(rng, shape, 9)
    wx = xx + 2.2 * smooth_noise(rng, shape, 9)
    rows = np.arange(-p.spacing, h + p.spacing, p.spacing * 0.87)
    cols = np.arange(-p.spacing, w + p.spacing, p.spacing)
    seeds = np.array([(y, x + (k % 2) * p.spacing / 2) for k, y in enumerate(rows) for x in cols])
    seeds += rng.normal(0, 0.14 * p.spacing, seeds.shape)
    d, cell = cKDTree(seeds).query(np.stack([wy, wx], -1), k=2)
    e, cell = (d[..., 1] - d[..., 0]) / 2, cell[..., 0]
    depth = e - p.gap / 2
    keep = rng.random(len(seeds)) >= p.missing_tubules
    tub = (depth > 0) & keep[cell]
    top = ndi.maximum(np.where(tub, depth, 0), cell, np.arange(len(seeds)))
    cast = (rng.random(len(seeds)) < p.casts)[cell]
    q = p.stroma * (1 + 0.3 * smooth_noise(rng, shape, 1.2))
    hm = np.zeros(shape)
    q = np.where(tub, p.epithelium, q)
    q = np.where(tub & (depth < 1.2), p.membrane, q)
    lumen = tub & (depth > (1 - p.lumen) * np.asarray(top)[cell])
    q = np.where(lumen, np.where(cast, 0.5, 0.04), q)
    truth = np.where(tub, TUBULES, INTERSTITIUM).astype(np.uint8)
    ok_nuc = tub & (depth > 1.5) & (depth < 4.5)
    for _ in range(int(rng.choice([0, 1, 1, 2]))):
        r = 27 * (1 + 0.15 * rng.normal())
        cy, cx = rng.uniform(0.1, 0.9) * h, rng.uniform(0.1, 0.9) * w
        rho = np.hypot(wy - cy, wx - cx) / r
        disc = rho < 1
        truth[disc] = GLOMERULI
        ok_nuc &= ~disc
        q = np.where(disc, 0.05, q)
        if rng.random() < p.sclerosis:
            q = np.where(disc, 0.7 + 0.1 * smooth_noise(rng, shape, 1.5), q)
        else:
            tuft = rho < 0.86
            q = np.where(tuft, 0.35 + 0.2 * smooth_noise(rng, shape, 1.5), q)
            q = np.where(disc & (rho > 0.95), p.membrane, q)
            hm += tuft * splat(rng, shape, tuft, 0.02)
    for _ in range(int(rng.integers(0, 3))):
        r = rng.uniform(9, 16)
        cy, cx = rng.uniform(0.1, 0.9) * h, rng.uniform(0.1, 0.9) * w
        rho = np.hypot(wy - cy, wx - cx) / r
        disc = (rho < 1) & (truth != GLOMERULI)
        truth[disc] = OTHER
        ok_nuc &= ~disc
        q = np.where(disc, np.where(rho > 0.55, 0.45, 0.03), q)
    hm += splat(rng, shape, ok_nuc, 0.018)
    hm += splat(rng, shape, truth == INTERSTITIUM, p.interstitial_nuclei)
    if rng.random() < 0.6:
        angle = rng.uniform(0, 2 * np.pi)
        side = (xx - w / 2) * np.cos(angle) + (yy - h / 2) * np.sin(angle)
        side = side + 3 * smooth_noise(rng, shape, 12)
        glass = side > np.quantile(side, 1 - rng.uniform(0.06, 0.22))
        truth[glass] = OTHER
        q = np.where(glass, 0.0, q)
        hm = np.where(glass, 0.0, hm)
    q = np.clip(q, 0, None)
    return Tissue(hm.astype(np.float32), q.astype(np.float32), truth)


def splat(rng, shape, where, density):
    points = np.zeros(shape)
    points[(rng.random(shape) < density) & where] = 1
    spots = ndi.gaussian_filter(points, 1.3)
    return np.clip(spots * 9, 0, 0.9)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float):
    """Gaussian noise (H, W) of unit variance, smooth over ``sigma`` pixels."""
    noise = ndi.gaussian_filter(rng.normal(size=shape), sigma, mode="wrap")
    return noise / noise.std()
