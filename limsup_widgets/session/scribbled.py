"""Where an image is scribbled, found without looking at all of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.data.history import History
from limsup_widgets.learn.tiles import Box, in_order
from limsup_widgets.session.screen import is_one_piece, tiles_of


def scribbled_pieces(history: History, image: int) -> dict[Box, NDArray[np.uint8]]:
    """Codes ``(h, w)``, copied, of the pieces of an image that hold a scribble.

    The pieces are those of :func:`~limsup_widgets.session.screen.pieces` on a fixed grid: the
    whole of a small image, tiles of a large one.
    """
    labels = history.labels[image]
    shape = labels.shape
    boxes = [(0, 0, *shape)]
    if not is_one_piece(shape):
        boxes = in_order(_touched(history, image), (0, 0, *shape))
    found = {box: labels[box[0] : box[2], box[1] : box[3]] for box in boxes}
    return {box: codes.copy() for box, codes in found.items() if codes.any()}


def _touched(history: History, image: int) -> set[Box]:
    """Tiles on which anything was ever painted."""
    found: set[Box] = set()
    for stroke in history.done:
        if stroke.image == image:
            rows, columns = np.divmod(stroke.pixels(), stroke.shape[1])
            found |= tiles_of(stroke.shape, rows, columns)
    return found
