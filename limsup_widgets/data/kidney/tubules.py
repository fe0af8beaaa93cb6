"""Tubules: rounded cross sections of three kinds, some cut lengthwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy.spatial import cKDTree

from limsup_widgets.data.kidney.nuclei import nuclei
from limsup_widgets.data.kidney.parameters import Parameters
from limsup_widgets.data.kidney.tissue import (
    TUBULES,
    Field,
    Mask,
    Tissue,
    band,
    signed_distance,
    smooth_noise,
    soft,
)

CORNER = 3.5
THINNEST = 3.6


@dataclass(frozen=True)
class Kind:
    """How one kind of tubule looks; factors act on the subject's parameters."""

    share: float
    size: float
    lumen: float
    epithelium: float
    counterstain: float
    brush_border: float
    ragged: float
    nucleus: float
    nucleus_spacing: float


KINDS = (
    Kind(0.62, 0.9, 0.80, 0.98, 0.05, 0.40, 0.16, 1.75, 9.5),
    Kind(0.26, -1.2, 1.15, 0.84, 0.08, 0.0, 0.05, 1.6, 7.5),
    Kind(0.12, -0.3, 1.25, 0.77, 0.05, 0.0, 0.03, 1.65, 6.5),
)
"""Proximal, distal, collecting."""


@dataclass(frozen=True)
class Plan:
    """Where tubules are.

    Parameters
    ----------
    cell
        (H, W) index of the tubule that a pixel belongs to or is next to.
    kind
        (n,) index into :data:`KINDS`.
    signed
        (H, W) pixels to the tubule's outline, positive inside.
    top
        (n,) greatest depth per tubule.
    angle
        (H, W) direction in rad from the tubule's centre.
    """

    cell: NDArray[np.intp]
    kind: NDArray[np.intp]
    signed: Field
    top: Field
    angle: Field


def plan_tubules(
    p: Parameters, rng: np.random.Generator, shape: tuple[int, int], room: Field
) -> Plan:
    """Lay tubules into the field, at ``room`` (H, W) pixels from structures already there."""
    seeds = _hexagonal(p.spacing, shape, rng)
    kind = rng.choice(len(KINDS), len(seeds), p=[k.share for k in KINDS])
    tree = cKDTree(seeds)
    owner = _merge(tree, seeds, rng)
    weight = np.array([k.size for k in KINDS])[kind] + rng.normal(0, 1.3, len(seeds))
    grid = np.indices(shape, dtype=np.float32)
    warped = np.stack([axis + 1.8 * smooth_noise(rng, shape, 8) for axis in grid], axis=-1)
    distance, near = tree.query(warped.reshape(-1, 2), k=3)
    best = np.argmin(distance - weight[near], axis=1)
    cell = owner[np.take_along_axis(near, best[:, None], axis=1)[:, 0]].reshape(shape)
    inside = _interior(cell)
    keep = rng.random(len(seeds)) >= p.missing_tubules
    depth = np.minimum(ndi.distance_transform_edt(inside) - p.gap / 2, room - p.gap / 2)
    core = keep[cell] & (depth > CORNER)
    tubule = ndi.distance_transform_edt(~core) < CORNER if core.any() else core
    signed = signed_distance(tubule & inside)
    index = np.arange(len(seeds))
    top = np.asarray(ndi.maximum(signed, cell, index), np.float32)
    centre = _centres(cell, tubule, seeds)
    offset = grid - np.moveaxis(centre[cell], -1, 0)
    return Plan(cell, kind, signed, np.maximum(top, 1), np.arctan2(offset[0], offset[1]))


