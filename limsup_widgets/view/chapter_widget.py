"""A chapter's widget: one pure function state → figure, seen live or as a sheet of pictures.

The sheet is what a page without a kernel shows: no script is needed there.
"""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets
from matplotlib.figure import Figure

from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.pictures import figure_png

SHEET_SIZE = range(4, 7)
DRIVE = "LIMSUP_DRIVE_WIDGETS"
LAYOUT = {"width": "460px"}
STYLE = {"description_width": "180px"}


@dataclass(frozen=True)
class Slider:
    """A number from ``low`` to ``high``; whole steps give whole numbers.

    Attributes
    ----------
    label
        What the reader sees and a screen reader says.
    """

    label: str
    low: float
    high: float
    start: float
    step: float = 1

    def make(self) -> ipywidgets.ValueWidget:
        """The ipywidgets control; it reports when the handle is released."""
        whole = all(float(v).is_integer() for v in (self.low, self.high, self.start, self.step))
        kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        cast = int if whole else float
        return kind(
            value=cast(self.start),
            min=cast(self.low),
            max=cast(self.high),
            step=cast(self.step),
            description=self.label,
            continuous_update=False,
            layout=LAYOUT,
            style=STYLE,
        )

    def other(self, value: float) -> float:
        """A value that is not ``value``."""
        return self.high if value != self.high else self.low


@dataclass(frozen=True)
class Choice:
    """One of a few options; ``start`` is the first unless named."""

    label: str
    options: Sequence[Any]
    start: Any = None

    def make(self) -> ipywidgets.ValueWidget:
        """The ipywidgets control."""
        return ipywidgets.Dropdown(
            options=list(self.options),
            value=self.options[0] if self.start is None else self.start,
            description=self.label,
            layout=LAYOUT,
            style=STYLE,
        )

    def other(self, value: Any) -> Any:
        """An option that is not ``value``."""
        return next(option for option in self.options if option != value)


class ChapterWidget:
    """Controls beside a picture, and a contact sheet of 4 to 6 states for the page.

    Parameters
    ----------
    draw
        Pure function of the state, taken as keywords, to a matplotlib ``Figure``.
    controls
        One :class:`Slider` or :class:`Choice` for each keyword of ``draw``.
    sheet
        States for the contact sheet; an entry left out is at its start.
    describe
        Pure function of the state, taken as keywords, to the alt text of its picture: what is
        seen, in one sentence.

    Raises
    ------
    LimsupError
        If the sheet has fewer than 4 or more than 6 states, or names an unknown control.

    Examples
    --------
    >>> def draw(count):
    ...     figure = Figure(figsize=(2, 1))
    ...     figure.subplots().plot(range(count))
    ...     return figure
    >>> widget = ChapterWidget(
    ...     draw,
    ...     controls={"count": Slider("Points", 2, 9, start=3)},
    ...     sheet=[{"count": n} for n in (2, 4, 6, 9)],
    ...     describe=lambda count: f"A rising line of {count} points.",
    ... )
    >>> widget.drive()
    ['count']
    """

    def __init__(
        self,
        draw: Callable[..., Figure],
        controls: Mapping[str, Slider | Choice],
        sheet: Sequence[Mapping[str, Any]],
        describe: Callable[..., str],
    ) -> None:
        _check_sheet(controls, sheet)
        self.draw, self.describe, self.specs = draw, describe, dict(controls)
        self.controls = {name: spec.make() for name, spec in controls.items()}
        start = self.state
        self.sheet = [{**start, **state} for state in sheet]
        self.picture = ipywidgets.HTML()
        for control in self.controls.values():
            control.observe(self._redraw, names="value")
        self.box = ipywidgets.VBox([*self.controls.values(), self.picture])

    @property
    def state(self) -> dict[str, Any]:
        """Present value of every control."""
        return {name: control.value for name, control in self.controls.items()}

    def image_tag(self, state: Mapping[str, Any]) -> str:
        """``<img>`` of one state with its alt text."""
        picture = base64.b64encode(figure_png(self.draw(**state), dpi=80)).decode()
        alt = html.escape(self.describe(**state), quote=True)
        return f'<img alt="{alt}" src="data:image/png;base64,{picture}" style="max-width: 100%">'

    def contact_sheet(self) -> str:
        """HTML of all states of the sheet, each under a line with what its controls say."""
        tiles = "".join(
            '<figure style="flex: 1 1 280px; max-width: 420px; margin: 0">'
            f"{self.image_tag(state)}<figcaption>{html.escape(self._caption(state))}</figcaption>"
            "</figure>"
            for state in self.sheet
        )
        return f'<div style="display: flex; flex-wrap: wrap; gap: 12px">{tiles}</div>'

    def drive(self) -> list[str]:
        """Move every control once and back.

        Returns
        -------
        list of str
            Names of the controls, all of which changed the picture.

        Raises
        ------
        LimsupError
            Naming the control that changes nothing.
        """
        for name, control in self.controls.items():
            before, value = self._redraw(), control.value
            control.value = self.specs[name].other(value)
            # The alt text may name the value, so only the pixels count.
            if _pixels(self.picture.value) == _pixels(before):
                raise LimsupError(
                    f"control {name!r}", got="the same picture", expected="a change", do="use it"
                )
            control.value = value
        return list(self.controls)

    def _redraw(self, change: object = None) -> str:
        self.picture.value = self.image_tag(self.state)
        return self.picture.value

    def _caption(self, state: Mapping[str, Any]) -> str:
        return ", ".join(f"{self.specs[name].label} = {value}" for name, value in state.items())

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        if os.environ.get(DRIVE):
            self.drive()
        self._redraw()
        bundle = dict(self.box._repr_mimebundle_(**kwargs))
        bundle["text/plain"] = f"Widget with controls {', '.join(self.controls)}"
        bundle["text/html"] = self.contact_sheet()
        return bundle


def _pixels(tag: str) -> str:
    return tag.partition(" src=")[2]


def _check_sheet(
    controls: Mapping[str, Slider | Choice], sheet: Sequence[Mapping[str, Any]]
) -> None:
    if len(sheet) not in SHEET_SIZE:
        raise LimsupError("contact sheet", got=f"{len(sheet)} states", expected="4 to 6")
    unknown = {name for state in sheet for name in state} - set(controls)
    if unknown:
        raise LimsupError("contact sheet", got=sorted(unknown), expected=sorted(controls))
