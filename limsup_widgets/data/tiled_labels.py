"""Labels of an image too large for memory: kept tile by tile, written as a pyramid."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from limsup_widgets.data.formats.tiff_lazy import open_stored
from limsup_widgets.data.label_files import as_codes
from limsup_widgets.data.lazy import COARSEST, Box, LazyArray
from limsup_widgets.errors import LimsupError

TILE = 512
"""Side of a tile in pixels; TIFF wants a multiple of 16."""
Codes = NDArray[np.uint8]


class TiledLabels:
    """Codes ``(H, W)``, 0 where nothing was put. Tiles are kept compressed, empty ones not at all.

    The store of a prediction that comes tile by tile, in any order, and of strokes on a slide.

    Parameters
    ----------
    shape
        ``(H, W)``.
    tile
        Side of a tile in pixels, a multiple of 16.

    Examples
    --------
    >>> labels = TiledLabels((40_000, 60_000))
    >>> labels.put((10, 20, 12, 23), np.full((2, 3), 4, np.uint8))
    >>> labels.read((11, 21, 13, 24)).tolist(), labels.counts(classes=4).tolist()
    ([[4, 4, 0], [0, 0, 0]], [2399999994, 0, 0, 0, 6])
    """

    def __init__(self, shape: tuple[int, int], tile: int = TILE) -> None:
        if tile < 16 or tile % 16:
            raise LimsupError("tile", got=tile, expected="a multiple of 16")
        self.shape, self.tile = (int(shape[0]), int(shape[1])), tile
        self._tiles: dict[tuple[int, int], bytes] = {}

    @property
    def nbytes(self) -> int:
        """Bytes that all tiles take in memory."""
        return sum(map(len, self._tiles.values()))

    def put(self, box: Box, codes: NDArray[Any]) -> None:
        """Overwrite ``box`` with ``codes (h, w)``.

        Raises
        ------
        LimsupError
            A box that is not inside the image, or codes of another shape.
        """
        self._check(box)
        given, codes = np.asarray(codes), np.asarray(codes).astype(np.uint8)
        if (codes != given).any():
            raise LimsupError(f"codes of {box}", got="other values", expected="whole numbers 0…255")
        if codes.shape != (size := (box[2] - box[0], box[3] - box[1])):
            raise LimsupError(f"codes of {box}", got=codes.shape, expected=size)
        for key, inside, outside in self._parts(box):
            tile = self._unpacked(key)
            tile[inside] = codes[outside]
            self._pack(key, tile)

    def read(self, box: Box) -> Codes:
        """Codes ``(h, w)`` of ``box``."""
        self._check(box)
        found = np.zeros((box[2] - box[0], box[3] - box[1]), np.uint8)
        for key, inside, outside in self._parts(box):
            if key in self._tiles:
                found[outside] = self._unpacked(key)[inside]
        return found

    def counts(self, classes: int) -> NDArray[np.int64]:
        """Pixels of code 0…K, ``(K + 1,)``; their sum is H·W."""
        found = np.zeros(classes + 1, np.int64)
        for key in self._tiles:
            found += np.bincount(self._unpacked(key).ravel(), minlength=classes + 1)[: classes + 1]
        found[0] = self.shape[0] * self.shape[1] - found[1:].sum()
        return found

    def as_array(self) -> LazyArray:
        """What looks like an array, with coarser levels, for a viewer."""

        def lazy(labels: TiledLabels, coarser: Iterable[LazyArray] = ()) -> LazyArray:
            def read(rows: slice, columns: slice) -> Codes:
                return labels.read((rows.start, columns.start, rows.stop, columns.stop))

            return LazyArray("labels", labels.shape, np.uint8, read, tuple(coarser))

        fine, *coarser = self.levels()
        return lazy(fine, map(lazy, coarser))

    def levels(self) -> list[TiledLabels]:
        """These labels, and with every second row and column of the level before, down to 2,048."""
        found = [self]
        while max(found[-1].shape) > COARSEST:
            found.append(found[-1]._halved())
        return found

    def write(self, path: Path) -> Path:
        """Write a tiled TIFF pyramid (deflate); a tile without a code takes 300 bytes.

        A code has its number; the file is complete or it is not there.
        """
        partial = path.with_name(path.name + ".part")
        first, *others = self.levels()
        with partial.open("wb") as out:
            big = self.shape[0] * self.shape[1] > 2**30
            with tifffile.TiffWriter(out, bigtiff=big) as tiff:
                first._write(tiff, subifds=len(others))
                for level in others:
                    level._write(tiff, subfiletype=1)
            out.flush()
            os.fsync(out.fileno())
        return partial.replace(path)

    @classmethod
    def from_file(cls, path: Path | str, classes: int, shape: tuple[int, int]) -> TiledLabels:
        """Read a TIFF label image tile by tile; checks as `read_labels`."""
        path = Path(path).expanduser()
        stored = open_stored(path)
        if stored.shape != tuple(shape):
            raise LimsupError(str(path), got=f"labels of shape {stored.shape}", expected=shape)
        labels = cls(shape)
        for box in labels._boxes():
            block = stored[box[0] : box[2], box[1] : box[3]]
            if block.any():
                labels.put(box, as_codes(path, block, classes))
        return labels

    def _write(self, tiff: tifffile.TiffWriter, **options: Any) -> None:
        keys = product(*(range(-(-side // self.tile)) for side in self.shape))
        # Tiles left out would be smaller, but libtiff, and so Pillow and others, refuses them.
        empty = zlib.compress(bytes(self.tile * self.tile))
        tiff.write(
            (self._tiles.get((row, column), empty) for row, column in keys),
            shape=self.shape,
            dtype=np.uint8,
            tile=(self.tile, self.tile),
            compression="zlib",
            photometric="minisblack",
            metadata=None,
            **options,
        )

    def _halved(self) -> TiledLabels:
        half = TiledLabels((-(-self.shape[0] // 2), -(-self.shape[1] // 2)), self.tile)
        side = self.tile // 2
        for row, column in self._tiles:
            box = (row * side, column * side, (row + 1) * side, (column + 1) * side)
            box = (*box[:2], min(box[2], half.shape[0]), min(box[3], half.shape[1]))
            fine = self._unpacked((row, column))[::2, ::2]
            half.put(box, fine[: box[2] - box[0], : box[3] - box[1]])
        return half

    def _boxes(self) -> Iterator[Box]:
        for top, left in product(*(range(0, side, self.tile) for side in self.shape)):
            bottom, right = (
                min(top + self.tile, self.shape[0]),
                min(left + self.tile, self.shape[1]),
            )
            yield top, left, bottom, right

    def _parts(
        self, box: Box
    ) -> Iterator[tuple[tuple[int, int], tuple[slice, slice], tuple[slice, slice]]]:
        """Tiles under ``box``: key, place in the tile, place in the box."""
        spans = (range(box[i] // self.tile, -(-box[i + 2] // self.tile)) for i in (0, 1))
        for key in product(*spans):
            ends = [
                (max(box[i], k * self.tile), min(box[i + 2], (k + 1) * self.tile))
                for i, k in enumerate(key)
            ]
            inside = tuple(
                slice(a - k * self.tile, b - k * self.tile)
                for (a, b), k in zip(ends, key, strict=True)
            )
            outside = tuple(slice(a - box[i], b - box[i]) for i, (a, b) in enumerate(ends))
            yield (key[0], key[1]), (inside[0], inside[1]), (outside[0], outside[1])

    def _unpacked(self, key: tuple[int, int]) -> Codes:
        packed = self._tiles.get(key)
        if packed is None:
            return np.zeros((self.tile, self.tile), np.uint8)
        flat = np.frombuffer(bytearray(zlib.decompress(packed)), np.uint8)
        return flat.reshape(self.tile, self.tile)

    def _pack(self, key: tuple[int, int], tile: Codes) -> None:
        if tile.any():
            self._tiles[key] = zlib.compress(tile.tobytes())
        else:
            self._tiles.pop(key, None)

    def _check(self, box: Box) -> None:
        top, left, bottom, right = box
        if not (0 <= top < bottom <= self.shape[0] and 0 <= left < right <= self.shape[1]):
            raise LimsupError("box", got=box, expected=f"pixels of labels {self.shape}")


def write_label_pyramid(
    path: Path, shape: tuple[int, int], tiles: Iterable[tuple[Box, NDArray[Any]]]
) -> Path:
    """Write codes that come box by box, in any order, as one tiled TIFF pyramid.

    Memory holds one box and the compressed rest, for labels a small part of H·W bytes.
    """
    labels = TiledLabels(shape)
    for box, codes in tiles:
        labels.put(box, codes)
    return labels.write(path)