def paint_tubules(tissue: Tissue, plan: Plan, p: Parameters, rng: np.random.Generator) -> None:
    """Membrane, epithelium, brush border, lumen or cast, nuclei on the basal side."""
    shape, n = plan.signed.shape, len(plan.kind)

    def of(name: str, spread: float = 0.0) -> Field:
        """A property per tubule, seen per pixel."""
        value = np.array([getattr(k, name) for k in KINDS])[plan.kind]
        return (value * np.exp(rng.normal(0, spread, n))).astype(np.float32)[plan.cell]

    grain = smooth_noise(rng, shape, 0.8)
    patch = smooth_noise(rng, shape, 1.7)
    open_share = np.clip(p.lumen * of("lumen", 0.22), 0.0, 0.85)
    top = plan.top[plan.cell]
    wall = np.maximum((1 - open_share) * top, THINNEST)
    to_lumen = plan.signed - wall + of("ragged") * top * patch
    cytoplasm = p.epithelium * of("epithelium", 0.06) * (1 + 0.10 * grain)
    fringe = of("brush_border") * p.epithelium * band(to_lumen, -0.6, 0.9) * (1 + 0.3 * grain)
    tissue.paint(soft(plan.signed), cytoplasm + fringe, of("counterstain"))
    cast = (rng.random(n) < p.casts)[plan.cell]
    content = np.where(cast, 0.5 + 0.03 * patch, 0.03 + 0.03 * np.abs(grain)).astype(np.float32)
    tissue.paint(soft(to_lumen, 0, 1.2) * soft(plan.signed, 2), content)
    tissue.paint(band(plan.signed, 0.3, 0.55), 1.35 * p.membrane)
    tissue.truth[plan.signed > 0] = TUBULES
    tissue.nuclei.append(_basal_nuclei(plan, to_lumen, rng))


def _hexagonal(
    spacing: float, shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float64]:
    rows = np.arange(-spacing, shape[0] + spacing, 0.87 * spacing)
    columns = np.arange(-spacing, shape[1] + spacing, spacing)
    shift = spacing / 2 * (np.arange(len(rows)) % 2)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    seeds = np.stack([y, x + shift[:, None]], axis=-1).reshape(-1, 2)
    turn = rng.uniform(-0.3, 0.3)
    middle = np.array(shape) / 2
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return (seeds - middle) @ rotation * 1.04 + middle + rng.normal(0, 0.17 * spacing, seeds.shape)


def _merge(tree: cKDTree, seeds: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.intp]:
    """Owner (n,) of each seed: some lend their place to a neighbour, which is cut lengthwise."""
    owner = np.arange(len(seeds))
    neighbour = tree.query(seeds, k=4)[1]
    lend = np.flatnonzero(rng.random(len(seeds)) < 0.13)
    owner[lend] = neighbour[lend, rng.integers(1, 4, len(lend))]
    return owner


def _centres(
    cell: NDArray[np.intp], tubule: Mask, seeds: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Centres of mass (n, 2); cells that are not in the field keep their seed."""
    rows, columns = np.nonzero(tubule)
    owner = cell[rows, columns]
    count = np.bincount(owner, minlength=len(seeds))
    total = np.stack([np.bincount(owner, axis, len(seeds)) for axis in (rows, columns)], axis=1)
    mean = np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], seeds)
    return mean.astype(np.float32)


def _interior(cell: NDArray[np.intp]) -> Mask:
    """Pixels whose right and lower neighbours share their cell."""
    inside = np.ones(cell.shape, bool)
    inside[:-1] &= cell[:-1] == cell[1:]
    inside[:, :-1] &= cell[:, :-1] == cell[:, 1:]
    return inside


def _basal_nuclei(plan: Plan, to_lumen: Field, rng: np.random.Generator) -> Field:
    """One nucleus per cell of the epithelium: sectors of the ring, one pixel out of each."""
    spacing = np.array([k.nucleus_spacing for k in KINDS])[plan.kind]
    sectors = np.maximum(2, np.round(2 * np.pi * (plan.top + 1) / spacing)).astype(int)
    phase = rng.random(len(sectors))
    ring = (plan.signed > 1.6) & (plan.signed < 4.0) & (to_lumen < -1.0)
    places = np.argwhere(ring)
    rng.shuffle(places)
    cell = plan.cell[tuple(places.T)]
    turn = plan.angle[tuple(places.T)] / (2 * np.pi) + phase[cell]
    sector = np.floor(turn % 1 * sectors[cell]).astype(int)
    chosen = np.unique(cell * 64 + np.minimum(sector, 63), return_index=True)[1]
    chosen = chosen[rng.random(len(chosen)) < 0.8]
    kind = plan.kind[cell[chosen]]
    size = np.array([k.nucleus for k in KINDS])[kind]
    spots = places[chosen] + rng.uniform(-0.5, 0.5, (len(chosen), 2))
    tangent = plan.angle[tuple(places[chosen].T)] + np.pi / 2
    made = nuclei(rng, spots.astype(np.float32), 1.0, 1.25, tangent, density=0.85)
    made[:, 2:4] *= size[:, None]
    return made
