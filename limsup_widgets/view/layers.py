"""The layers of a session in napari, from the image up to the strokes.

Works through the viewer it is given, so that napari itself is imported in one module only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.view.figures import UNCERTAINTY_MAP

if TYPE_CHECKING:
    import napari

    from limsup_widgets.data.image import Image
    from limsup_widgets.learn.tiles import Box
    from limsup_widgets.session.compare import Comparison

BRUSH = 7
CHANGED_OPACITY = 0.9
EDGE = {"edge_color": "#56b4e9", "face_color": "transparent"}
EDGE_WIDTH = 2.5
"""Of the frame around the part of a large image that is worked on, in pixels of the screen."""


def direct_colours(palette: NDArray[np.uint8]) -> dict[int | None, Any]:
    """Colour of each code 0…K for napari: transparent for 0 and for anything unknown."""
    colours: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
    return colours | {code: (*(rgb / 255), 1.0) for code, rgb in enumerate(palette, start=1)}


class SessionLayers:
    """Image, uncertainty, prediction, frame and strokes, in a viewer.

    Parameters
    ----------
    viewer
        Where to add them.
    source
        The first image; all images of a session have the same channels.
    colours
        Colours of the codes, as napari's colormap of labels.
    window
        Part of the image (top, left, bottom, right) on which the other layers lie.
    levels
        Gives the levels of an image, fine to coarse, if any image of the session stays on the disk.

    Attributes
    ----------
    image, unsure, prediction, place, scribbles
        The layers; `place` frames a region.
    edge
        Frames the window; None if all images are small.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        source: Image,
        colours: object,
        window: Box,
        levels: Callable[[Image], list[Any]] | None,
    ) -> None:
        blank = np.zeros((window[2] - window[0], window[3] - window[1]), np.float32)
        self._levels, self._large = levels, levels is not None
        self._window, self._zoom = window, 1.0
        self.image = viewer.add_image(
            self._data(source), name="image", rgb=source.channels >= 3, multiscale=self._large
        )
        self.unsure = viewer.add_image(
            blank, name="uncertainty", colormap=UNCERTAINTY_MAP, opacity=0.8, visible=False
        )
        self.prediction = viewer.add_labels(
            blank.astype(np.uint8), name="prediction", colormap=colours, opacity=0.4
        )
        self.place = viewer.add_shapes(
            name="next place",
            ndim=2,
            face_color="transparent",
            visible=False,
        )
        self.edge = viewer.add_shapes(name="window", ndim=2) if self._large else None
        self.scribbles = viewer.add_labels(
            blank.astype(np.uint8), name="scribbles", colormap=colours, opacity=1.0
        )
        self.scribbles.brush_size = BRUSH
        self.prediction.editable = self.place.editable = False
        if self.edge is not None:
            self.edge.editable = False

    def all(self) -> tuple[Any, ...]:
        """Every layer, from the bottom."""
        frames = (self.place,) if self.edge is None else (self.place, self.edge)
        return self.image, self.unsure, self.prediction, *frames, self.scribbles

    def restore(self, viewer: napari.Viewer) -> None:
        """Bring back layers that a person has thrown away: the session still has what is in them.

        A person may do so with one click in napari's list of layers.
        """
        for layer in self.all():
            if layer not in viewer.layers:
                viewer.add_layer(layer)

    def _data(self, source: Image) -> Any:
        return source.array if self._levels is None else self._levels(source)

    def show_image(self, source: Image, window: Box) -> bool:
        """Replace the image, and put the other layers on its window; whether its size differs."""
        moved = tuple(self.image.extent.data[1, -2:] + 1) != source.shape
        self.show_levels(source)
        for layer in self.all():
            layer.scale = source.spacing
        self.place.visible = False
        self.show_window(window)
        return moved

    def show_levels(self, source: Image) -> None:
        """Replace the pixels of the image."""
        self.image.data = self._data(source)

    def show_window(self, window: Box) -> None:
        """Lay what can be painted, predicted and doubted on a window of the image."""
        size = window[2] - window[0], window[3] - window[1]
        corner = np.array(window[:2]) * self.image.scale[-2:]
        for layer in (self.unsure, self.prediction, self.scribbles):
            if layer.data.shape != size:
                layer.data = np.zeros(size, layer.data.dtype)
            layer.translate = corner
        self._window = window
        self.show_edge(self._zoom)

    def show_edge(self, zoom: float) -> None:
        """Frame the window of a large image with a line that is as wide at any zoom."""
        self._zoom = zoom
        if self.edge is not None:
            width = EDGE_WIDTH / (zoom * self.image.scale[-1])
            self.edge.data = []
            self.edge.add_rectangles([_corners(self._window)], edge_width=width, **EDGE)

    def visible(self) -> Box:
        """Box of the image that the canvas shows, cut to the image."""
        corners = np.array(self.image.corner_pixels, float)[:, :2]
        if self._large:
            corners *= self.image.downsample_factors[self.image.data_level][:2]
        height, width = (int(n) + 1 for n in self.image.extent.data[1, -2:])
        top, left = np.clip(np.floor(corners[0]), 0, (height - 1, width - 1)).astype(int).tolist()
        low = np.clip(np.ceil(corners[1]) + 1, (top + 1, left + 1), (height, width))
        bottom, right = low.astype(int).tolist()
        return top, left, bottom, right

    def show_scribbles(self, labels: NDArray[np.uint8]) -> None:
        """Replace the strokes (H, W), unless napari itself has just drawn them."""
        if not np.array_equal(labels, self.scribbles.data):
            self.scribbles.data = labels

    def show_prediction(
        self, codes: NDArray[np.uint8], opacity: float, change: Comparison | None = None
    ) -> None:
        """Replace the prediction (H, W); with `change`, colour only what changed, strongly."""
        self.prediction.data = codes if change is None else np.where(change.where, codes, 0)
        self.prediction.opacity = opacity if change is None else CHANGED_OPACITY

    def show_uncertainty(self, values: NDArray[np.floating] | None) -> None:
        """Replace the map of uncertainty (H, W); None empties it."""
        if values is None:
            values = np.zeros(self.scribbles.data.shape, np.float32)
        self.unsure.data = values
        self.unsure.contrast_limits = (0.0, max(float(values.max()), 1e-6))

    def frame(self, box: tuple[int, int, int, int]) -> NDArray[np.floating]:
        """Frame a region (top, left, bottom, right); its centre (2,) in world coordinates."""
        corners = _corners(box)
        self.place.data = []
        self.place.add_rectangles([corners], edge_color="white", edge_width=1.5)
        self.place.visible = True
        return self.centre(box)

    def centre(self, box: Box) -> NDArray[np.floating]:
        """Centre (2,) of a box of the image, in world coordinates."""
        centre: NDArray[np.floating] = _corners(box).mean(axis=0) * self.image.scale[-2:]
        return centre


def _corners(box: Box) -> NDArray[np.floating]:
    """Outer corners of a box, ``(2, 2)``: pixel centres lie at whole numbers."""
    return np.array(box, dtype=float).reshape(2, 2) - 0.5
