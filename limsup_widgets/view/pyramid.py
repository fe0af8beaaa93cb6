"""Levels of a large image for the screen; those that its file lacks are made in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.data.image import Image
from limsup_widgets.session.worker import Outcome, Reporter, Tuner, explain

ROOM = 2**27
"""Bytes (128 MiB) of the finest level that is kept in memory."""
ROWS = 128
"""Rows that are read at once; between two such bands the reading can be cancelled."""
READING = "reading all of {name} once for its overview: the file holds no small copy"

Levels = list[Any]
_MADE: WeakKeyDictionary[Image, Levels] = WeakKeyDictionary()


class Pyramids:
    """Levels of images, fine to coarse, at once.

    Where looking at a coarse level would read all of a large file, black stands in for it until a
    thread has done so.

    Parameters
    ----------
    ready
        Called with the image whose levels have come, in the thread that made this object.
    say
        Told in one line that the user has to wait, or why it failed.
    """

    def __init__(self, ready: Callable[[Image], object], say: Callable[[str], object]) -> None:
        self._ready, self._say = ready, say
        self._readers: dict[Image, Tuner] = {}

    def levels(self, image: Image) -> Levels:
        """Arrays that can be shown now."""
        known = known_levels(image)
        if known is not None:
            return known
        fine = _finest_kept(image.levels)
        if image not in self._readers:
            self._read(image, fine)
        black = [np.zeros(level.shape, level.dtype) for level in image.levels[fine:]]
        return [*image.levels[:fine], *black]

    def close(self) -> None:
        """Stop reading."""
        for reader in self._readers.values():
            reader.cancel()
            reader.finished.disconnect()

    def _read(self, image: Image, fine: int) -> None:
        self._say(READING.format(name=image.name))
        reader = self._readers[image] = Tuner()
        finished = partial(self._finished, image, fine)
        reader.finished.connect(finished, thread=threading.current_thread())
        reader.start(partial(_read_all, image.levels[fine]))

    def _finished(self, image: Image, fine: int, outcome: Outcome) -> None:
        if outcome.status == "failed":
            self._say(f"no overview: {explain(outcome.error)}")
        if outcome.status != "done":
            return
        made = outcome.result
        steps = (2**n for n in range(len(image.levels) - fine))
        _MADE[image] = [*image.levels[:fine], *(made[::step, ::step] for step in steps)]
        self._say("")
        self._ready(image)


def known_levels(image: Image) -> Levels | None:
    """Levels that can be looked at without reading all of a large file; None if there are none."""
    if image in _MADE:
        return _MADE[image]
    return None if getattr(image.levels[-1], "unread", False) else image.levels


def known_overview(image: Image, longest: int = 1024) -> NDArray[Any] | None:
    """The whole image with at most ``longest`` pixels a side, unless that takes long."""
    levels = known_levels(image)
    if levels is None:
        return None
    step = -(-max(levels[-1].shape[:2]) // longest)
    return np.asarray(levels[-1][::step, ::step])


def _finest_kept(levels: Levels) -> int:
    fits = [number for number, level in enumerate(levels) if level.nbytes <= ROOM]
    return fits[0] if fits else len(levels) - 1


def _read_all(level: Any, report: Reporter) -> NDArray[Any]:
    found = np.empty(level.shape, level.dtype)
    for top in range(0, len(level), ROWS):
        report.check()
        found[top : top + ROWS] = level[top : top + ROWS]
    return found
