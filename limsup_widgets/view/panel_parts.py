"""The controls of the notebook panel, before anything is connected to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

from limsup_widgets.view import status
from limsup_widgets.view.html import table_html
from limsup_widgets.view.palette import css, ink
from limsup_widgets.view.shortcuts import help_rows

BUTTONS = (
    ("tune", "Tune", "learn from the strokes (key T)"),
    ("cancel", "Cancel", "stop tuning and keep the model (key Esc)"),
    ("toggle_live", "Live", "answer each stroke at once and tune behind it (key L)"),
    ("toggle_previous", "Before / after", "the previous model, and back (key B)"),
    ("next_region", "Where next", "the next place worth a stroke (key N)"),
    ("undo", "Undo", "take the last stroke back (Ctrl+Z)"),
    ("redo", "Redo", "draw it again (Ctrl+Shift+Z)"),
    ("accept", "Accept", "write labels and uncertainty to the session's folder (key A)"),
    ("reset", "Start over", "drop strokes and tuning; press twice to confirm (key R)"),
)
WRAP = {"flex_flow": "row wrap", "align_items": "center"}
CHOSEN, NOT_CHOSEN = "3px solid #1a1a1a", "3px solid #0000"


class PanelParts:
    """Every control and text of the panel, and how they are laid out.

    Parameters
    ----------
    classes
        Names of the classes 1…K.
    palette
        (K, 3) colours.
    images
        Names of the images; the list is hidden if there is only one.
    act, choose
        Called with the name of an action, and with a code, when a button is pressed.
    """

    def __init__(
        self,
        classes: Sequence[str],
        palette: NDArray[np.uint8],
        images: Sequence[str],
        act: Callable[[str], object],
        choose: Callable[[int], object],
    ) -> None:
        self.classes = classes
        self.chips = [_button("eraser", "erase strokes (key E)", partial(choose, 0))]
        for code, (name, colour) in enumerate(zip(classes, palette, strict=True), start=1):
            chip = _button(f"{code} {name}", f"paint {name} (key {code})", partial(choose, code))
            chip.style.button_color, chip.style.text_color = css(colour), ink(colour)
            self.chips.append(chip)
        self.buttons = {name: _button(text, tip, partial(act, name)) for name, text, tip in BUTTONS}
        self.buttons["tune"].button_style = "success"
        self._make_choices(images)
        self.progress = widgets.IntProgress(layout={"width": "160px", "height": "20px"})
        self.overview: widgets.Widget = widgets.HTML()
        self.overview_box = widgets.VBox(layout={"width": "220px", "display": "none"})
        self.picture, self.message, self.saved, self.step = (widgets.HTML() for _ in range(4))
        self.scores, self.count, self.table, self.answer = (widgets.HTML() for _ in range(4))

    def _make_choices(self, images: Sequence[str]) -> None:
        self.brush = widgets.IntSlider(3, 1, 30, description="brush", **_compact("220px"))
        self.tint = widgets.FloatSlider(
            0.35, min=0, max=1, step=0.05, description="tint", readout=False, **_compact("200px")
        )
        self.shown = widgets.Dropdown(description="show", **_compact("190px"))
        kinds = [(text, letter) for letter, text in status.KINDS.items()]
        self.kind = widgets.Dropdown(
            options=kinds, value="V", description="kind", **_compact("240px")
        )
        listed = [(f"{i + 1}  {name}", i) for i, name in enumerate(images)]
        self.image = widgets.Dropdown(
            options=listed, value=0, description="image", **_compact("240px")
        )
        self.image.layout.display = "" if len(images) > 1 else "none"
        self.places = widgets.Select(options=[], rows=5, description="places", **_compact("320px"))

    def arrange(self, canvas: widgets.Widget) -> list[widgets.Widget]:
        """Rows of the panel, with `canvas` beside the picture."""
        use = self.buttons
        keys = widgets.HTML(table_html(["key", "on the image"], help_rows(len(self.classes))))
        hint = widgets.HTML("all of the image: click where to work")
        self._with_overview = [self.overview, hint]
        left = widgets.VBox([canvas, _row(self.tint, self.image), self.overview_box])
        right = widgets.VBox([self.picture, _row(self.shown, self.kind)])
        for half in (left, right):
            half.layout = widgets.Layout(width="50%", padding="0 6px 0 0")
        return [
            _row(*self.chips[1:], self.chips[0], self.brush, use["undo"], use["redo"]),
            widgets.HBox([left, right]),
            _row(
                *(use["tune"], use["cancel"], use["toggle_live"], self.progress, self.step),
                *(use["toggle_previous"], use["next_region"], use["accept"], use["reset"]),
                self.saved,
            ),
            self.message,
            self.answer,
            self.scores,
            self.count,
            _row(self.table, self.places),
            widgets.Accordion([keys], titles=["keys"], selected_index=None),
        ]

    def show_overview(self, shown: bool) -> None:
        """Offer all of a large image in small, to choose from."""
        self.overview_box.layout.display = "" if shown else "none"
        # A canvas that cannot be seen would still be read out to those who listen to the page.
        self.overview_box.children = self._with_overview if shown else []

    def show_live(self, live: bool) -> None:
        """Mark the button while each stroke is answered at once."""
        self.buttons["toggle_live"].button_style = "info" if live else ""

    def show_class(self, code: int) -> None:
        """Mark the class that is painted now (0: the eraser)."""
        for number, chip in enumerate(self.chips):
            chip.layout.border = CHOSEN if number == code else NOT_CHOSEN


def _button(text: str, tooltip: str, press: Callable[[], object]) -> widgets.Button:
    layout = widgets.Layout(width="auto", min_width="72px", height="34px")
    made = widgets.Button(description=text, tooltip=tooltip, layout=layout)
    made.on_click(lambda _: press())
    return made


def _compact(width: str) -> dict[str, object]:
    """Options of a control whose label takes no more room than it needs."""
    return {"layout": widgets.Layout(width=width), "style": {"description_width": "initial"}}


def _row(*parts: widgets.Widget) -> widgets.HBox:
    return widgets.HBox(parts, layout=widgets.Layout(**WRAP))
