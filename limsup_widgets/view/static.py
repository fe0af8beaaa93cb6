"""A session as a page without scripts: what a stored notebook shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from limsup_widgets.view import status
from limsup_widgets.view.figures import overlay
from limsup_widgets.view.html import legend_html, picture_html
from limsup_widgets.view.palette import class_palette

if TYPE_CHECKING:
    from limsup_widgets.session.session import Session

COLOURS = 96
"""Of a stored picture: enough for stained tissue with four classes over it."""


def static_html(session: Session) -> str:
    """Strokes and prediction of the current image side by side, with legend and Dice.

    Both pictures carry a text alternative; nothing is fetched from elsewhere.
    """
    index = session.current
    image, palette = session.images[index], class_palette(len(session.classes))
    labels, name = session.labels(index), image.name
    counts = np.bincount(labels.ravel(), minlength=len(session.classes) + 1)[1:]
    count = status.count_text(counts, session.classes)
    strokes = overlay(image, labels, palette, alpha=1.0)
    described = f"Image {name} with strokes; {count}"
    pictures = picture_html(strokes, described, "image and strokes", colours=COLOURS)
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
