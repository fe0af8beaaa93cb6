"""`NapariView`: a session in a napari window. The only module that imports napari and Qt.

Import it only where `limsup_widgets.view.display.viewer_available` says yes: without a display Qt
ends the whole process at the first window.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import napari
from napari.utils.colormaps import DirectLabelColormap
from psygnal.qt import start_emitting_from_queue
from qtpy.QtCore import QTimer

from limsup_widgets.learn.tiles import touches
from limsup_widgets.view import pump, status
from limsup_widgets.view.brush import Brush
from limsup_widgets.view.controls import Controls
from limsup_widgets.view.dock import Dock
from limsup_widgets.view.layers import SessionLayers, direct_colours
from limsup_widgets.view.palette import class_palette
from limsup_widgets.view.pyramid import Pyramids
from limsup_widgets.view.shortcuts import MAX_DIGIT, SHORTCUTS
from limsup_widgets.view.sight import Sight
from limsup_widgets.view.static import static_html

if TYPE_CHECKING:
    from limsup_widgets.data.image import Image
    from limsup_widgets.learn.tune import TuneStep
    from limsup_widgets.session.session import Session

SIZE = (1360, 880)
REST = 150
"""Milliseconds without a move of the camera after which what it shows is looked at."""
QUEUE_PERIOD = 20
"""Milliseconds between two looks at what other threads have to say, under Qt's own loop."""


def _while_open(listener: Callable[..., None]) -> Callable[..., None]:
    """Leave the widgets alone once they are gone.

    Another listener of the same event may have closed the window just before this one's turn.
    """

    @wraps(listener)
    def guarded(view: NapariView, *values: object) -> None:
        if view.viewer is not None:
            listener(view, *values)

    return guarded


