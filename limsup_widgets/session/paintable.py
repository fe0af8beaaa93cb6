"""Painting as a hand or a program does it: stroke by stroke, forward and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limsup_widgets.data.strokes import Stroke
from limsup_widgets.data.tiled_labels import TiledLabels
from limsup_widgets.errors import LimsupError
from limsup_widgets.session.case import checked_codes
from limsup_widgets.session.painting import changing_stroke, flat_pixels
from limsup_widgets.session.screen import tiles
from limsup_widgets.session.state import State
from limsup_widgets.session.tuning import warm_up


class Paintable(State):
    """The part of :class:`~limsup_widgets.session.session.Session` that scribbles."""

    def paint(
        self,
        pixels: ArrayLike | tuple[ArrayLike, ...],
        code: int,
        image: int | None = None,
        seconds: float = 0.0,
    ) -> Stroke | None:
        """One stroke: give ``pixels`` the class ``code`` (0 erases).

        Parameters
        ----------
        pixels
            A mask ``(H, W)``, flat C-order indices (n,), or rows and columns, see
            :func:`~limsup_widgets.session.painting.flat_pixels`.
        image
            Index; the current image by default.
        seconds
            How long it took.

        Returns
        -------
        Stroke or None
            What changed; None if nothing did (then nothing is written down either).
        """
        return self.paint_codes(pixels, self.case.code(code), image, seconds)

    def paint_codes(
        self,
        pixels: ArrayLike | tuple[ArrayLike, ...],
        codes: ArrayLike,
        image: int | None = None,
        seconds: float = 0.0,
    ) -> Stroke | None:
        """As :meth:`paint`, with one code for each of the pixels (n,)."""
        self._check_open()
        i = self.case.index(self.current if image is None else image)
        self.case.code(int(np.max(codes, initial=0)))
        flat = flat_pixels(pixels, self.images[i].shape)
        stroke = changing_stroke(self._history.labels[i], flat, codes, i, seconds)
        if stroke is not None:
            warm_up()
            self._history.push(stroke)
            self._record.add_stroke(stroke)
            self.events.tell("scribbles", i)
        return stroke

    def add_stroke(self, stroke: Stroke) -> Stroke | None:
        """Paint what someone else painted, e.g. a simulated annotator."""
        codes = np.concatenate([np.full(length, new) for _, length, _, new in stroke.runs])
        return self.paint_codes(stroke.pixels(), codes, stroke.image, stroke.seconds)

    def import_labels(self, array: NDArray[Any], image: int | None = None) -> Stroke | None:
        """Take codes ``(H, W)`` from elsewhere as one stroke; where they are 0 nothing changes.

        For a large image, see :meth:`import_tiled`.
        """
        i = self.case.index(self.current if image is None else image)
        shape = self.images[i].shape
        codes = checked_codes(np.asarray(array), shape, len(self.classes), "imported labels")
        flat = np.flatnonzero(codes)
        return self.paint_codes(flat, codes.ravel()[flat], i)

    def import_tiled(self, labels: TiledLabels, image: int | None = None) -> Stroke | None:
        """As :meth:`import_labels`, with codes of a large image, of which few are not 0."""
        i = self.case.index(self.current if image is None else image)
        width, flats, codes = self.images[i].shape[1], [], []
        if labels.shape != self.images[i].shape:
            raise LimsupError("imported labels", got=labels.shape, expected=self.images[i].shape)
        for box in tiles(labels.shape, (0, 0, *labels.shape)):
            rows, columns = np.nonzero(found := labels.read(box))
            flats.append((rows + box[0]) * width + columns + box[1])
            codes.append(found[rows, columns])
        return self.paint_codes(np.concatenate(flats), np.concatenate(codes), i)

    def undo(self) -> Stroke | None:
        """Take the last stroke back, whatever image it is on; None if there is none."""
        return self._back_or_forth("undo", self._history.undo)

    def redo(self) -> Stroke | None:
        """Put back what was taken back last; None if there is nothing."""
        return self._back_or_forth("redo", self._history.redo)

    def _back_or_forth(self, kind: str, move: Callable[[], Stroke | None]) -> Stroke | None:
        """Undo or redo, and bring the image it happened on to the screen."""
        self._check_open()
        stroke = move()
        if stroke is not None:
            self._record.add(kind, image=stroke.image)
            self.events.tell("scribbles", stroke.image)
            self.current = stroke.image
        return stroke
