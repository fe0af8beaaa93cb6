"""What the camera of a window shows, asked of the session first."""

from __future__ import annotations

from limsup_widgets.errors import LimsupError
from limsup_widgets.session.screen import WHOLE, area, inside, is_large
from limsup_widgets.session.session import Session
from limsup_widgets.view.layers import SessionLayers

SPARE = 16
"""How many times as large as what is in view the window of a large image may be."""


class Sight:
    """Has computed what can be seen.

    Attributes
    ----------
    far
        Whether the camera shows more of a large image than can be worked on.
    """

    def __init__(self, session: Session, layers: SessionLayers) -> None:
        self.session, self.layers, self.far = session, layers, False

    def look(self) -> None:
        """Ask for what can be seen, first of all."""
        self.session.look(self.layers.visible(), unsure=self.layers.unsure.visible)

    def follow(self, zoom: float) -> None:
        """Compute what is in view; let the window of a large image follow the camera.

        Parameters
        ----------
        zoom
            The camera's, in pixels of the screen a unit of length.
        """
        visible, window = self.layers.visible(), self.session.window
        if not is_large(self.session.images[self.session.current]):
            if area(window) > WHOLE and not self.session.at_rest:
                self.session.look(visible)
            return
        self.layers.show_edge(zoom)
        stays = inside(visible, window) and area(window) <= SPARE * area(visible)
        try:
            self.far = False
            if not stays or not self.session.at_rest:
                self.session.look_at(visible)
        except LimsupError:
            self.far = True
