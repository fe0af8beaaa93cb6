"""The layers of a session in napari, from the image up to the strokes.

Works through the viewer it is given, so that napari itself is imported in one module only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from limsup_widgets.view.figures import UNCERTAINTY_MAP

if TYPE_CHECKING:
    import napari

    from limsup_widgets.data.image import Image
    from limsup_widgets.session.compare import Comparison

BRUSH = 7
CHANGED_OPACITY = 0.9


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

    Attributes
    ----------
    image, unsure, prediction, place, scribbles
        The layers; `place` frames a region.
    """

    def __init__(self, viewer: napari.Viewer, source: Image, colours: object) -> None:
        blank = np.zeros(source.shape, np.float32)
        self.image = viewer.add_image(source.array, name="image", rgb=source.channels >= 3)
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
        self.scribbles = viewer.add_labels(
            blank.astype(np.uint8), name="scribbles", colormap=colours, opacity=1.0
        )
        self.scribbles.brush_size = BRUSH
        self.prediction.editable = self.place.editable = False

    def all(self) -> tuple[Any, ...]:
        """Every layer, from the bottom."""
        return self.image, self.unsure, self.prediction, self.place, self.scribbles

    def restore(self, viewer: napari.Viewer) -> None:
        """Bring back layers that a person has thrown away: the session still has what is in them.

        A person may do so with one click in napari's list of layers.
        """
        for layer in self.all():
            if layer not in viewer.layers:
                viewer.add_layer(layer)

    def show_image(self, source: Image) -> bool:
        """Replace the image; whether its size differs from the last one's."""
        moved = self.image.data.shape != source.array.shape
        self.image.data = source.array
        for layer in self.all():
            layer.scale = source.spacing
        self.place.visible = False
        return moved

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
        corners = np.array(box, dtype=float).reshape(2, 2) - 0.5
        self.place.data = []
        self.place.add_rectangles([corners], edge_color="white", edge_width=1.5)
        self.place.visible = True
        return corners.mean(axis=0) * self.image.scale[-2:]
