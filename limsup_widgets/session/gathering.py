"""Results that come piece by piece, put together until they cover a window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.learn.tiles import Box
from limsup_widgets.session.screen import overlap

Maps = tuple[NDArray[np.float32], ...]


class Gathering:
    """Maps ``(K, h, w)`` of a window, as far as their pieces have come.

    Examples
    --------
    >>> parts = Gathering((0, 0, 2, 4))
    >>> parts.add((0, 0, 2, 3), (np.ones((1, 2, 3), np.float32),)) is None
    True
    >>> [whole.shape for whole in parts.add((0, 3, 2, 6), (np.ones((1, 2, 3), np.float32),))]
    [(1, 2, 4)]
    """

    def __init__(self, window: Box) -> None:
        self.window = window
        self._size = window[2] - window[0], window[3] - window[1]
        self._known = np.zeros(self._size, bool)
        self._maps: Maps = ()

    def add(self, box: Box, maps: Maps) -> Maps | None:
        """Take the maps of a piece; those of the window once it is covered, until then None."""
        here, there = overlap(self.window, box)
        if not self._maps:
            self._maps = tuple(np.zeros((len(m), *self._size), np.float32) for m in maps)
        for whole, part in zip(self._maps, maps, strict=True):
            whole[(slice(None), *here)] = part[(slice(None), *there)]
        self._known[here] = True
        return self._maps if self._known.all() else None
