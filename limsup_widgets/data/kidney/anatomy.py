"""One field of view: structures planned from large to small, painted from the back to the front."""

from __future__ import annotations

import numpy as np

from limsup_widgets.data.kidney.glomeruli import paint_glomerulus, plan_glomeruli
from limsup_widgets.data.kidney.interstitium import paint_cells, paint_stroma
from limsup_widgets.data.kidney.nuclei import stamp
from limsup_widgets.data.kidney.parameters import Parameters
from limsup_widgets.data.kidney.tissue import OTHER, Tissue, band, smooth_noise, soft
from limsup_widgets.data.kidney.tubules import paint_tubules, plan_tubules
from limsup_widgets.data.kidney.vessels import paint_vessel, plan_vessels


def draw_tissue(p: Parameters, rng: np.random.Generator, shape: tuple[int, int]) -> Tissue:
    """Plan and paint one field of view (H, W) of a subject's tissue.

    Every structure has a random stream of its own: a dial that changes the colour of one leaves
    the place of all others alone, so that two settings show the same tissue.
    """
    streams = iter(rng.spawn(20))
    tissue = Tissue.empty(shape)
    nothing = np.full(shape, -1e3, np.float32)
    glomeruli = plan_glomeruli(p, next(streams), shape)
    balls = np.max([nothing, *(g.signed for g in glomeruli)], axis=0)
    vessels = plan_vessels(next(streams), shape, balls)
    solid = np.max([balls, *(v.signed for v in vessels)], axis=0)
    plan = plan_tubules(p, next(streams), shape, room=-solid)
    outline = np.maximum(plan.signed, solid)
    paint_stroma(tissue, p, next(streams), outline)
    paint_tubules(tissue, plan, p, next(streams))
    cells, chromatin, edge = (next(streams) for _ in range(3))
    for vessel in vessels:
        paint_vessel(tissue, vessel, p, next(streams))
    for glomerulus in glomeruli:
        paint_glomerulus(tissue, glomerulus, p, next(streams))
    paint_cells(tissue, p, cells, outline)
    stamp(tissue, chromatin)
    _cut_edge(tissue, edge)
    return tissue


def _cut_edge(tissue: Tissue, rng: np.random.Generator) -> None:
    """In three fields of five empty glass behind a wavy edge, 6 to 22 % of the field."""
    if rng.random() > 0.6:
        return
    shape = tissue.truth.shape
    rows, columns = np.indices(shape, dtype=np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    wave = 3.5 * smooth_noise(rng, shape, 14) + 0.8 * smooth_noise(rng, shape, 3)
    across = columns * np.cos(turn) + rows * np.sin(turn) + wave
    side = (across - np.quantile(across, 1 - rng.uniform(0.06, 0.22))).astype(np.float32)
    tissue.pas += 0.15 * band(side, -1.2, 1.0)
    tissue.paint(soft(side, 0, 1.4), 0.0)
    tissue.truth[side > 0] = OTHER
