"""A session as a page without scripts: what a stored notebook shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from limsup_widgets.session.screen import is_large
from limsup_widgets.view import status
from limsup_widgets.view.figures import as_rgb, overlay
from limsup_widgets.view.html import legend_html, picture_html
from limsup_widgets.view.palette import class_palette
from limsup_widgets.view.pyramid import known_overview

if TYPE_CHECKING:
    from limsup_widgets.session.session import Session

FRAME = (86, 180, 233)
COLOURS = 96
"""Of a stored picture: enough for stained tissue with four classes over it."""


def static_html(session: Session) -> str:
    """Strokes and prediction of the current image side by side, with legend and Dice.

    Of a large image the part that is worked on is shown, and above it where that lies.

    Both pictures carry a text alternative; nothing is fetched from elsewhere.
    """
    index = session.current
    image, palette = session.pixels(index), class_palette(len(session.classes))
    labels, name = session.labels(index), session.images[index].name
    counts = np.bincount(labels.ravel(), minlength=len(session.classes) + 1)[1:]
    count = status.count_text(counts, session.classes)
    strokes = overlay(image, labels, palette, alpha=1.0)
    described = f"Image {name} with strokes; {count}"
    pictures = _overview(session, index)
    pictures += picture_html(strokes, described, "image and strokes", colours=COLOURS)
    if session.ready:
        prediction = overlay(image, session.codes(index), palette)
        known = session.truth(index) is not None
        dice = status.dice_text(session.dice(index), session.classes) if known else ""
        alt = f"Image {name} with the prediction; {dice or 'truth not known'}"
        pictures += picture_html(prediction, alt, f"prediction  {dice}", colours=COLOURS)
    else:
        pictures += f"<p>{status.NO_PREDICTION}</p>"
    return (
        '<div style="display:grid;grid-template-columns:1fr 1fr;gap:10px;max-width:900px">'
        f"{pictures}</div>{legend_html(session.classes, palette)}"
    )


def _overview(session: Session, index: int) -> str:
    """A large image in small with its window framed; empty for any other, or where none is read."""
    image = session.images[index]
    known = known_overview(image, longest=400) if is_large(image) else None
    if known is None:
        return ""
    rgb = as_rgb(known)
    scale = np.tile(np.divide(rgb.shape[:2], image.shape), 2)
    top, left, bottom, right = (np.array(session.window_of(index)) * scale).astype(int).tolist()
    for edge in (top, bottom):
        rgb[min(edge, len(rgb) - 1), left : right + 1] = FRAME
    for edge in (left, right):
        rgb[top : bottom + 1, min(edge, rgb.shape[1] - 1)] = FRAME
    size = f"{image.shape[0]} × {image.shape[1]} pixels"
    return picture_html(rgb, f"All of {image.name}, {size}", f"all, {size}; framed: the part shown")
