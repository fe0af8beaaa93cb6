"""Interstitium: collagen fibres, capillaries, fibroblasts and the cells of an inflammation."""

from __future__ import annotations

import numpy as np

from limsup_widgets.data.kidney.nuclei import nuclei
from limsup_widgets.data.kidney.parameters import Parameters
from limsup_widgets.data.kidney.tissue import (
    INTERSTITIUM,
    Field,
    Tissue,
    scatter,
    smooth_noise,
)


def paint_stroma(tissue: Tissue, p: Parameters, rng: np.random.Generator, signed: Field) -> None:
    """Ground substance with fibres that follow the outlines nearby (``signed`` < 0 outside)."""
    shape = signed.shape
    fibres = np.sin(2.4 * signed + 1.5 * smooth_noise(rng, shape, 4))
    coarse = smooth_noise(rng, shape, 1.1)
    tissue.pas[:] = p.stroma * np.clip(1 + 0.22 * fibres + 0.22 * coarse, 0.1, None)
    tissue.haematoxylin[:] = 0.05 + 0.015 * coarse


def paint_cells(tissue: Tissue, p: Parameters, rng: np.random.Generator, signed: Field) -> None:
    """Capillaries between tubules, fibroblasts along fibres, lymphocytes in clusters."""
    _capillaries(tissue, p, rng, signed)
    stroma = (tissue.truth == INTERSTITIUM) & (signed < -1.2)
    along = _tangent(signed)
    crowd = np.exp(0.9 * smooth_noise(rng, signed.shape, 12) - 0.4)
    resident = scatter(rng, stroma, min(p.interstitial_nuclei, 0.005))
    where = tuple(np.clip(np.round(resident).astype(int).T, 0, np.array(signed.shape)[:, None] - 1))
    tissue.nuclei.append(nuclei(rng, resident, 1.3, 3.0, along[where], density=0.8))
    immigrants = max(0.0, p.interstitial_nuclei - 0.003)
    lymphocytes = scatter(rng, stroma, immigrants * crowd)
    tissue.nuclei.append(nuclei(rng, lymphocytes, 1.7, 1.1, density=1.05))


def _capillaries(tissue: Tissue, p: Parameters, rng: np.random.Generator, signed: Field) -> None:
    """Small pale rings where the interstitium is wide enough, a nucleus beside most of them."""
    wide = (tissue.truth == INTERSTITIUM) & (signed < -2.0)
    for y, x in scatter(rng, wide, 0.012):
        radius = min(-float(signed[_pixel(y, x, signed.shape)]), rng.uniform(1.8, 3.6))
        _capillary(tissue, p, rng, float(y), float(x), radius)
        if rng.random() < 0.6:
            side = rng.uniform(0, 2 * np.pi)
            spot = np.array([[y + radius * np.sin(side), x + radius * np.cos(side)]], np.float32)
            tissue.nuclei.append(nuclei(rng, spot, 1.2, 2.2, np.array([side + np.pi / 2])))


def _capillary(
    tissue: Tissue, p: Parameters, rng: np.random.Generator, y: float, x: float, radius: float
) -> None:
    """Wall, lumen, sometimes a red cell, in a window of 13 × 13 pixels."""
    top, left = max(0, int(y) - 6), max(0, int(x) - 6)
    window = np.s_[top : int(y) + 7, left : int(x) + 7]
    pas, free = tissue.pas[window], tissue.truth[window] == INTERSTITIUM
    dy = (np.arange(pas.shape[0]) + top - y)[:, None]
    dx = np.arange(pas.shape[1]) + left - x
    turn, ratio = rng.uniform(0, np.pi), rng.uniform(1.0, 1.7)
    along = (dx * np.cos(turn) + dy * np.sin(turn)) / ratio
    across = (dy * np.cos(turn) - dx * np.sin(turn)) * ratio**0.3
    rho = np.hypot(along, across)
    pas += free * np.clip(radius - 0.4 - rho, 0, 1) * (0.06 - pas)
    pas += free * 0.5 * np.exp(-(((rho - radius + 0.4) / 0.6) ** 2) / 2) * (0.6 * p.membrane - pas)
    if radius > 2.2 and rng.random() < 0.4:
        pas += free * np.clip(0.45 * radius - rho, 0, 1) * (0.34 - pas)


def _tangent(signed: Field) -> Field:
    """Direction (H, W) in rad of the contour lines of ``signed``."""
    down, right = np.gradient(signed)
    return np.asarray(np.arctan2(down, right) + np.pi / 2, np.float32)


def _pixel(y: float, x: float, shape: tuple[int, ...]) -> tuple[int, int]:
    return min(max(round(float(y)), 0), shape[0] - 1), min(max(round(float(x)), 0), shape[1] - 1)
