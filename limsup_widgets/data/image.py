"""`Image`: what every reader returns and what a case is made of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.data.intensity import scale_intensity
from limsup_widgets.errors import LimsupError

Axes = Literal["YX", "YXC", "ZYX"]


@dataclass(frozen=True, eq=False)
class Image:
    """One image or volume, with where it came from and how it lies in space.

    Attributes
    ----------
    array
        ``YX`` (H, W), ``YXC`` (H, W, C) or ``ZYX`` (D, H, W); uint8, or float32 in [0, 1].
    axes
        Names of the axes of `array`.
    spacing
        Size of a pixel along the spatial axes, in the order of `axes`: millimetres where the file
        says so (NIfTI, DICOM), else 1.
    affine
        (4, 4), or None. Maps indices in *reversed* axis order (x, y, z) to millimetres
        (right, anterior, superior): the matrix of a NIfTI file, as it was stored. `array.T` with
        this matrix is therefore the image in its own space.
    sha256
        Of the bytes of the file; of a series, of its files in order; of the pixels if there is
        no file.
    path
        File or folder it was read from, or None.
    name
        Short name for lists and output files.
    notes
        What reading changed, one line each. Empty: nothing.

    Examples
    --------
    >>> volume = Image.from_array(np.zeros((2, 8, 8), np.uint8), axes="ZYX", name="scan")
    >>> [plane.name for plane in volume.planes()]
    ['scan_z000', 'scan_z001']
    """

    array: NDArray
    axes: Axes = "YX"
    spacing: tuple[float, ...] = (1.0, 1.0)
    affine: NDArray | None = None
    sha256: str = ""
    path: Path | None = None
    name: str = "image"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.axes not in ("YX", "YXC", "ZYX") or self.array.ndim != len(self.axes):
            raise LimsupError(
                self.name,
                got=f"shape {self.array.shape} with axes {self.axes!r}",
                expected="(H, W), (H, W, C) or (D, H, W)",
                do="name the axes: YX, YXC or ZYX",
            )
        if self.array.dtype not in (np.uint8, np.float32):
            raise LimsupError(
                self.name,
                got=f"pixels of type {self.array.dtype}",
                expected="uint8 or float32",
                do="make the image with Image.from_array, which converts",
            )

    @classmethod
    def from_array(
        cls,
        array: NDArray,
        name: str = "image",
        *,
        axes: Axes | None = None,
        spacing: tuple[float, ...] | None = None,
        affine: NDArray | None = None,
        sha256: str | None = None,
        path: Path | None = None,
        notes: tuple[str, ...] = (),
    ) -> Image:
        """Make an image of any real array; intensities as in `scale_intensity`.

        Parameters
        ----------
        array
            Two or three axes. It is copied: what the caller does with it later changes nothing.
        axes
            Guessed if not given: two axes are YX; a last axis of 3 or 4 is colour (YXC), any other
            third axis makes a volume (ZYX).
        name, spacing, affine, sha256, path, notes
            As the attributes of the same name.

        Raises
        ------
        LimsupError
            For another number of axes, no pixels, NaN or infinity.
        """
        array = np.asarray(array)
        scaled, changes = scale_intensity(array, name=name)
        axes = axes or _guess_axes(array)
        return cls(
            array=np.array(scaled, order="C"),
            axes=axes,
            spacing=spacing or (1.0,) * len(axes.replace("C", "")),
            affine=affine,
            sha256=sha256 or _pixels_sha256(array),
            path=path,
            name=name,
            notes=(*notes, *changes),
        )

    @property
    def is_volume(self) -> bool:
        """Whether there is a depth axis."""
        return self.axes == "ZYX"

    @property
    def channels(self) -> int:
        """C: number of values per pixel."""
        return int(self.array.shape[-1]) if self.axes == "YXC" else 1

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the image, or of one plane of the volume."""
        height, width = self.array.shape[-2:] if self.axes == "ZYX" else self.array.shape[:2]
        return int(height), int(width)

    def planes(self, axis: int = 0) -> list[Image]:
        """Cut a volume into its planes; a flat image is its only plane.

        Parameters
        ----------
        axis
            Axis of `array` to cut along: 0 (z), 1 (y) or 2 (x).

        Returns
        -------
        list of Image
            ``YX`` images that know their place: spacing and affine are those of the plane, the
            checksum is that of its pixels, the name ends in the axis and its index.
        """
        if not self.is_volume:
            return [self]
        if axis not in (0, 1, 2):
            raise LimsupError("axis", got=axis, expected="0 (z), 1 (y) or 2 (x)")
        return [self._plane(axis, index) for index in range(self.array.shape[axis])]

    def _plane(self, axis: int, index: int) -> Image:
        pixels = np.ascontiguousarray(self.array.take(index, axis=axis))
        return replace(
            self,
            array=pixels,
            axes="YX",
            spacing=tuple(s for i, s in enumerate(self.spacing) if i != axis),
            affine=None if self.affine is None else _plane_affine(self.affine, axis, index),
            sha256=_pixels_sha256(pixels),
            name=f"{self.name}_{'zyx'[axis]}{index:03d}",
        )


def _guess_axes(array: NDArray) -> Axes:
    if array.ndim == 2:
        return "YX"
    return "YXC" if array.ndim == 3 and array.shape[-1] in (3, 4) else "ZYX"


def _pixels_sha256(array: NDArray) -> str:
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _plane_affine(affine: NDArray, axis: int, index: int) -> NDArray:
    """Shift the origin to the plane and put the cut axis last."""
    cut = 2 - axis
    shifted = np.array(affine, dtype=float)
    shifted[:, 3] += shifted[:, cut] * index
    kept = [column for column in range(3) if column != cut]
    return shifted[:, [*kept, cut, 3]]
