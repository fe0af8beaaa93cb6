"""Pixels that stay where they are until somebody looks at them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from limsup_widgets.data.intensity import limits
from limsup_widgets.errors import LimsupError

Box = tuple[int, int, int, int]
"""``(top, left, bottom, right)`` in pixels, half-open."""
ReadBlock = Callable[[slice, slice], NDArray[Any]]
"""Pixels ``(h, w)`` or ``(h, w, C)`` of rows and columns without gaps."""

BUDGET = 2**28
"""Bytes (256 MiB) of one answer; whoever asks for more has asked by mistake."""
BLOCK = 1024
"""Side in pixels of what is read at once for a coarser look, about."""
COARSEST = 2048
"""Longer side in pixels that the coarsest level has at most."""


class LazyArray:
    """Looks like an array ``(H, W)`` or ``(H, W, C)``; slices are read when they are taken.

    Parameters
    ----------
    name
        For errors: the file or the image.
    shape, dtype
        As of an array.
    read
        Gives the pixels of ``(rows, columns)``, two slices inside the image with step 1.
    coarser
        The same image at lower resolutions, fine to coarse.
    keep
        Keep all pixels in memory once they were read.
    chunk
        Height and width of the parts in which the pixels are stored, a tile or a strip.

    Examples
    --------
    >>> ramp = LazyArray("ramp", (9, 9), "u1", lambda r, c: np.mgrid[r, c].sum(0).astype("u1"))
    >>> ramp[2:4, ::4].tolist(), ramp.shape
    ([[2, 6, 10], [3, 7, 11]], (9, 9))
    """

    def __init__(
        self,
        name: str,
        shape: Sequence[int],
        dtype: DTypeLike,
        read: ReadBlock,
        coarser: Sequence[LazyArray] = (),
        keep: bool = False,
        chunk: tuple[int, int] = (1, 1),
    ) -> None:
        self.name, self.shape, self.dtype = name, tuple(map(int, shape)), np.dtype(dtype)
        self.chunk = chunk
        self.coarser, self._read, self._keep = tuple(coarser), read, keep
        self._kept: NDArray[Any] | None = None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes that all pixels would take."""
        return self.size * self.dtype.itemsize

    @property
    def unread(self) -> bool:
        """Whether the first look at all of it will take the time of reading a finer level."""
        return self._keep and self._kept is None

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"LazyArray({self.name!r}, shape={self.shape}, dtype={self.dtype})"

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        wanted = [
            _wanted(self.name, k, n) for k, n in zip(_full(key, self), self.shape, strict=True)
        ]
        (rows, flip_y), (columns, flip_x) = ((_up(w), w.step < 0) for w, _ in wanted[:2])
        found = self._pick(rows, columns)[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
        if self.ndim == 3:
            channels = wanted[2][0]
            found = found[..., list(channels)]
        return found[tuple(0 if single else slice(None) for _, single in wanted)]

    def _pick(self, rows: range, columns: range) -> NDArray[Any]:
        shape = (len(rows), len(columns), *self.shape[2:])
        self._check(shape)
        if not (rows and columns):
            return np.zeros(shape, self.dtype)
        if self._keep and self._kept is None:
            self._kept = self._blocks(*(range(side) for side in self.shape[:2]))
        if self._kept is not None:
            return self._kept[rows.start : rows.stop : rows.step][
                :, columns.start : columns.stop : columns.step
            ]
        if rows.step == columns.step == 1:
            return self._block(rows, columns)
        return self._blocks(rows, columns)

    def _block(self, rows: range, columns: range) -> NDArray[Any]:
        found = self._read(*(slice(r[0], r[-1] + 1) for r in (rows, columns)))
        return found[:: rows.step, :: columns.step]

    def _blocks(self, rows: range, columns: range) -> NDArray[Any]:
        """Block by block, so that a coarse look at a large image stays small."""
        found = np.empty((len(rows), len(columns), *self.shape[2:]), self.dtype)
        height, width = _block(self.chunk)
        for y, x in product(_runs(rows, height), list(_runs(columns, width))):
            found[y, x] = self._block(rows[y], columns[x])
        return found

    def _check(self, shape: tuple[int, ...]) -> None:
        size = int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize
        if size > BUDGET:
            raise LimsupError(
                self.name,
                got=f"{size / 2**20:.0f} MiB asked for at once ({' × '.join(map(str, shape))})",
                expected=f"at most {BUDGET // 2**20} MiB",
                do="read a part, image.read(box), or a small copy of all, image.overview()",
            )


def _block(chunk: tuple[int, int]) -> tuple[int, int]:
    """Height and width, whole chunks, of about :data:`BLOCK` squared pixels."""
    width = -(-BLOCK // chunk[1]) * chunk[1]
    return max(1, -(-(BLOCK**2 // width) // chunk[0])) * chunk[0], width


def _runs(indices: range, block: int) -> Iterator[slice]:
    """Cut ``indices`` where a block ends, so that none is read twice."""
    start = 0
    while start < len(indices):
        end = min((indices[start] // block + 1) * block, indices.stop)
        count = len(range(indices[start], end, indices.step))
        yield slice(start, start + count)
        start += count


def _full(key: Any, array: LazyArray) -> tuple[Any, ...]:
    """One entry for every axis."""
    keys = key if isinstance(key, tuple) else (key,)
    gap = next((i for i, k in enumerate(keys) if k is Ellipsis), len(keys))
    before, after = keys[:gap], keys[gap + 1 :]
    missing = array.ndim - len(before) - len(after)
    if missing < 0:
        raise LimsupError(array.name, got=f"{len(keys)} indices", expected=f"at most {array.ndim}")
    return (*before, *[slice(None)] * missing, *after)


def _wanted(name: str, key: Any, side: int) -> tuple[range, bool]:
    """Indices along one axis, and whether it was a single one."""
    if isinstance(key, slice):
        return range(*key.indices(side)), False
    try:
        index = operator.index(key)
    except TypeError as error:
        got = type(key).__name__
        raise LimsupError(f"index into {name}", got=got, expected="slices or integers") from error
    if not -side <= index < side:
        raise IndexError(f"index {index} is out of bounds for an axis of {side}")
    return range(index % side, index % side + 1), True


def _up(indices: range) -> range:
    return indices[::-1] if indices.step < 0 else indices


def strided(array: LazyArray, step: int, keep: bool = False) -> LazyArray:
    """Every ``step``-th row and column of ``array``."""

    def read(rows: slice, columns: slice) -> NDArray[Any]:
        key = tuple(slice(s.start * step, (s.stop - 1) * step + 1, step) for s in (rows, columns))
        return array[key]

    sides = (-(-side // step) for side in array.shape[:2])
    return LazyArray(array.name, (*sides, *array.shape[2:]), array.dtype, read, keep=keep)


def with_levels(levels: Sequence[LazyArray]) -> LazyArray:
    """The finest of ``levels`` with the others at ``coarser``, and with those that are missing.

    A file without a pyramid gets levels made on the fly, each with every second row and column of
    the one before, until the longer side has at most :data:`COARSEST` pixels. That one is kept
    once it was read. What is made on the fly takes the time of reading the finest level there.
    """
    fine, *coarser = levels
    last, step = levels[-1], 1
    while max(last.shape[:2]) > COARSEST * step:
        step *= 2
        coarser.append(strided(last, step, keep=max(last.shape[:2]) <= COARSEST * step))
    return LazyArray(fine.name, fine.shape, fine.dtype, fine._read, coarser, chunk=fine.chunk)


def sample(array: NDArray[Any] | LazyArray, grid: int = 8, side: int = 128) -> NDArray[Any]:
    """Pixels for statistics: ``grid × grid`` evenly spread blocks at full resolution.

    Returns ``(n·h, w)`` or ``(n·h, w, C)``, blocks above one another.
    """
    h, w = (min(side, length) for length in array.shape[:2])
    tops, lefts = (
        np.unique(np.linspace(0, length - s, grid).astype(int)).tolist()
        for length, s in zip(array.shape[:2], (h, w), strict=True)
    )
    blocks = [array[y : y + h, x : x + w] for y in tops for x in lefts]
    return np.concatenate([np.asarray(block) for block in blocks])


def scaled_levels(levels: Sequence[LazyArray], name: str) -> tuple[LazyArray, tuple[str, ...]]:
    """Levels with intensities as `scale_intensity` gives them, and one line per change.

    The window of 16-bit and real images comes from :func:`sample` instead of all pixels.

    Raises
    ------
    LimsupError
        Pixels that are no real numbers; while reading, NaN or infinity.
    """
    kind = levels[0].dtype
    if kind == np.uint8:
        return with_levels(levels), ()
    if kind.kind not in "biuf":
        raise LimsupError(name, got=f"pixels of type {kind.name}", expected="real numbers")
    if kind == np.bool_:
        convert, dtype, note = _black_white, np.uint8, "black and white read as 0 and 255"
        return with_levels([_mapped(level, convert, dtype) for level in levels]), (note,)
    seen = _finite(name, sample(levels[0]))
    low, high = (0.0, 1.0) if _is_unit(seen) else limits(seen)
    convert = partial(_windowed, name, low, high)
    note = (
        f"{kind.name} scaled: {low:g} to {high:g} "
        "(percentiles 0.5 to 99.5 of blocks all over the image) became 0 to 1"
    )
    found = with_levels([_mapped(level, convert, np.float32) for level in levels])
    return found, () if (low, high) == (0, 1) else (note,)


def _mapped(
    array: LazyArray, convert: Callable[[NDArray[Any]], NDArray[Any]], dtype: DTypeLike
) -> LazyArray:
    def read(rows: slice, columns: slice) -> NDArray[Any]:
        return convert(array[rows, columns])

    return LazyArray(array.name, array.shape, dtype, read, chunk=array.chunk)


def _black_white(block: NDArray[Any]) -> NDArray[Any]:
    return block.astype(np.uint8) * np.uint8(255)


def _windowed(name: str, low: float, high: float, block: NDArray[Any]) -> NDArray[np.float32]:
    width = high - low if high > low else 1.0
    scaled = (_finite(name, block).astype(np.float32) - np.float32(low)) / np.float32(width)
    return np.clip(scaled, 0, 1, out=scaled)


def _is_unit(array: NDArray[Any]) -> bool:
    return bool(array.dtype.kind == "f" and array.min() >= 0 and array.max() <= 1)


def _finite(name: str, array: NDArray[Any]) -> NDArray[Any]:
    if not np.isfinite(array).all():
        raise LimsupError(
            name,
            got="pixels NaN or infinite",
            expected="finite values",
            do="replace them, e.g. with numpy.nan_to_num, and save again",
        )
    return array
