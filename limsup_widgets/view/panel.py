"""`NotebookPanel`: the session in a notebook's cell, with a surface to draw on."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

from limsup_widgets.session.screen import is_large
from limsup_widgets.view import pump, status
from limsup_widgets.view.canvas import ScribbleCanvas, coloured
from limsup_widgets.view.controls import Controls
from limsup_widgets.view.figures import as_rgb, difference, outline, overlay, uncertainty_rgb
from limsup_widgets.view.html import picture_html, table_html, thumbnail
from limsup_widgets.view.palette import class_palette
from limsup_widgets.view.panel_parts import PanelParts
from limsup_widgets.view.pyramid import Pyramids
from limsup_widgets.view.shortcuts import MAX_DIGIT, SHORTCUTS
from limsup_widgets.view.static import static_html

if TYPE_CHECKING:
    from limsup_widgets.data.image import Image
    from limsup_widgets.learn.tune import TuneStep
    from limsup_widgets.session.session import Session

SHOWN = ("prediction", "outlines", "what changed", "uncertainty", "truth")
KEYS = [shortcut.key for shortcut in SHORTCUTS] + [str(i) for i in range(1, MAX_DIGIT + 1)]
OVERVIEW = 512
"""Longer side of the overview of a large image, in pixels."""
AROUND = 384
"""Half the side of the box to work on around a click on the overview, in pixels."""
LINE = "display:inline-block;line-height:1.5;font-size:13px"


class NotebookPanel(widgets.VBox):
    """Controls and pictures of a session, in the notebook.

    Everything works here without napari: paint with the left button, tune, compare, look where to
    paint next, accept. With napari open, both follow the same session.

    Parameters
    ----------
    session
        The session shown. The panel only follows it: closing the panel loses nothing.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.palette = class_palette(len(session.classes))
        self.controls = Controls(session, self._say)
        self.canvas = ScribbleCanvas(self.palette, self.paint, self.press, known_keys=KEYS)
        names = [image.name for image in session.images]
        self.parts = PanelParts(session.classes, self.palette, names, self.act, self.choose)
        self.parts.overview = ScribbleCanvas(self.palette, self.look_around, radius=0.5)
        self.pyramids = Pyramids(self._on_levels, self._say)
        super().__init__(children=self.parts.arrange(self.canvas))
        self._connect()
        self._listen()
        pump.start()
        self.choose(1)
        self._on_image(session.current)
        self._on_tuning("started" if session.tuning else "")
        self.parts.show_live(session.live)
        session.look()

    # ipywidgets shows the live widget where it can; a page without a kernel shows the HTML.
    def _repr_mimebundle_(self, **keywords: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**keywords) or {}
        return {**bundle, "text/html": static_html(self.session)}

    def close(self) -> None:
        """Stop following the session and leave the page; a second call does nothing."""
        for name, listener in self._listeners().items():
            self.session.events[name].disconnect(listener, missing_ok=True)
        self.pyramids.close()
        self.canvas.close()
        self.parts.overview.close()
        super().close()

    def toggle_live(self) -> None:
        """Answer each stroke at once, or only tune when asked."""
        self.controls.act("toggle_live")
        self.parts.show_live(self.session.live)

    def paint(self, pixels: NDArray[np.int64], code: int, seconds: float) -> None:
        """Give a stroke to the session: flat indices (n,), code (0 erases), seconds it took."""
        rows, columns = np.divmod(pixels, self.canvas.width)
        top, left = self.session.window[:2]
        place = rows + top, columns + left
        self.controls.guard(
            lambda: self.session.paint(place, code, self.session.current, seconds=seconds)
        )

    def look_around(self, pixels: NDArray[np.int64], _code: int = 0, _seconds: float = 0) -> None:
        """Work on the part of a large image around pixels (n,) of its overview."""
        overview = self.parts.overview
        height, width = self.session.images[self.session.current].shape
        row, column = (int(part.mean()) for part in np.divmod(pixels, overview.width))
        y, x = row * height // overview.height, column * width // overview.width
        box = (y - AROUND, x - AROUND, y + AROUND, x + AROUND)
        self.controls.guard(self.session.look_at, box)

    def _connect(self) -> None:
        parts = self.parts
        self._offer_pictures()
        widgets.link((parts.tint, "value"), (self.canvas, "opacity"))
        widgets.link((parts.brush, "value"), (self.canvas, "radius"))
        parts.shown.observe(self._on_choice_of_picture, "value")
        parts.kind.observe(self._on_kind, "value")
        parts.image.observe(self._on_choice_of_image, "value")
        parts.places.observe(self._on_choice_of_place, "value")

    def _offer_pictures(self) -> None:
        """List the kinds of picture there are for the image; the chosen one stays, if it can."""
        known = self.session.truth(self.session.current) is not None
        names = tuple(name for name in SHOWN if known or name != "truth")
        menu, chosen = self.parts.shown, self.parts.shown.value
        if names != menu.options:
            menu.options = names
            menu.value = chosen if chosen in names else names[0]

    def _listeners(self) -> dict[str, Callable[..., None]]:
        return {
            "scribbles": self._on_scribbles,
            "screen": self._on_screen,
            "window": self._on_window,
            "prediction": self._on_prediction,
            "image": self._on_image,
            "progress": self._on_progress,
            "tuning": self._on_tuning,
            "message": self._say,
            "saved": self._on_saved,
        }

    def _listen(self) -> None:
        for name, listener in self._listeners().items():
            self.session.events[name].connect(listener)

    def press(self, key: str) -> None:
        """Do what a key on the picture stands for."""
        if key.isdigit():
            self.choose(int(key))
        else:
            self.act(next(shortcut.action for shortcut in SHORTCUTS if shortcut.key == key))

    def act(self, name: str) -> None:
        """Do what a button or key stands for: a method of the panel, else of its controls."""
        own = getattr(self, name, None)
        if own is not None:
            own()
        else:
            self.controls.act(name)

    def erase(self) -> None:
        """Take the eraser."""
        self.choose(0)

    def thinner(self) -> None:
        """Make the brush thinner."""
        self.parts.brush.value -= 1

    def thicker(self) -> None:
        """Make the brush thicker."""
        self.parts.brush.value += 1

    def toggle_prediction(self) -> None:
        """Show or hide the tint of the prediction on the image."""
        self.parts.tint.value = 0.0 if self.parts.tint.value else 0.35

    def toggle_uncertainty(self) -> None:
        """Show uncertainty beside the image, or the prediction again."""
        self._toggle_picture("uncertainty")

    def toggle_changed(self) -> None:
        """Show what the last tune changed beside the image, or the prediction again."""
        self._toggle_picture("what changed")

    def _toggle_picture(self, name: str) -> None:
        self.parts.shown.value = "prediction" if self.parts.shown.value == name else name

    def next_region(self) -> None:
        """Mark the next place worth a stroke and list them all."""
        region = self.controls.act("next_region")
        self._list_places()
        if region is not None:
            self.parts.places.value = self.controls.place

    def choose(self, code: int) -> None:
        """Paint `code` from now on (0 erases); a number without a class does nothing."""
        if code <= len(self.palette):
            self.canvas.code = code
            self.parts.show_class(code)

    def _say(self, line: str) -> None:
        self.parts.message.value = f'<span role="status" style="{LINE}">{escape(line)}</span>'

    def _on_image(self, index: int) -> None:
        image = self.session.images[index]
        self.canvas.label = f"image {image.name}; paint on it with the left mouse button"
        self.parts.image.value = index
        self._on_levels(image)
        self._on_window(index)
        self._offer_pictures()
        self._forget_places()
        self._on_screen(index)
        self._on_prediction(index)

    def _on_levels(self, image: Image) -> None:
        """Show all of a large image in small, to choose from; of any other nothing."""
        if image is not self.session.images[self.session.current]:
            return
        large = is_large(image)
        self.parts.show_overview(large)
        if large:
            self.parts.overview.label = f"all of {image.name}; click where to work"
            self.parts.overview.show_picture(as_rgb(thumbnail(self._coarsest(image), OVERVIEW)))

    def _coarsest(self, image: Image) -> NDArray:
        return np.asarray(self.pyramids.levels(image)[-1])

    def _on_window(self, index: int) -> None:
        """Show another part of a large image, or all of any other, and the strokes on it."""
        if index != self.session.current:
            return
        self.canvas.show_picture(as_rgb(self.session.pixels(index)))
        if is_large(self.session.images[index]):
            overview, shape = self.parts.overview, self.session.images[index].shape
            scale = np.array([overview.height / shape[0], overview.width / shape[1]])
            overview.box = (np.array(self.session.window) * np.tile(scale, 2)).tolist()
        self._on_scribbles(index)

    def _on_scribbles(self, index: int) -> None:
        if index != self.session.current:
            return
        self.canvas.show_strokes(self.session.labels(index))
        text = status.count_text(self.session.counts(), self.session.classes)
        self.parts.count.value = f'<span style="{LINE}">{text}</span>'
        self.parts.buttons["undo"].disabled = not self.session.can_undo
        self.parts.buttons["redo"].disabled = not self.session.can_redo
        self._on_saved(self.session.is_saved)
        self._forget_places()

    def _on_prediction(self, index: int) -> None:
        if index == self.session.current:
            self._redraw_scores()

    def _on_screen(self, index: int) -> None:
        if index != self.session.current:
            return
        screen = self.session.screen
        self.canvas.show_shade(coloured(screen.codes, self.palette))
        text = status.answer_text(screen, self.session.tuning)
        self.parts.answer.value = f'<span style="{LINE}">{escape(text)}</span>'
        self._redraw_picture()
        if screen.done == 1:
            self._redraw_scores()

    def _on_progress(self, step: TuneStep) -> None:
        self.parts.progress.max, self.parts.progress.value = step.total, step.step
        text = status.progress_text(step.step, step.total, step.loss)
        self.parts.step.value = f'<span style="{LINE}">{text}</span>'

    def _on_tuning(self, what: str) -> None:
        busy = what == "started"
        self.parts.buttons["tune"].disabled = busy
        self.parts.buttons["cancel"].disabled = not busy
        self.parts.progress.bar_style = {"done": "success", "failed": "danger"}.get(what, "")
        if not busy:
            self._redraw_scores()

    def _on_saved(self, saved: bool) -> None:
        self.parts.saved.value = (
            f'<span style="{LINE}">{status.saved_text(saved, self.session.folder)}</span>'
        )

    def _on_choice_of_picture(self, change: dict[str, Any]) -> None:
        self.session.look(unsure=change["new"] == "uncertainty")
        self._redraw_picture()

    def _on_kind(self, change: dict[str, Any]) -> None:
        self.controls.kind = change["new"]
        self._redraw_picture()

    def _on_choice_of_image(self, change: dict[str, Any]) -> None:
        self.session.current = change["new"]

    def _on_choice_of_place(self, change: dict[str, Any]) -> None:
        if change["new"] is not None:
            self.controls.place = change["new"]
            corner = np.array(self.session.window[:2] * 2, float)
            self.canvas.box = (self.controls.regions[change["new"]].box - corner).tolist()

    def _list_places(self) -> None:
        total = sum(region.score for region in self.controls.regions)
        lines = [
            (status.region_text(rank + 1, region, total), rank)
            for rank, region in enumerate(self.controls.regions)
        ]
        if tuple(lines) != self.parts.places.options:
            self.parts.places.options = lines
        self.parts.places.layout.display = "" if lines else "none"

    def _forget_places(self) -> None:
        self.controls.forget_places()
        self.parts.places.options, self.canvas.box = [], []
        self.parts.places.layout.display = "none"

    def _redraw_picture(self) -> None:
        self.parts.kind.disabled = self.parts.shown.value != "uncertainty"
        rgb, caption = self._picture(self.parts.shown.value)
        name = self.session.images[self.session.current].name
        self.parts.picture.value = picture_html(rgb, f"{caption}, image {name}", caption)

    def _picture(self, shown: str) -> tuple[NDArray[np.uint8], str]:
        """The chosen picture and the line below it."""
        index = self.session.current
        image = self.session.pixels(index)
        codes = self.session.screen.codes
        if not codes.any():
            return as_rgb(image), "" if self.session.ready else status.NO_PREDICTION
        if shown == "uncertainty":
            return self._uncertainty(image)
        if shown == "what changed" and (change := self.controls.comparison()) is not None:
            text = f"{100 * change.fraction:.1f} % changed against the previous model"
            return difference(image, change.before, change.after, self.palette), text
        if shown == "outlines":
            return outline(image, codes, self.palette), "outlines of the prediction"
        if shown == "truth" and (truth := self.session.truth(index)) is not None:
            return overlay(image, truth, self.palette), "truth"
        return overlay(image, codes, self.palette), "prediction"

    def _uncertainty(self, image: NDArray) -> tuple[NDArray[np.uint8], str]:
        values, passes = self.controls.uncertainty(), self.session.screen.passes
        if values is None:
            return as_rgb(image), "uncertainty: being computed …"
        kind = status.KINDS[self.controls.kind]
        return uncertainty_rgb(
            values
        ), f"{kind}: dark 0, bright {values.max():.3g}, {passes} passes"

    def _redraw_scores(self) -> None:
        classes = self.session.classes
        dice = self.controls.dice()
        self.parts.scores.value = f'<span style="{LINE}">{status.dice_text(dice, classes)}</span>'
        change = self.controls.comparison()
        self.parts.buttons["toggle_previous"].disabled = change is None
        self.parts.table.value = (
            ""
            if change is None
            else table_html(
                status.comparison_head(change),
                status.comparison_rows(change, classes),
                "against the previous model, pixels",
            )
        )
