"""The same anatomy through another scanner: intensities remapped, masks untouched."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limsup_widgets.errors import LimsupError


def shift_intensity(
    images: ArrayLike,
    seed: int = 0,
    *,
    gamma: float = 1.0,
    gain: float = 1.0,
    bias: float = 0.0,
    noise: float = 0.0,
    invert: bool = False,
) -> NDArray[np.float32]:
    r"""Remap grey levels: :math:`I' = g\,I^\gamma + b(x) + n`, with 1 − I for I if inverted.

    Image i depends on ``seed`` and i only. With the default dials nothing changes but that grey
    levels below 0 become 0.

    Parameters
    ----------
    images
        ``(N, C, H, W)`` or ``(N, H, W)``, about 0…1.
    seed
        Of the bias fields and the noise.
    gamma, gain
        Exponent γ > 0 and factor g.
    bias
        Largest size of a smooth field added to all channels; its direction and shape differ
        between images.
    noise
        Standard deviation of white noise added last.
    invert
        Turn bright into dark first: the stand-in for another modality.

    Returns
    -------
    ndarray
        float32 of the given shape.

    Raises
    ------
    LimsupError
        If the images have another number of axes, γ is not positive, or ``bias`` or ``noise`` is
        negative.

    Examples
    --------
    >>> shift_intensity([[[0.0, 0.5, 1.0]]], gamma=2, gain=0.8).round(2).tolist()
    [[[0.0, 0.20000000298023224, 0.800000011920929]]]
    """
    grey = np.asarray(images, np.float32)
    if grey.ndim not in (3, 4):
        raise LimsupError("images", got=f"shape {grey.shape}", expected="(N, H, W) or (N, C, H, W)")
    if gamma <= 0 or bias < 0 or noise < 0:
        raise LimsupError(
            "shift",
            got=f"gamma={gamma}, bias={bias}, noise={noise}",
            expected="gamma above 0, bias and noise of at least 0",
        )
    grey = 1 - grey if invert else grey
    shifted = gain * np.clip(grey, 0, None) ** gamma
    for i, image in enumerate(shifted):
        rng = np.random.default_rng([seed, i])
        image += bias * smooth_field(rng, image.shape[-2:])
        image += rng.normal(0, noise, image.shape)
    return np.asarray(shifted, np.float32)


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A random plane plus half a wave over ``(H, W)``, scaled so that its largest size is 1."""
    y, x = np.mgrid[-1 : 1 : 1j * shape[0], -1 : 1 : 1j * shape[1]]
    slope, wave = rng.normal(size=2), rng.normal(size=2)
    field = slope[0] * y + slope[1] * x + np.cos(np.pi / 2 * (wave[0] * y + wave[1] * x))
    field -= field.mean()
    return np.asarray(field / np.abs(field).max())
