"""Glomeruli: capsule, urinary space and a lobulated tuft, or a sclerosed ball."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from limsup_widgets.data.kidney.nuclei import nuclei
from limsup_widgets.data.kidney.parameters import Parameters
from limsup_widgets.data.kidney.tissue import (
    GLOMERULI,
    Field,
    Tissue,
    band,
    scatter,
    smooth_noise,
    soft,
)

RADIUS = 27.0


@dataclass(frozen=True)
class Glomerulus:
    """One glomerulus: ``signed`` (H, W) pixels to its capsule, positive inside."""

    y: float
    x: float
    radius: float
    sclerosed: bool
    signed: Field


def plan_glomeruli(
    p: Parameters, rng: np.random.Generator, shape: tuple[int, int]
) -> list[Glomerulus]:
    """None, one or two glomeruli; a second one keeps its distance from the first."""
    rows, columns = np.indices(shape, dtype=np.float32)
    planned: list[Glomerulus] = []
    for _ in range(int(rng.choice([0, 1, 1, 2]))):
        sclerosed = bool(rng.random() < p.sclerosis)
        radius = RADIUS * float(np.clip(1 + 0.15 * rng.normal(), 0.7, 1.35))
        radius *= 0.82 if sclerosed else 1.0
        y, x = rng.uniform(0.08, 0.92, 2) * shape
        if any(np.hypot(y - g.y, x - g.x) < radius + g.radius + 6 for g in planned):
            continue
        turn, ratio = rng.uniform(0, np.pi), rng.uniform(1.0, 1.12)
        dy, dx = rows - y, columns - x
        u = (dx * np.cos(turn) + dy * np.sin(turn)) * ratio
        v = (dy * np.cos(turn) - dx * np.sin(turn)) / ratio
        outline = radius - np.hypot(u, v) + 1.1 * smooth_noise(rng, shape, 9)
        planned.append(Glomerulus(y, x, radius, sclerosed, outline.astype(np.float32)))
    return planned


def paint_glomerulus(
    tissue: Tissue, g: Glomerulus, p: Parameters, rng: np.random.Generator
) -> None:
    """Paint one glomerulus over whatever lies there."""
    tissue.truth[g.signed > 0] = GLOMERULI
    if g.sclerosed:
        _sclerosed(tissue, g, p, rng)
    else:
        _tuft(tissue, g, p, rng)
    tissue.paint(band(g.signed, 0.8, 0.8), p.membrane)
    rim = scatter(rng, (g.signed > 0.5) & (g.signed < 2.0), 0.035)
    tangent = np.arctan2(rim[:, 0] - g.y, rim[:, 1] - g.x) + np.pi / 2
    tissue.nuclei.append(nuclei(rng, rim, 1.25, 2.6, tangent))


def _sclerosed(tissue: Tissue, g: Glomerulus, p: Parameters, rng: np.random.Generator) -> None:
    """Matrix in whorls, hardly a nucleus."""
    shape = g.signed.shape
    whorls = np.sin(0.9 * g.signed + 2.5 * smooth_noise(rng, shape, 6))
    matrix = 0.70 + 0.07 * whorls + 0.07 * smooth_noise(rng, shape, 1.2)
    tissue.paint(soft(g.signed), matrix, 0.04)
    tissue.nuclei.append(nuclei(rng, scatter(rng, g.signed > 3, 0.004), 1.4, 1.8))


def _tuft(tissue: Tissue, g: Glomerulus, p: Parameters, rng: np.random.Generator) -> None:
    """Urinary space, lobules of capillary loops around mesangium, many nuclei."""
    shape = g.signed.shape
    rows, columns = np.indices(shape, dtype=np.float32)
    n = int(rng.integers(5, 9))
    turn = np.linspace(0, 2 * np.pi, n, endpoint=False) + rng.uniform(0, 6) + rng.normal(0, 0.15, n)
    reach = g.radius * rng.uniform(0.42, 0.52, n)
    pole = rng.uniform(0, 2 * np.pi)
    cy = g.y + 0.06 * g.radius * np.sin(pole) + np.append(reach * np.sin(turn), 0)
    cx = g.x + 0.06 * g.radius * np.cos(pole) + np.append(reach * np.cos(turn), 0)
    size = g.radius * np.append(rng.uniform(0.36, 0.44, n), 0.45)
    far = np.stack(
        [r - np.hypot(rows - y, columns - x) for y, x, r in zip(cy, cx, size, strict=True)]
    )
    lobule = np.minimum(far.max(0) + 0.8 * smooth_noise(rng, shape, 3), g.signed - 1.8)
    tissue.paint(soft(g.signed), 0.03)
    loops = _loops(rng, g, shape)
    cleft = np.clip(np.sort(far, axis=0)[-2] - far.max(0) + 3, 0, 3) / 3
    core = np.clip(0.9 * smooth_noise(rng, shape, 2.6) - 0.5 + 0.8 * p.sclerosis, 0, 1)
    walls = band(loops, 0, 0.6)
    pas = 0.06 + 0.52 * walls + 0.12 * cleft
    pas += core * (0.52 - pas)
    tissue.paint(soft(lobule), pas * (1 + 0.08 * smooth_noise(rng, shape, 0.8)), 0.07 + 0.05 * core)
    tissue.paint(band(lobule, 0.3, 0.7) * (g.signed > 1.5), 0.55)
    inner = lobule > 0.6
    tissue.nuclei.append(
        nuclei(rng, scatter(rng, inner & (loops < 1.3), 0.034), 1.55, 1.35, density=0.85)
    )


def _loops(rng: np.random.Generator, g: Glomerulus, shape: tuple[int, int]) -> Field:
    """Pixels to the nearest wall between capillary loops, in the window of the glomerulus."""
    spread = np.full(shape, 9.0, np.float32)
    reach = int(g.radius * 1.2) + 2
    top, left = max(0, int(g.y) - reach), max(0, int(g.x) - reach)
    window = np.s_[top : int(g.y) + reach, left : int(g.x) + reach]
    rows, columns = (axis[window] for axis in np.indices(shape))
    count = int((2 * reach) ** 2 / 34)
    seeds = rng.uniform(-reach, reach, (count, 2)) + np.array((g.y, g.x))
    places = np.stack([rows.ravel(), columns.ravel()], 1) + rng.normal(0, 0.3, (rows.size, 2))
    near = cKDTree(seeds).query(places, k=2)[0]
    spread[window] = ((near[:, 1] - near[:, 0]) / 2).reshape(rows.shape)
    return spread
