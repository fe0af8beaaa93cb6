"""Part of an image at a time, with the numbers that the whole image would have given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.dropout import has_dropout
from limsup_widgets.learn.halo import Tiling, divisor_of, halo_of, tiling_of
from limsup_widgets.learn.infer import predict
from limsup_widgets.learn.moments import Moments, mc_moments, moments_of

__all__ = [
    "Box",
    "Read",
    "Tiling",
    "cuts",
    "grown",
    "halo_of",
    "in_order",
    "moments_box",
    "predict_box",
    "read_window",
    "tile_plan",
    "tiling_of",
    "touches",
    "window_of",
]

Box = tuple[int, int, int, int]
"""``(top, left, bottom, right)`` in pixels, half-open, as ``Region.box``."""
Read = Callable[[Box], Tensor]
"""Gives the normalised input ``(C, h, w)`` of a box of the image."""


def tile_plan(shape: tuple[int, int], viewport: Box | None = None, tile: int = 512) -> list[Box]:
    """Tiles that cover an image ``(H, W)``, in the order in which they are to be computed.

    Those that touch the viewport first, the nearest to its centre leading, then the rest by
    distance. The grid depends on ``shape`` and ``tile`` alone, so results can be kept per tile.
    A rest of less than a quarter of a tile at the far border belongs to the tile before it.

    Examples
    --------
    >>> tile_plan((100, 250), viewport=(0, 210, 50, 250), tile=100)
    [(0, 200, 100, 250), (0, 100, 100, 200), (0, 0, 100, 100)]
    """
    if tile < 1 or min(shape) < 1:
        raise LimsupError("tiles", got=f"{tile} on {shape}", expected="at least one pixel")
    seen = viewport or (0, 0, *shape)
    rows, columns = (cuts(side, tile) for side in shape)
    boxes = [(top, left, bottom, right) for (top, bottom), (left, right) in product(rows, columns)]
    return in_order(boxes, seen)


def in_order(boxes: Iterable[Box], seen: Box) -> list[Box]:
    """Those that touch ``seen`` first, the nearest to its centre leading, then by distance."""
    return sorted(boxes, key=lambda box: (not touches(box, seen), _distance(box, seen), box))


def grown(box: Box, shape: tuple[int, int], halo: int, divisor: int) -> Box:
    """The window to run for ``box``: grown by the halo, out to the pooling grid, cut to the image.

    A window ends either on the grid or at the image's own border, where padding does to it what
    it does to the whole image.

    Examples
    --------
    >>> grown((64, 0, 96, 32), shape=(100, 200), halo=10, divisor=8)
    (48, 0, 100, 48)
    """
    _check(box, shape)
    top, left = (max(0, (start - halo) // divisor * divisor) for start in box[:2])
    bottom, right = (
        min(side, -(-(end + halo) // divisor) * divisor)
        for end, side in zip(box[2:], shape, strict=True)
    )
    return top, left, bottom, right


def predict_box(
    model: nn.Module, read: Read, shape: tuple[int, int], box: Box, halo: int
) -> NDArray[np.float32]:
    """Probabilities ``(K, h, w)`` of one box of an image ``(H, W)``; see :func:`tiling_of`.

    Only the window around the box is read and run.
    """
    x, core = read_window(model, read, shape, box, halo)
    return np.ascontiguousarray(predict(model, x)[core])


def moments_box(
    model: nn.Module,
    read: Read,
    shape: tuple[int, int],
    box: Box,
    halo: int,
    passes: int = 20,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Moments:
    """Mean and uncertainty of one box, as :func:`~limsup_widgets.learn.moments.mc_moments`.

    The masks are those of the whole image. A network without dropout has one pass and nothing
    epistemic.
    """
    x, core = read_window(model, read, shape, box, halo)
    if has_dropout(model):
        found = mc_moments(model, x, passes, seed, progress=progress)
    else:
        found = moments_of(iter([torch.from_numpy(predict(model, x))]), progress)
    mean, aleatoric, epistemic = (
        np.ascontiguousarray(part[core]) for part in (found.mean, found.aleatoric, found.epistemic)
    )
    return replace(found, mean=mean, aleatoric=aleatoric, epistemic=epistemic)


def window_of(
    model: nn.Module, shape: tuple[int, int], box: Box, halo: int
) -> tuple[Box, tuple[slice, ...]]:
    """The window to run for ``box``, and where the box lies in what the window gives."""
    window = grown(box, shape, halo, divisor_of(model))
    rows = slice(box[0] - window[0], box[2] - window[0])
    return window, (slice(None), rows, slice(box[1] - window[1], box[3] - window[1]))


def read_window(
    model: nn.Module, read: Read, shape: tuple[int, int], box: Box, halo: int
) -> tuple[Tensor, tuple[slice, ...]]:
    """Input of the window around ``box``, and where the box lies in what the window gives."""
    window, core = window_of(model, shape, box, halo)
    x, size = read(window), (window[2] - window[0], window[3] - window[1])
    if tuple(x.shape[-2:]) != size:
        raise LimsupError(f"image at {window}", got=tuple(x.shape[-2:]), expected=size)
    return x, core


def _check(box: Box, shape: tuple[int, int]) -> None:
    top, left, bottom, right = box
    if not (0 <= top < bottom <= shape[0] and 0 <= left < right <= shape[1]):
        raise LimsupError("box", got=box, expected=f"pixels inside an image of {shape}")


@lru_cache
def cuts(side: int, tile: int) -> tuple[tuple[int, int], ...]:
    """First and end of the tiles along one side: a slide has too many to list all of them."""
    starts = list(range(0, side, tile))
    if len(starts) > 1 and 4 * (side - starts[-1]) < tile:
        starts.pop()
    return tuple(zip(starts, [*starts[1:], side], strict=True))


def touches(box: Box, other: Box) -> bool:
    """Whether two boxes share a pixel."""
    return all(box[i] < other[i + 2] and other[i] < box[i + 2] for i in (0, 1))


def _distance(box: Box, other: Box) -> int:
    """Squared, of the centres, times four."""
    return sum((box[i] + box[i + 2] - other[i] - other[i + 2]) ** 2 for i in (0, 1))
