"""Cell nuclei: ellipses with a dense rim, of varied size, shape and chromatin."""

from __future__ import annotations

import numpy as np

from limsup_widgets.data.kidney.tissue import Field, Tissue

HALF = 5


def nuclei(
    rng: np.random.Generator,
    places: Field,
    size: float,
    elongation: float = 1.2,
    angle: Field | None = None,
    density: float = 0.9,
) -> Field:
    """Nuclei at ``places`` (n, 2).

    Parameters
    ----------
    size
        Geometric mean of the half axes in pixels; single nuclei vary by 13 %.
    elongation
        Mean ratio of the long to the short half axis.
    angle
        Directions (n,) of the long axes in rad; random if None.
    density
        Mean haematoxylin density.

    Returns
    -------
    (n, 6) array
        As :class:`~limsup_widgets.data.kidney.tissue.Tissue` keeps them.
    """
    n = len(places)
    radius = size * np.exp(rng.normal(0, 0.13, n))
    ratio = np.sqrt(1 + (elongation - 1) * rng.gamma(4, 0.25, n))
    turn = rng.uniform(0, np.pi, n) if angle is None else angle + rng.normal(0, 0.2, n)
    dark = density * np.exp(rng.normal(0, 0.16, n))
    columns = (places[:, 0], places[:, 1], radius * ratio, radius / ratio, turn, dark)
    return np.stack(columns, axis=1).astype(np.float32)


def stamp(tissue: Tissue, rng: np.random.Generator) -> None:
    """Paint all nuclei collected so far into the haematoxylin map, darkest wins."""
    if not tissue.nuclei:
        return
    y, x, long, short, angle, dark = np.concatenate(tissue.nuclei).T[..., None, None]
    rows = np.round(y).astype(int) + np.arange(-HALF, HALF + 1)[:, None]
    columns = np.round(x).astype(int) + np.arange(-HALF, HALF + 1)
    dy, dx = rows - y, columns - x
    along = (dx * np.cos(angle) + dy * np.sin(angle)) / long
    across = (dy * np.cos(angle) - dx * np.sin(angle)) / short
    rho = np.sqrt(along**2 + across**2)
    edge = np.clip((1 - rho) * np.sqrt(long * short) / 0.9 + 0.5, 0, 1)
    clumps = 1 + 0.14 * rng.standard_normal(rho.shape, dtype=np.float32)
    value = dark * edge * (0.82 + 0.25 * np.minimum(rho, 1) ** 2) * clumps
    height, width = tissue.truth.shape
    rows, columns = np.broadcast_arrays(rows, columns)
    seen = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width) & (edge > 0)
    layer = np.zeros_like(tissue.haematoxylin)
    np.maximum.at(layer, (rows[seen], columns[seen]), value[seen])
    shade = np.clip(layer, 0, 1)
    tissue.pas *= 1 - 0.55 * shade
    tissue.haematoxylin = np.maximum(tissue.haematoxylin, layer)
