"""A surface to draw on in the notebook, for those without a display for napari."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from numpy.typing import ArrayLike, NDArray

from limsup_widgets.view.html import png, thumbnail
from limsup_widgets.view.palette import class_palette, colour_table, css
from limsup_widgets.view.raster import stroke_pixels

LONGEST = 1600
"""Longest side of a picture sent to the browser, in pixels; strokes keep full precision."""


def coloured(codes: NDArray, palette: ArrayLike) -> NDArray[np.uint8]:
    """Label image (H, W) as RGBA (H, W, 4): transparent where the code is 0."""
    table = np.hstack([colour_table(palette), np.full((len(np.asarray(palette)) + 1, 1), 255)])
    table[0, 3] = 0
    return table.astype(np.uint8)[codes]


class ScribbleCanvas(anywidget.AnyWidget):
    """Picture with a layer of colour and a layer of strokes on it, and a brush.

    The left button draws, the wheel zooms, shift or the middle button moves, F fits.

    Parameters
    ----------
    palette
        (K, 3) colours of the classes 1…K.
    on_stroke
        Called with (flat indices (n,), code, seconds) after each stroke that met the image.
    on_key
        Called with the name of a pressed key that is in `known_keys`.
    **traits
        Any trait below.

    Attributes
    ----------
    code, radius
        Class to paint (0 erases) and radius of the brush in image pixels.
    opacity
        Of the layer of colour, 0 to 1.
    box, look
        Rectangle (y0, x0, y1, x1) to mark, and to zoom to; empty: none, and the whole image.
    known_keys
        Names of keys to be told about, as in `shortcuts`.
    """

    # Given as text, not as a path: a path makes anywidget watch the file for changes.
    _esm = (Path(__file__).parent / "canvas.js").read_text(encoding="utf-8")
    _css = """
    .limsup-canvas { width: 100%; max-height: 560px; display: block; touch-action: none;
      cursor: crosshair; border-radius: 4px; background: #20242a; }
    .limsup-canvas:focus-visible { outline: 2px solid #56b4e9; outline-offset: 1px; }
    """
    picture = traitlets.Bytes().tag(sync=True)
    shade = traitlets.Bytes().tag(sync=True)
    strokes = traitlets.Bytes().tag(sync=True)
    width = traitlets.Int(1).tag(sync=True)
    height = traitlets.Int(1).tag(sync=True)
    colours = traitlets.List(traitlets.Unicode()).tag(sync=True)
    code = traitlets.Int(1).tag(sync=True)
    radius = traitlets.Float(3.0).tag(sync=True)
    opacity = traitlets.Float(0.45).tag(sync=True)
    box = traitlets.List(traitlets.Float()).tag(sync=True)
    look = traitlets.List(traitlets.Float()).tag(sync=True)
    known_keys = traitlets.List(traitlets.Unicode()).tag(sync=True)
    label = traitlets.Unicode("image to draw on").tag(sync=True)

    def __init__(
        self,
        palette: ArrayLike | None = None,
        on_stroke: Callable[[NDArray[np.int64], int, float], None] | None = None,
        on_key: Callable[[str], None] | None = None,
        **traits: Any,
    ) -> None:
        self.palette = class_palette(1) if palette is None else np.asarray(palette)
        super().__init__(colours=[css(colour) for colour in self.palette], **traits)
        self._on_stroke, self._on_key = on_stroke, on_key
        self.on_msg(self._receive)

    def show_picture(self, rgb: NDArray[np.uint8]) -> None:
        """Replace the picture (H, W, 3); its size is the size of the strokes."""
        small = thumbnail(rgb, LONGEST)
        self.height, self.width = (int(side) for side in rgb.shape[:2])
        self.picture = png(small)

    def show_shade(self, rgba: NDArray[np.uint8] | None) -> None:
        """Replace the layer of colour (H, W, 3 or 4), or take it away."""
        self.shade = b"" if rgba is None else png(thumbnail(rgba, LONGEST))

    def show_strokes(self, codes: NDArray[np.uint8]) -> None:
        """Replace the strokes by the label image (H, W) with codes 0…K."""
        self.strokes = png(coloured(thumbnail(codes, LONGEST), self.palette))

    def _receive(self, _widget: Any, content: Mapping[str, Any], _buffers: list) -> None:
        """Answer the browser: a finished stroke or a pressed key."""
        if content.get("kind") == "key" and self._on_key:
            self._on_key(str(content["key"]))
        if content.get("kind") != "stroke":
            return
        shape = (self.height, self.width)
        pixels = stroke_pixels(content["points"], float(content["radius"]), shape)
        try:
            if pixels.size and self._on_stroke:
                self._on_stroke(pixels, int(content["code"]), float(content["seconds"]))
        finally:
            self.send({"kind": "done"})