class NapariView:
    """A napari window that follows a session.

    Closing the window loses nothing, and a tune goes on; `show` opens it again.

    Parameters
    ----------
    session
        The session shown.
    show
        Whether to open the window at once.

    Attributes
    ----------
    viewer : napari.Viewer or None
        None while the window is closed.
    dock : Dock
        What stands beside the picture.
    layers, brush, sight
        What stands in the picture, paints in it, and has computed what can be seen of it.
    """

    viewer: napari.Viewer | None = None
    dock: Dock
    layers: SessionLayers
    brush: Brush
    sight: Sight

    def __init__(self, session: Session, show: bool = True) -> None:
        self.session = session
        self.palette = class_palette(len(session.classes))
        self.controls = Controls(session, self.say)
        self._only_changed = False
        if show:
            self.show()

    @property
    def is_open(self) -> bool:
        """Whether there is a window."""
        return self.viewer is not None

    def show(self) -> NapariView:
        """Open the window, or bring the open one to the front."""
        if self.viewer is not None:
            self.viewer.window.activate()
            return self
        in_notebook = pump.start()
        if in_notebook:
            # napari's own loop for notebooks would make cells with `await` hang. Read when the
            # first window is made, and not written to the user's settings.
            os.environ["NAPARI_APPLICATION_IPY_INTERACTIVE"] = "false"
        self.pyramids = Pyramids(self._on_levels, self._say_later)
        self.viewer = napari.Viewer(title=f"limsup – {self.session.name}", show=False)
        if not in_notebook:
            # A Qt timer made before the application, which the viewer makes, would never tick.
            start_emitting_from_queue(QUEUE_PERIOD)
        self._make_layers(self.viewer)
        self._make_dock(self.viewer)
        self._bind_keys(self.viewer)
        self._listen()
        self._rest = self._resting(self.viewer)
        # napari tells nobody that a window was closed; its private Qt window does.
        self.viewer.window._qt_window.destroyed.connect(self._forget)
        self._on_image(self.session.current)
        self._on_tuning("started" if self.session.tuning else "")
        self.dock.show_live(self.session.live)
        self.choose(1)
        self.viewer.show()
        self.viewer.window.resize(*SIZE)
        self.viewer.reset_view()
        self.sight.look()
        return self

    def follow(self, session: Session) -> NapariView:
        """Show another session, in the same window if one is open."""
        opened, self.session = self.viewer, session
        self._forget()
        self.palette = class_palette(len(session.classes))
        self.controls = Controls(session, self.say)
        if opened is not None:
            opened.close()
        return self.show()

    def close(self) -> None:
        """Close the window; a second call does nothing."""
        if self.viewer is not None:
            self.viewer.close()
            self._forget()

    def _repr_html_(self) -> str:
        return static_html(self.session)

    # What the keys and buttons do, beyond what `Controls` does.

    def act(self, name: str) -> None:
        """Do what a key or button stands for: a method of view or brush, else of the controls."""
        self.say("")
        own = getattr(self, name, None) or getattr(self.brush, name, None)
        if own is not None:
            own()
        else:
            self.controls.act(name)

    def say(self, line: str) -> None:
        """Show one line in the dock and in the window's status bar."""
        if self.viewer is not None:
            self.dock.say(line)
            self.viewer.status = line or "Ready"

    def choose(self, code: int) -> None:
        """Paint `code` from now on, 0 erases; a number without a class does nothing."""
        if not 0 <= code <= len(self.session.classes) or self.viewer is None:
            return
        self.brush.take(code)
        self.layers.restore(self.viewer)
        self.viewer.layers.selection.active = self.layers.scribbles

    def erase(self) -> None:
        """Take the eraser."""
        self.choose(0)

    def toggle_prediction(self) -> None:
        """Show or hide the prediction."""
        self.layers.prediction.visible = not self.layers.prediction.visible

    def toggle_uncertainty(self) -> None:
        """Show or hide uncertainty; it is computed when it is first seen."""
        self.layers.unsure.visible = not self.layers.unsure.visible

    def toggle_changed(self) -> None:
        """Colour only what the last tune changed, or everything again."""
        self._only_changed = not self._only_changed and self.session.has_previous
        self._draw_prediction()

    def toggle_live(self) -> None:
        """Answer each stroke at once and tune behind it, or only tune when asked."""
        self.controls.act("toggle_live")
        self.dock.show_live(self.session.live)

    def next_region(self) -> None:
        """Go to the next place worth a stroke."""
        region = self.controls.act("next_region")
        self.dock.show_places(self.controls.regions, self.controls.place)
        if region is not None:
            self.go_to(self.controls.place)

    def go_to(self, rank: int) -> None:
        """Frame a place of the list and bring it to the middle of the window."""
        if self.viewer is None or not 0 <= rank < len(self.controls.regions):
            return
        self.controls.place = rank
        self.viewer.scene.camera.center = tuple(self.layers.frame(self.controls.regions[rank].box))

    # Building the window.

    def _make_layers(self, viewer: napari.Viewer) -> None:
        source = self.session.images[self.session.current]
        colours = DirectLabelColormap(color_dict=direct_colours(self.palette))
        large = any(image.is_lazy for image in self.session.images)
        levels = self.pyramids.levels if large else None
        self.layers = SessionLayers(viewer, source, colours, self.session.window, levels)
        self.layers.unsure.events.visible.connect(self._on_unsure_visible)
        self.sight = Sight(self.session, self.layers)

    def _make_dock(self, viewer: napari.Viewer) -> None:
        names = [image.name for image in self.session.images]
        classes, palette = self.session.classes, self.palette
        self.dock = dock = Dock(classes, palette, names, self.act, self.choose, self.go_to)
        dock.tint.changed.connect(lambda share: setattr(self.layers.prediction, "opacity", share))
        dock.unsure.changed.connect(lambda shown: setattr(self.layers.unsure, "visible", shown))
        dock.kind.changed.connect(self._on_kind)
        dock.image.changed.connect(lambda index: setattr(self.session, "current", index))
        viewer.window.add_dock_widget(dock.native, name="limsup", area="right")
        self.brush = Brush(self.layers, dock, self.controls, self._on_scribbles)
        viewer.mouse_drag_callbacks.append(self.brush.time_stroke)

    def _bind_keys(self, viewer: napari.Viewer) -> None:
        """Bind on the window and on each layer, whose own keys would otherwise come first.

        So undo and redo are the session's: napari's own history is never asked.
        """
        actions = {shortcut.key: self._key(self.act, shortcut.action) for shortcut in SHORTCUTS}
        for code in range(1, min(len(self.palette), MAX_DIGIT) + 1):
            actions[str(code)] = self._key(self.choose, code)
        for holder in (viewer, *viewer.layers):
            for key, action in actions.items():
                holder.bind_key(key, action, overwrite=True)

    @staticmethod
    def _key(action: Callable[[Any], object], argument: object) -> Callable[[Any], object]:
        return lambda _: action(argument)

    def _resting(self, viewer: napari.Viewer) -> QTimer:
        """A timer that ends when the camera has not moved for a while."""
        timer = QTimer()
        timer.setSingleShot(True)
        timer.setInterval(REST)
        timer.timeout.connect(self._on_rest)
        viewer.scene.camera.events.connect(lambda _: timer.start())
        return timer

    def _listeners(self) -> dict[str, Callable[..., None]]:
        return {
            "scribbles": self._on_scribbles,
            "screen": self._on_screen,
            "window": self._on_window,
            "prediction": self._on_prediction,
            "image": self._on_image,
            "progress": self._on_progress,
            "tuning": self._on_tuning,
            "message": self.say,
            "saved": self._on_saved,
        }

    def _listen(self) -> None:
        for name, listener in self._listeners().items():
            self.session.events[name].connect(listener)

    def _forget(self, *_: object) -> None:
        """Follow the session no more; it goes on without this window."""
        for name, listener in self._listeners().items():
            self.session.events[name].disconnect(listener, missing_ok=True)
        if self.viewer is not None:
            self._rest.stop()
            self.pyramids.close()
        self.viewer = None

    # What the person does in the picture.

    def _on_unsure_visible(self, _event: Any = None) -> None:
        shown = self.layers.unsure.visible
        self.dock.unsure.value = shown
        self.layers.prediction.visible = not shown  # Two tints on one pixel cannot be read.
        self.sight.look()
        self._draw_uncertainty()

    def _on_kind(self, kind: Any) -> None:
        self.controls.kind = kind
        self._draw_uncertainty()

    def _on_rest(self) -> None:
        if self.viewer is not None:
            self.sight.follow(self.viewer.scene.camera.zoom)
            self._say_whose_answer()

    # What the session tells.

    @_while_open
    def _on_image(self, index: int) -> None:
        moved = self.layers.show_image(self.session.images[index], self.session.window)
        self.dock.image.value = index
        self._on_scribbles(index)
        self._on_screen(index)
        self._on_prediction(index)
        if moved and self.viewer is not None:
            self.viewer.reset_view()

    @_while_open
    def _on_scribbles(self, index: int) -> None:
        if index == self.session.current:
            self.layers.show_scribbles(self.session.labels(index, self.session.window))
        self.dock.count.value = status.count_text(self.session.counts(), self.session.classes)
        self.dock.buttons["undo"].enabled = self.session.can_undo
        self.dock.buttons["redo"].enabled = self.session.can_redo
        self._on_saved(self.session.is_saved)
        self._forget_places()

    @_while_open
    def _on_prediction(self, index: int) -> None:
        if index != self.session.current:
            return
        self._only_changed = self._only_changed and self.session.has_previous
        text = status.dice_text(self.controls.dice(), self.session.classes)
        self.dock.scores.value = text if self.session.ready else status.NO_PREDICTION
        self.dock.show_comparison(self.controls.comparison())
        self._forget_places()

    @_while_open
    def _on_screen(self, index: int) -> None:
        if index != self.session.current:
            return
        self._draw_prediction()
        self._draw_uncertainty()
        self._say_whose_answer()
        if self.session.screen.done == 1:
            self._on_prediction(index)

    @_while_open
    def _on_window(self, index: int) -> None:
        """Lay everything on another part of the image, and look there if that was out of sight."""
        if index != self.session.current or self.viewer is None:
            return
        window = self.session.window
        self.layers.show_window(window)
        self._on_scribbles(index)
        if not touches(window, self.layers.visible()):
            self.viewer.scene.camera.center = tuple(self.layers.centre(window))

    @_while_open
    def _on_levels(self, image: Image) -> None:
        if image is self.session.images[self.session.current]:
            self.layers.show_levels(image)

    def _say_later(self, line: str) -> None:
        """Say it when the dock is there."""
        QTimer.singleShot(0, lambda: self.say(line))

    def _say_whose_answer(self) -> None:
        text = status.answer_text(self.session.screen, self.session.tuning)
        self.dock.answer.value = status.FAR if self.sight.far else text

    @_while_open
    def _on_progress(self, step: TuneStep) -> None:
        self.dock.show_progress(step.step, step.total, step.loss)

    @_while_open
    def _on_tuning(self, what: str) -> None:
        self.dock.show_tuning(what == "started")
        if what in ("started", "cancelled"):
            self.say({"started": "", "cancelled": "cancelled: the model is as it was"}[what])

    @_while_open
    def _on_saved(self, saved: bool) -> None:
        self.dock.show_saved(saved, self.session.folder)

    def _forget_places(self) -> None:
        self.controls.forget_places()
        self.dock.show_places([], -1)
        self.layers.place.visible = False

    def _draw_prediction(self) -> None:
        change = self.controls.comparison() if self._only_changed else None
        codes = self.session.screen.codes
        self.layers.show_prediction(codes, self.dock.tint.value, change)
        self.dock.show_changed(change is not None)

    def _draw_uncertainty(self) -> None:
        """Compute and draw what is on view; nothing while the layer is hidden."""
        shown = self.layers.unsure.visible
        self.layers.show_uncertainty(self.controls.uncertainty() if shown else None)


def run() -> None:
    """Wait, in a plain script, until the last window is closed."""
    napari.run()
