"""`Image`: what every reader returns and what a case is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.data.intensity import scale_intensity
from limsup_widgets.data.lazy import Box, LazyArray, sample, scaled_levels
from limsup_widgets.errors import LimsupError

Axes = Literal["YX", "YXC", "ZYX"]


@dataclass(frozen=True, eq=False)
class Image:
    """One image or volume, with where it came from and how it lies in space.

    Attributes
    ----------
    array
        ``YX`` (H, W), ``YXC`` (H, W, C) or ``ZYX`` (D, H, W); uint8, or float32 in [0, 1]. Of a
        large file a :class:`~limsup_widgets.data.lazy.LazyArray`, read slice by slice.
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
        no file. Of a lazy image it begins with ``sampled-`` and does not cover every byte.
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

    array: Any
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

    @classmethod
    def lazy(
        cls,
        source: Any,
        levels: Sequence[Any] = (),
        name: str = "image",
        *,
        spacing: tuple[float, float] = (1.0, 1.0),
        sha256: str | None = None,
        path: Path | None = None,
        notes: tuple[str, ...] = (),
    ) -> Image:
        """An image too large for memory, from anything that gives its pixels by slices.

        Parameters
        ----------
        source
            An object with `shape`, `dtype` and `source[rows, columns]`, as zarr, dask, h5py and
            memory-mapped arrays are: ``(H, W)`` or ``(H, W, C)``. It must not change.
        levels
            The same image at lower resolutions, fine to coarse; made on the fly if none.
        name, spacing, sha256, path, notes
            As the attributes of the same name. The checksum is otherwise of a sample of pixels.

        Raises
        ------
        LimsupError
            For another number of axes, no pixels, levels that do not get coarser, or pixels that
            are no real numbers; NaN or infinity are found when they are read.

        Examples
        --------
        >>> image = Image.lazy(np.broadcast_to(np.uint8(7), (30000, 40000)), name="flat")
        >>> image.read((20000, 0, 20002, 3)).tolist(), len(image.levels)
        ([[7, 7, 7], [7, 7, 7]], 6)
        """
        stored = [_lazily(level, name) for level in (source, *levels)]
        sizes = [level.shape[:2] for level in stored]
        if any(a <= b for a, b in pairwise(sizes)) or len({a.shape[2:] for a in stored}) > 1:
            raise LimsupError(f"levels of {name}", got=sizes, expected="one image, fine to coarse")
        array, changes = scaled_levels(stored, name)
        return cls(
            array=array,
            axes="YX" if array.ndim == 2 else "YXC",
            spacing=spacing,
            sha256=sha256 or f"sampled-{_pixels_sha256(sample(array))}",
            path=path,
            name=name,
            notes=(*notes, *changes),
        )

    @property
    def is_lazy(self) -> bool:
        """Whether pixels stay outside memory until they are read."""
        return isinstance(self.array, LazyArray)

    @property
    def levels(self) -> list[Any]:
        """The image, then lower resolutions of it, fine to coarse; of a small one only itself."""
        return (
            [self.array, *self.array.coarser] if isinstance(self.array, LazyArray) else [self.array]
        )

    def read(self, box: Box) -> NDArray:
        """Pixels ``(h, w)`` or ``(h, w, C)`` of ``box``, (top, left, bottom, right), half-open.

        Raises
        ------
        LimsupError
            A box that is empty or not inside the image, a volume, or a damaged file.
        """
        top, left, bottom, right = box
        if self.is_volume:
            raise LimsupError(self.name, got="a volume", expected="one plane", do="use planes()")
        if not (0 <= top < bottom <= self.shape[0] and 0 <= left < right <= self.shape[1]):
            raise LimsupError(f"box in {self.name}", got=box, expected=f"pixels of {self.shape}")
        found: NDArray = self.array[top:bottom, left:right]
        return found

    def overview(self, pixels: int = 2**21) -> NDArray:
        """The whole image with at most ``pixels`` pixels: a coarse level, every n-th pixel of it.

        Examples
        --------
        >>> Image.from_array(np.zeros((100, 200), np.uint8)).overview(pixels=5000).shape
        (50, 100)
        """
        if self.is_volume:
            raise LimsupError(self.name, got="a volume", expected="one plane", do="use planes()")
        fits = [level for level in self.levels if level.shape[0] * level.shape[1] <= pixels]
        level = fits[0] if fits else self.levels[-1]
        step = 1
        while -(-level.shape[0] // step) * -(-level.shape[1] // step) > pixels:
            step += 1
        return np.asarray(level[::step, ::step])

    def sample(self) -> NDArray:
        """Pixels for statistics: all of them, of a lazy image blocks from all over it.

        Blocks have full resolution, as a mean of pixels has another spread than pixels.
        """
        return sample(self.array) if self.is_lazy else np.asarray(self.array)

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


def _lazily(source: Any, name: str) -> LazyArray:
    """``source`` as a lazy array of the values that it holds."""
    missing = [a for a in ("shape", "dtype", "__getitem__") if not hasattr(source, a)]
    if missing:
        raise LimsupError(
            name,
            got=f"{type(source).__name__} without {' and '.join(missing)}",
            expected="an array, or what can be sliced like one",
        )
    if len(source.shape) not in (2, 3) or min(source.shape) < 1:
        raise LimsupError(name, got=f"shape {tuple(source.shape)}", expected="(H, W) or (H, W, C)")

    def read(rows: slice, columns: slice) -> NDArray:
        return np.asarray(source[rows, columns])

    chunks = getattr(source, "chunks", None)
    regular = isinstance(chunks, tuple) and all(isinstance(side, int) for side in chunks)
    chunk = (chunks[0], chunks[1]) if chunks and regular else (1, 1)
    return LazyArray(name, source.shape, source.dtype, read, chunk=chunk)


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
