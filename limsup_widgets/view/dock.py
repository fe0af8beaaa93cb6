"""The dock beside napari's picture: what a person can press, and what is going on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui import widgets
from numpy.typing import NDArray

from limsup_widgets.view import status
from limsup_widgets.view.html import table_html
from limsup_widgets.view.palette import css, ink
from limsup_widgets.view.shortcuts import help_rows

if TYPE_CHECKING:
    from limsup_widgets.session.compare import Comparison
    from limsup_widgets.session.regions import Region

WIDTH = 384
CHANGED = "What changed  (D)"
LIVE = "Live  (L)"
ROWS = {
    "learn": (
        ("tune", "Tune  (T)", "learn from the strokes"),
        ("cancel", "Cancel  (Esc)", "stop and keep the model"),
        ("toggle_live", LIVE, "answer each stroke at once and tune behind it"),
    ),
    "look": (
        ("toggle_previous", "Before / after  (B)", "the model before the last tune, and back"),
        ("toggle_changed", CHANGED, "colour only what the last tune changed"),
    ),
    "steps": (
        ("undo", "Undo", "take the last stroke back (Ctrl+Z)"),
        ("redo", "Redo", "draw it again (Ctrl+Shift+Z)"),
    ),
    "next": (("next_region", "Where next  (N)", "jump to the next place worth a stroke"),),
    "end": (
        ("accept", "Accept  (A)", "write labels and uncertainty to the session's folder"),
        ("reset", "Start over  (R)", "drop strokes and tuning; press twice to confirm"),
    ),
}
CHIP = (
    "QPushButton {{ background: {back}; color: {text}; border: 3px solid {edge};"
    " border-radius: 6px; padding: 5px 8px; font-weight: {weight}; text-align: left; }}"
)
MAIN = (
    "QPushButton { background: #0072b2; color: white; font-weight: bold; padding: 8px; }"
    "QPushButton:hover { background: #2e93cc; }"
    "QPushButton:disabled { background: #3c4451; color: #8a93a0; }"
)
HEADING = "font-size: 10px; font-weight: bold; color: #9aa4b2; margin-top: 2px;"
MESSAGE = "background: #2b3240; border-left: 3px solid #e69f00; padding: 6px; color: #f0f0f0;"
SAVED = "color: {}; font-weight: bold;"


class Dock:
    """Widgets of the dock. It holds no state of the session: a view tells it what to show.

    Parameters
    ----------
    classes
        Names of the classes 1…K.
    palette
        (K, 3) colours.
    images
        Names of the images; the list is left out if there is only one.
    act
        Called with the name of an action, as in `shortcuts`, when a button is pressed.
    choose
        Called with a code when a class (or 0, the eraser) is pressed.
    go
        Called with the rank of a place, from 0, when it is picked from the list.
    """

    def __init__(
        self,
        classes: Sequence[str],
        palette: NDArray[np.uint8],
        images: Sequence[str],
        act: Callable[[str], object],
        choose: Callable[[int], object],
        go: Callable[[int], object],
    ) -> None:
        self.classes, self.palette, self._go = classes, palette, go
        self._listing = False
        self.buttons: dict[str, widgets.PushButton] = {}
        self.chips = [self._chip(code, choose) for code in range(len(classes) + 1)]
        self._make_inputs(images)
        self._make_outputs()
        self.widget = self._arrange(act, len(images) > 1)

    def _chip(self, code: int, choose: Callable[[int], object]) -> widgets.PushButton:
        name = f"{code}  {self.classes[code - 1]}" if code else "E  eraser"
        chip = widgets.PushButton(text=name, tooltip=f"paint {name[3:]}" if code else "erase")
        chip.changed.connect(lambda _: choose(code))
        return chip

    def _make_inputs(self, images: Sequence[str]) -> None:
        self.brush = widgets.Slider(
            min=1, max=60, value=7, readout=False, tooltip="[ thinner, ] thicker"
        )
        self.tint = widgets.FloatSlider(min=0, max=1, value=0.4, step=0.05, readout=False)
        self.unsure = widgets.CheckBox(text="uncertainty (U)")
        kinds = [(text, letter) for letter, text in status.KINDS.items()]
        self.kind = widgets.ComboBox(choices=kinds, value="V")
        self.places = widgets.Select(choices=[])
        self.places.native.setMaximumHeight(92)
        self.places.changed.connect(self._picked)
        listed = [(f"{i + 1}  {name}", i) for i, name in enumerate(images)]
        self.image = widgets.ComboBox(choices=listed, value=0)

    def _make_outputs(self) -> None:
        self.progress = widgets.ProgressBar(min=0, max=1, value=0)
        self.step, self.message, self.saved = _text(), _text(MESSAGE), _text()
        self.scores, self.count, self.table, self.answer = (_text() for _ in range(4))
        self.keys = _text()
        self.keys.value = table_html(["key", "does"], help_rows(len(self.classes)))
        self.keys_shown = widgets.PushButton(text="Keys …", tooltip="list of all keys")
        self.keys_shown.changed.connect(
            lambda _: setattr(self.keys, "visible", not self.keys.visible)
        )

    def _arrange(self, act: Callable[[str], object], several: bool) -> widgets.Container:
        rows = {name: _row(*self._buttons(specs, act)) for name, specs in ROWS.items()}
        self.buttons["tune"].native.setStyleSheet(MAIN)
        chips = [self.chips[i : i + 2] for i in range(1, len(self.chips), 2)]
        parts = [
            self.saved,
            *([self.image] if several else []),
            _heading("paint"),
            *(_row(*pair) for pair in chips),
            _row(self.chips[0], widgets.Label(value="brush"), self.brush),
            rows["steps"],
            self.count,
            _heading("learn"),
            rows["learn"],
            self.progress,
            self.step,
            self.message,
            _heading("look"),
            self.answer,
            self.scores,
            rows["look"],
            self.table,
            _row(widgets.Label(value="prediction (O)"), self.tint),
            _row(self.unsure, self.kind),
            _heading("where next"),
            rows["next"],
            self.places,
            _heading("finish"),
            rows["end"],
            self.keys_shown,
            self.keys,
        ]
        box = widgets.Container(widgets=parts, labels=False, scrollable=True)
        box.margins = (6, 2, 10, 4)
        box.root_native_widget.setMinimumWidth(WIDTH)
        self.message.visible = self.keys.visible = self.table.visible = False
        return box

    @property
    def native(self) -> Any:
        """The Qt widget to put into a window: with the scroll bar around it."""
        return self.widget.root_native_widget

    def _buttons(self, specs: Sequence[tuple[str, str, str]], act: Callable) -> list[Any]:
        for name, text, tooltip in specs:
            button = widgets.PushButton(text=text, tooltip=tooltip)
            button.changed.connect(lambda _, name=name: act(name))
            self.buttons[name] = button
        return [self.buttons[name] for name, _, _ in specs]

    def show_class(self, code: int) -> None:
        """Mark the class that is painted now (0: the eraser)."""
        for number, chip in enumerate(self.chips):
            colour = self.palette[number - 1] if number else np.array([90, 98, 112])
            chosen = number == code
            style = CHIP.format(
                back=css(colour),
                text=ink(colour),
                edge="#ffffff" if chosen else css(colour),
                weight="bold" if chosen else "normal",
            )
            chip.native.setStyleSheet(style)

    def show_tuning(self, busy: bool) -> None:
        """Offer Tune or Cancel, whichever makes sense now."""
        self.buttons["tune"].enabled, self.buttons["cancel"].enabled = not busy, busy

    def show_live(self, live: bool) -> None:
        """Say on the button what a press does now."""
        self.buttons["toggle_live"].text = "Stop live  (L)" if live else LIVE

    def show_progress(self, step: int, total: int, loss: float) -> None:
        """Move the bar."""
        self.progress.max, self.progress.value = total, step
        self.step.value = status.progress_text(step, total, loss)

    def say(self, line: str) -> None:
        """Show one line to the user; an empty one clears it."""
        self.message.value = line
        self.message.visible = bool(line)

    def show_saved(self, saved: bool, folder: object) -> None:
        """Set the mark that tells whether everything is on disk."""
        self.saved.value = status.saved_text(saved, folder)
        self.saved.native.setStyleSheet(SAVED.format("#3ecf9a" if saved else "#e69f00"))

    def show_comparison(self, change: Comparison | None) -> None:
        """Fill the table of what the last tune changed; None hides it."""
        for name in ("toggle_previous", "toggle_changed"):
            self.buttons[name].enabled = change is not None
        self.table.visible = change is not None
        if change is not None:
            rows = status.comparison_rows(change, self.classes)
            title = f"{100 * change.fraction:.1f} % of the pixels changed"
            self.table.value = table_html(status.comparison_head(change), rows, title)

    def show_changed(self, only_changed: bool) -> None:
        """Say on the button what a press does now."""
        self.buttons["toggle_changed"].text = "Whole result  (D)" if only_changed else CHANGED

    def show_places(self, regions: Sequence[Region], place: int) -> None:
        """List the places worth a stroke and mark the one jumped to."""
        total = sum(region.score for region in regions)
        listed = [
            (status.region_text(rank + 1, region, total), rank)
            for rank, region in enumerate(regions)
        ]
        # Filling the list selects and unselects lines, which nobody picked.
        self._listing = True
        self.places.choices = listed
        if 0 <= place < len(listed):
            self.places.value = [place]
        self._listing = False

    def _picked(self, ranks: Sequence[int]) -> None:
        if ranks and not self._listing:
            self._go(ranks[0])


def _row(*made: widgets.Widget) -> widgets.Container:
    row = widgets.Container(widgets=list(made), layout="horizontal", labels=False)
    row.margins = (0, 0, 0, 0)
    return row


def _heading(text: str) -> widgets.Label:
    label = widgets.Label(value=text.upper())
    label.native.setStyleSheet(HEADING)
    return label


def _text(style: str = "") -> widgets.Label:
    label = widgets.Label(value="")
    label.native.setWordWrap(True)
    label.native.setStyleSheet(style)
    label.min_width = WIDTH - 40
    return label
