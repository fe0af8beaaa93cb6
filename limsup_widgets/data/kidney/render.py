"""Maps of two stains → an RGB image, by optical density."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from limsup_widgets.data.kidney.anatomy import draw_tissue
from limsup_widgets.data.kidney.parameters import Parameters

DENSITY = 1.15
GLASS = 0.97


def render(
    parameters: Parameters, seed: int | Sequence[int], shape: tuple[int, int] = (192, 256)
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one image and its truth.

    Parameters
    ----------
    parameters
        Tissue and stain of the subject.
    seed
        Everything random in this image.
    shape
        ``(H, W)``.

    Returns
    -------
    image
        (H, W, 3) uint8.
    truth
        (H, W) uint8, codes 1…4.
    """
    rng = np.random.default_rng(seed)
    tissue = draw_tissue(parameters, rng, shape)
    return stain(tissue.haematoxylin, tissue.pas, parameters, rng), tissue.truth


def stain(
    haematoxylin: NDArray[np.float32],
    pas: NDArray[np.float32],
    parameters: Parameters,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Two maps of stain (H, W) ≥ 0 → light that passes, (H, W, 3) uint8 (Beer–Lambert)."""
    p = parameters
    h = ndi.gaussian_filter(haematoxylin, p.blur) * p.haematoxylin_strength
    q = ndi.gaussian_filter(pas, p.blur) * p.pas_strength
    density = h[..., None] * np.asarray(p.haematoxylin, np.float32)
    density = density + q[..., None] * np.asarray(p.pas, np.float32)
    light = GLASS * np.exp(-DENSITY * density)
    slow = ndi.zoom(rng.normal(0, 1, (4, 5)), (h.shape[0] / 4, h.shape[1] / 5), order=3)
    light *= 1 + 0.03 * slow[: h.shape[0], : h.shape[1], None] / 2
    light += rng.normal(0, 0.012, light.shape)
    light += rng.normal(0, 0.012, h.shape)[..., None]
    return (np.clip(light, 0, 1) * 255).astype(np.uint8)
