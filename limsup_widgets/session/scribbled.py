"""Where an image is scribbled, found without looking at all of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.data.history import History
from limsup_widgets.learn.tiles import Box
from limsup_widgets.session.screen import TILE, pieces


def scribbled_pieces(history: History, image: int) -> dict[Box, NDArray[np.uint8]]:
    """Codes ``(h, w)``, copied, of the pieces of an image that hold a scribble.

    The pieces are those of :func:`~limsup_widgets.session.screen.pieces` on a fixed grid: the
    whole of a small image, tiles of a large one.
    """
    labels = history.labels[image]
    height, width = labels.shape
    boxes = pieces((height, width), (0, 0, height, width))
    if len(boxes) > 1:
        corners = _touched_tiles(history, image, width)
        boxes = [box for box in boxes if any(_holds(box, corner) for corner in corners)]
    found = {box: labels[box[0] : box[2], box[1] : box[3]] for box in boxes}
    return {box: codes.copy() for box, codes in found.items() if codes.any()}


def _touched_tiles(history: History, image: int, width: int) -> set[tuple[int, int]]:
    """First pixel of each tile of the plain grid on which anything was ever painted."""
    corners: set[tuple[int, int]] = set()
    for stroke in history.done:
        if stroke.image == image:
            rows, columns = np.divmod(stroke.pixels(), width)
            tiles = np.unique(np.stack([rows // TILE, columns // TILE]), axis=1) * TILE
            corners.update(map(tuple, tiles.T.tolist()))
    return corners


def _holds(box: Box, corner: tuple[int, int]) -> bool:
    return box[0] <= corner[0] < box[2] and box[1] <= corner[1] < box[3]
