"""Strokes that a person paints in napari's layer of labels, on their way to the session.

Works through the layer it is given, so that napari itself is imported in one module only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from limsup_widgets.view.atoms import painted
from limsup_widgets.view.controls import Controls
from limsup_widgets.view.dock import Dock
from limsup_widgets.view.layers import SessionLayers

PAINTING = ("paint", "erase", "fill", "polygon")


class Brush:
    """The brush of a window.

    Parameters
    ----------
    layers, dock, controls
        Of the window.
    redraw
        Called with the index of an image after a stroke on it, whatever the session made of it.
    """

    def __init__(
        self,
        layers: SessionLayers,
        dock: Dock,
        controls: Controls,
        redraw: Callable[[int], None],
    ) -> None:
        self.layers, self.dock, self.controls, self.redraw = layers, dock, controls, redraw
        self.classes = len(controls.session.classes)
        self._stroke_began = time.monotonic()
        events = layers.scribbles.events
        events.paint.connect(self._on_paint)
        events.mode.connect(self._on_mode)
        events.selected_label.connect(self._on_selected_label)
        events.brush_size.connect(self._on_size)
        dock.brush.changed.connect(self._set_size)

    def take(self, code: int) -> None:
        """Paint ``code`` from now on; 0 erases."""
        if code:
            self.layers.scribbles.selected_label = code
        self.layers.scribbles.mode = "paint" if code else "erase"
        self.dock.show_class(code)

    def thinner(self) -> None:
        """Make the brush thinner."""
        self._set_size(max(1, self.layers.scribbles.brush_size - 1))

    def thicker(self) -> None:
        """Make the brush thicker."""
        self._set_size(self.layers.scribbles.brush_size + 1)

    def time_stroke(self, _viewer: Any, _event: Any) -> Iterator[None]:
        """Note when a stroke begins, as a callback of the mouse."""
        self._stroke_began = time.monotonic()
        yield

    def _set_size(self, size: int) -> None:
        self.layers.scribbles.brush_size = size

    def _on_paint(self, event: Any) -> None:
        """Give the finished stroke to the session, pixel by pixel, as napari drew it."""
        seconds = time.monotonic() - self._stroke_began
        session = self.controls.session
        index, (top, left) = session.current, session.window[:2]
        for pixels, code in painted(event.value, self.layers.scribbles.data.shape):
            rows, columns = np.divmod(pixels, self.layers.scribbles.data.shape[1])
            place = rows + top, columns + left
            self.controls.guard(lambda p=place, c=code: session.paint(p, c, index, seconds))
        self.redraw(index)

    def _on_mode(self, _event: Any = None) -> None:
        # A right click in paint mode would start a tool that holds every later stroke back until
        # it is finished. Setting a mode switches it on again, and only this private switch off.
        self.layers.scribbles._overlays["brush_stroke"].enabled = False
        if self.layers.scribbles.mode in PAINTING:
            erasing = self.layers.scribbles.mode == "erase"
            self.dock.show_class(0 if erasing else self.layers.scribbles.selected_label)

    def _on_selected_label(self, _event: Any = None) -> None:
        """Keep napari's own label keys inside the classes there are."""
        code = self.layers.scribbles.selected_label
        if not 1 <= code <= self.classes:
            self.layers.scribbles.selected_label = min(max(code, 1), self.classes)
        elif self.layers.scribbles.mode != "erase":
            self.dock.show_class(code)

    def _on_size(self, _event: Any = None) -> None:
        self.dock.brush.value = min(self.dock.brush.max, self.layers.scribbles.brush_size)
