"""Maps of two stains → an RGB image, by optical density."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from limsup_widgets.data.kidney.anatomy import draw_tissue
from limsup_widgets.data.kidney.parameters import Parameters
from limsup_widgets.data.kidney.tissue import smooth_noise
from limsup_widgets.errors import LimsupError

DENSITY = 1.15
GLASS = 0.97
SMALLEST = 16


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
        ``(H, W)``, both at least 16; :class:`LimsupError` otherwise.

    Returns
    -------
    image
        (H, W, 3) uint8.
    truth
        (H, W) uint8, codes 1…4.
    """
    if min(shape) < SMALLEST:
        raise LimsupError("field of view", got=shape, expected=f"sides of at least {SMALLEST}")
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
    light *= 1 + 0.012 * smooth_noise(rng, h.shape, 50)[..., None]
    light += rng.normal(0, 0.007, light.shape)
    light += rng.normal(0, 0.007, h.shape)[..., None]
    return (np.clip(light, 0, 1) * 255).astype(np.uint8)
