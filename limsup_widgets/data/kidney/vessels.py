"""Vessels: arteries with a muscular wall, veins with a thin one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limsup_widgets.data.kidney.nuclei import nuclei
from limsup_widgets.data.kidney.parameters import Parameters
from limsup_widgets.data.kidney.tissue import (
    OTHER,
    Field,
    Tissue,
    band,
    scatter,
    smooth_noise,
    soft,
)


@dataclass(frozen=True)
class Vessel:
    """One vessel: ``signed`` (H, W) pixels to the outside of its wall, positive inside."""

    y: float
    x: float
    wall: float
    signed: Field


def plan_vessels(rng: np.random.Generator, shape: tuple[int, int], taken: Field) -> list[Vessel]:
    """None to two vessels; ``taken`` (H, W) is positive where no vessel may have its centre."""
    rows, columns = np.indices(shape, dtype=np.float32)
    planned: list[Vessel] = []
    for _ in range(int(rng.integers(0, 3))):
        radius = rng.uniform(9, 16)
        y, x = rng.uniform(0.06, 0.94, 2) * shape
        vein = rng.random() < 0.3
        if taken[int(y), int(x)] > -radius - 3:
            continue
        turn, ratio = rng.uniform(0, np.pi), rng.uniform(1.0, 1.5 if vein else 1.25)
        dy, dx = rows - y, columns - x
        u = (dx * np.cos(turn) + dy * np.sin(turn)) / np.sqrt(ratio)
        v = (dy * np.cos(turn) - dx * np.sin(turn)) * np.sqrt(ratio)
        signed = radius - np.hypot(u, v) + 0.8 * smooth_noise(rng, shape, 7)
        wall = rng.uniform(0.16, 0.24) if vein else rng.uniform(0.42, 0.6)
        planned.append(Vessel(y, x, wall * radius, signed.astype(np.float32)))
        taken = np.maximum(taken, planned[-1].signed)
    return planned


def paint_vessel(tissue: Tissue, v: Vessel, p: Parameters, rng: np.random.Generator) -> None:
    """Adventitia, media with circular fibres, elastic lamina, lumen."""
    shape = v.signed.shape
    ripple = smooth_noise(rng, shape, 3)
    tissue.paint(0.6 * band(v.signed, -1.5, 1.2), 0.38 + 0.1 * np.sin(2.6 * v.signed + ripple))
    muscle = 0.40 + 0.07 * np.sin(2.2 * v.signed + 1.5 * ripple)
    tissue.paint(soft(v.signed), muscle.astype(np.float32), 0.10)
    inner = v.signed - v.wall + 0.6 * ripple
    tissue.paint(soft(inner), 0.04)
    tissue.paint(band(inner, -0.6, 0.6), 0.75 * p.membrane)
    tissue.truth[v.signed > 0] = OTHER
    media = scatter(rng, (v.signed > 1.2) & (inner < -1.2), 0.022)
    lining = scatter(rng, (inner > -0.6) & (inner < 0.6), 0.06)
    for spots, size in ((media, 1.35), (lining, 1.15)):
        tangent = np.arctan2(spots[:, 0] - v.y, spots[:, 1] - v.x) + np.pi / 2
        tissue.nuclei.append(nuclei(rng, spots, size, 2.8, tangent, density=0.8))
    if rng.random() < 0.4:
        cells = np.clip(smooth_noise(rng, shape, 1.1) - 0.2, 0, 1)
        tissue.paint(soft(inner, 1.5, 1.5) * cells, 0.34)
