"""Large TIFF files (tiled, pyramids, OME-TIFF, BigTIFF, slides) that stay on the disk."""

from __future__ import annotations

import hashlib
import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from limsup_widgets.data.formats import reading, tiff
from limsup_widgets.data.image import Image
from limsup_widgets.data.lazy import COARSEST, LazyArray, scaled_levels
from limsup_widgets.errors import LimsupError

LAZY_PIXELS = 2**26
"""Height times width from which a flat TIFF image stays on the disk: 8,192 × 8,192."""
CHUNK_BYTES = 2**28
"""A strip or tile of more (256 MiB) cannot be read in part."""
SAMPLED = "sampled-"
"""What a checksum begins with that does not cover every byte."""


def open_large(path: Path, name: str, lazy_from: int = LAZY_PIXELS) -> Image | None:
    """A flat image of at least ``lazy_from`` pixels without reading it; None for any other file.

    Raises
    ------
    LimsupError
        A file that is cut short, or whose pixels cannot be read in part.
    """
    with reading(path, "TIFF", *tiff.ERRORS), ExitStack() as unless_kept:
        file = unless_kept.enter_context(tifffile.TiffFile(path))
        if not _is_large(file.series[0], lazy_from):
            return None
        levels, notes = _levels(path, file)
        unless_kept.pop_all()  # From here on the levels hold the file open.
    array, changes = scaled_levels(levels, str(path))
    if len(file.series) > 1:
        notes = ("first of several images in the file", *notes)
    if max(levels[-1].shape[:2]) > COARSEST:
        notes = (*notes, "no small copy in the file: the first look at all of it reads all of it")
    left = f"{array.shape[0]} × {array.shape[1]} pixels are read where they are looked at"
    return Image(
        array=array,
        axes="YX" if array.ndim == 2 else "YXC",
        sha256=fingerprint(path),
        path=path,
        name=name,
        notes=(*notes, *changes, left),
    )


def open_stored(path: Path) -> LazyArray:
    """The numbers of the first image of a TIFF file as they are stored, whatever its size."""
    if not path.is_file():
        raise LimsupError(str(path), got="no such file", do="check the name and the folder")
    with reading(path, "TIFF", *tiff.ERRORS):
        file = tifffile.TiffFile(path)
        opened = _Opened()
        weakref.finalize(opened, file.close)
        tiff.check_complete(path, file, file.series[0])
        return _Level(path, file.series[0], 0, opened, as_stored=True).array


def fingerprint(path: Path, blocks: int = 64, block: int = 1 << 16) -> str:
    """Checksum of a file too large to be read: ``sampled-`` and 64 hexadecimal digits.

    SHA-256 over the file's size and blocks from the first byte to the last, evenly spread. A
    change between them that leaves the size as it is goes unnoticed.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(f"{size},{blocks},{block}".encode())
    with path.open("rb") as stream:
        for place in np.unique(np.linspace(0, max(0, size - block), blocks).astype(np.int64)):
            stream.seek(int(place))
            digest.update(stream.read(block))
    return SAMPLED + digest.hexdigest()


def _is_large(series: tifffile.TiffPageSeries, lazy_from: int) -> bool:
    sizes = dict(zip(series.axes, series.shape, strict=True))
    flat = "".join(axis for axis in series.axes if sizes[axis] > 1 or axis in "YX")
    if flat not in ("YX", "YXS", "YXC", "SYX", "CYX"):
        return False
    return sizes["Y"] * sizes["X"] >= lazy_from


def _levels(path: Path, file: tifffile.TiffFile) -> tuple[list[LazyArray], tuple[str, ...]]:
    series = file.series[0]
    for level in series.levels:
        tiff.check_complete(path, file, level)
    opened = _Opened()
    weakref.finalize(opened, file.close)
    found = [_Level(path, series, number, opened) for number in range(len(series.levels))]
    return [level.array for level in found], found[0].notes


class _Opened:
    """Held by everything that reads a file; the file is closed when the last one has gone."""


class _Level:
    """One resolution of a file as a lazy array, its intensities as they are stored."""

    def __init__(
        self,
        path: Path,
        series: tifffile.TiffPageSeries,
        number: int,
        opened: _Opened,
        as_stored: bool = False,
    ) -> None:
        level = series.levels[number]
        self.path, self.axes, self.page = path, level.axes, level.keyframe
        self.as_stored = as_stored
        self.source, self.opened = _source(path, series, number), opened
        sides = [level.shape[self.axes.index(axis)] for axis in "YX"]
        first, self.notes = self._converted(slice(0, 1), slice(0, 1))
        shape = (*sides, *first.shape[2:])
        chunk = _chunk(self.page)
        self.array = LazyArray(str(path), shape, first.dtype, self.read, chunk=chunk)

    def read(self, rows: slice, columns: slice) -> NDArray[Any]:
        return self._converted(rows, columns)[0]

    def _converted(self, rows: slice, columns: slice) -> tuple[NDArray[Any], tuple[str, ...]]:
        at = {"Y": rows, "X": columns}
        with reading(self.path, "TIFF", *tiff.ERRORS):
            block = np.asarray(self.source[tuple(at.get(a, slice(None)) for a in self.axes)])
        array, axes = tiff.ordered(self.path, block, self.axes)
        if self.as_stored:
            return array, ()
        array, _, notes = tiff.photometric(array, axes, self.page)
        return array, notes


def _source(path: Path, series: tifffile.TiffPageSeries, number: int) -> Any:
    """What gives the stored pixels of a level by slices: a memory map, else tiles by zarr."""
    level = series.levels[number]
    if level.dataoffset is not None:
        return tifffile.memmap(path, series=0, level=number, mode="r")
    page: Any = level.keyframe
    size = int(np.prod(page.chunks)) * page.dtype.itemsize
    if size > CHUNK_BYTES:
        raise LimsupError(
            str(path),
            got=f"a {'tile' if page.is_tiled else 'strip'} of {size / 2**20:.0f} MiB",
            expected="tiles, which can be read one by one",
            do="write it again in tiles where memory allows: tifffile.imwrite('tiled.tif', "
            "tifffile.imread('this.tif'), tile=(512, 512), compression='zlib')",
        )
    import zarr

    return zarr.open_array(series.aszarr(level=number), mode="r")


def _chunk(page: Any) -> tuple[int, int]:
    """Height and width of a tile or strip."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth
