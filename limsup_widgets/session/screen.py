"""What the views show of one image: filled piece by piece, what is visible first."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.data.image import Image
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.infer import codes as codes_of
from limsup_widgets.learn.moments import Moments
from limsup_widgets.learn.tiles import Box, cuts, in_order, touches

WHOLE = 2**20
"""Pixels of an image that is computed in one piece."""
TILE = 512
"""Side of the pieces of a larger one."""
START = 1024
"""Side of the part of a large image that is worked on before anyone chose one."""
MOST = 2048**2
"""Pixels of the largest part that is worked on at once."""
KINDS = ("A", "E", "V")
Pixels = NDArray[np.int64]
Answer = Literal["", "quick", "network"]


@dataclass(frozen=True, eq=False)
class Part:
    """A piece of a result.

    Attributes
    ----------
    ticket
        Number of the request that it answers.
    box
        Where it lies in the image.
    by
        Who answers.
    prob
        ``(K, h, w)``; None if the part brings uncertainty only.
    moments
        Of the box, from the passes so far; None if the part brings none.
    final
        Whether these are the last moments of the box.
    note
        Why the piece is approximate, if it is.
    """

    ticket: int
    box: Box
    by: Answer
    prob: NDArray[np.float32] | None = None
    moments: Moments | None = None
    final: bool = False
    note: str = ""


class Screen:
    """Result on a window of an image, as far as it is known.

    Attributes
    ----------
    image, box
        Index, and the window (top, left, bottom, right).
    codes
        ``(h, w)``; 0 where nothing is known yet. What an older network said stays until a newer
        one has come that far.
    kinds
        Maps ``(h, w)`` of A, E and V; zero where not known.
    by
        Who gave the codes: the quick classifier or the network.
    passes
        Of the uncertainty, the fewest of all parts; 0 before there is any.
    note
        Why pieces are approximate, where they are.
    """

    def __init__(self, image: int, box: Box) -> None:
        self.image, self.box = image, box
        size = box[2] - box[0], box[3] - box[1]
        self.codes = np.zeros(size, np.uint8)
        self.kinds = {kind: np.zeros(size, np.float32) for kind in KINDS}
        self.by: Answer = ""
        self.note = ""
        self._known, self._passes = np.zeros(size, bool), np.zeros(size, np.int32)

    @property
    def done(self) -> float:
        """Share of the window that is known, 0…1."""
        return float(self._known.mean())

    @property
    def passes(self) -> int:
        """Passes behind the least certain pixel."""
        return int(self._passes.min())

    def kind(self, name: str) -> NDArray[np.float32]:
        """``"A"``, ``"E"`` or ``"V"`` ``(h, w)``, as far as it is known."""
        if name not in self.kinds:
            raise LimsupError("uncertainty", got=name, expected="A, E or V")
        return self.kinds[name]

    def is_known(self, box: Box, passes: int = 0) -> bool:
        """Whether the result in a box is there, with uncertainty of so many passes at least."""
        here, _ = overlap(self.box, box)
        enough = passes == 0 or int(self._passes[here].min(initial=passes)) >= passes
        return bool(self._known[here].all()) and enough

    def forget(self) -> None:
        """What is shown is out of date, but stays until something newer comes."""
        self._known[:] = False
        self._passes[:] = 0

    def keep(self, older: Screen) -> None:
        """Go on showing what an older screen of the same image has where both lie.

        It stays unknown, as it may be out of date.
        """
        here, there = overlap(self.box, older.box)
        self.codes[here] = older.codes[there]
        for kind, values in self.kinds.items():
            values[here] = older.kinds[kind][there]
        self.by = older.by if self.codes.any() else ""

    def put(self, part: Part) -> None:
        """Take over the part of a result that lies in the window."""
        here, there = overlap(self.box, part.box)
        if part.prob is not None:
            self.codes[here] = codes_of(part.prob[(slice(None), *there)])
            self._known[here] = True
            self.by = part.by
        if part.moments is not None:
            for kind, values in self.kinds.items():
                values[here] = part.moments.kind(kind)[there]
            self._passes[here] = part.moments.passes
        self.note = part.note


Place = tuple[slice, slice]


def overlap(box: Box, other: Box) -> tuple[Place, Place]:
    """Where two boxes overlap, as slices of what is in the first and of what is in the other.

    Examples
    --------
    >>> overlap((0, 0, 4, 4), (2, 1, 9, 3))
    ((slice(2, 4, None), slice(1, 3, None)), (slice(0, 2, None), slice(0, 2, None)))
    """
    top, left = (max(box[i], other[i]) for i in (0, 1))
    bottom, right = (max(start, min(box[i], other[i])) for i, start in ((2, top), (3, left)))

    def within(outer: Box) -> Place:
        return (
            slice(top - outer[0], bottom - outer[0]),
            slice(left - outer[1], right - outer[1]),
        )

    return within(box), within(other)


def inside(box: Box, outer: Box) -> bool:
    """Whether ``box`` lies in ``outer`` as a whole."""
    return all(box[i] >= outer[i] and box[i + 2] <= outer[i + 2] for i in (0, 1))


def clipped(box: Box | None, window: Box) -> Box | None:
    """The part of ``box`` that lies in ``window``; None if there is none."""
    if box is None or not touches(box, window):
        return None
    (top, left), (bottom, right) = map(max, box[:2], window[:2]), map(min, box[2:], window[2:])
    return top, left, bottom, right


def area(box: Box) -> int:
    """Pixels of a box."""
    return (box[2] - box[0]) * (box[3] - box[1])


def pieces(shape: tuple[int, int], window: Box, visible: Box | None = None) -> list[Box]:
    """Boxes that cover ``window``, in the order in which they are to be computed.

    A small image is one piece. Of a larger one, the visible part comes first and in one piece, if
    it is not too large for that; then the tiles of a fixed grid by their distance from it.

    Examples
    --------
    >>> pieces((100, 100), (0, 0, 100, 100))
    [(0, 0, 100, 100)]
    >>> pieces((2000, 2000), (0, 0, 1024, 1024), visible=(10, 10, 300, 300))[:2]
    [(10, 10, 300, 300), (0, 0, 512, 512)]
    """
    if is_one_piece(shape):
        return [(0, 0, *shape)]
    first = [visible] if visible is not None and area(visible) <= WHOLE else []
    rest = tiles(shape, window, visible)
    return first + [box for box in rest if not (first and inside(box, first[0]))]


def tiles(shape: tuple[int, int], window: Box, visible: Box | None = None) -> list[Box]:
    """Boxes of a fixed grid that cover ``window``, those that can be seen first.

    A small image is one.
    """
    if is_one_piece(shape):
        return [(0, 0, *shape)]
    rows, columns = (
        [cut for cut in cuts(side, TILE) if cut[0] < window[i + 2] and window[i] < cut[1]]
        for i, side in enumerate(shape)
    )
    boxes = [(top, left, bottom, right) for (top, bottom), (left, right) in product(rows, columns)]
    return in_order(boxes, visible or window)


def is_one_piece(shape: tuple[int, int]) -> bool:
    """Whether an image ``(H, W)`` is computed as a whole."""
    return shape[0] * shape[1] <= WHOLE


def tiles_of(shape: tuple[int, int], rows: Pixels, columns: Pixels) -> set[Box]:
    """The tiles of an image ``(H, W)`` that hold these pixels, rows (n,) and columns (n,)."""
    grid = [cuts(side, TILE) for side in shape]
    starts = ([first for first, _ in along] for along in grid)
    y, x = (
        np.searchsorted(s, p, "right") - 1 for s, p in zip(starts, (rows, columns), strict=True)
    )
    places = (divmod(number, len(grid[1])) for number in np.unique(y * len(grid[1]) + x).tolist())
    return {(grid[0][i][0], grid[1][j][0], grid[0][i][1], grid[1][j][1]) for i, j in places}


def snapped(shape: tuple[int, int], box: Box) -> Box:
    """The smallest box around ``box`` that is made of whole tiles of an image ``(H, W)``.

    Examples
    --------
    >>> snapped((4000, 4000), (600, 600, 700, 1100))
    (512, 512, 1024, 1536)
    """
    edges = np.array(tiles(shape, box))
    top, left = edges[:, :2].min(0).tolist()
    bottom, right = edges[:, 2:].max(0).tolist()
    return top, left, bottom, right


def is_large(image: Image) -> bool:
    """Whether only a part of the image is worked on at a time."""
    return image.is_lazy and not is_one_piece(image.shape)


def first_window(image: Image) -> Box:
    """What is worked on before anyone chose: all of an image, of a large one its middle."""
    if not is_large(image):
        return (0, 0, *image.shape)
    size = START - TILE  # which lies in START pixels of whole tiles, wherever they begin
    (top, bottom), (left, right) = (
        (max(0, (side - size) // 2), min(side, (side + size) // 2)) for side in image.shape
    )
    return snapped(image.shape, (top, left, bottom, right))


def chosen_window(image: Image, box: Box) -> Box:
    """The part of a large image to work on so that ``box`` is in it, in whole tiles.

    Raises
    ------
    LimsupError
        A box outside the image, or more than :data:`MOST` pixels.
    """
    height, width = image.shape
    top, left = (max(0, start) for start in box[:2])
    bottom, right = min(height, box[2]), min(width, box[3])
    if top >= bottom or left >= right:
        raise LimsupError(f"box in {image.name}", got=box, expected=f"pixels of {image.shape}")
    found = snapped((height, width), (top, left, bottom, right))
    if area(found) > MOST:
        raise LimsupError(
            f"part of {image.name}",
            got=f"{bottom - top} × {right - left} pixels",
            expected=f"about {MOST // 10**6} million pixels at most",
            do="look at a smaller part: zoom in",
        )
    return found
