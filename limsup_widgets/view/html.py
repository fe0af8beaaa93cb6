"""Pictures and small tables as HTML with text for those who cannot see them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limsup_widgets.view.palette import css


def png(rgb: NDArray[np.uint8], colours: int | None = None) -> bytes:
    """PNG file of an RGB picture (H, W, 3), with at most so many `colours` (2…256) if given."""
    from PIL import Image

    stream = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(rgb))
    if colours is None:
        picture.save(stream, "PNG", compress_level=4)
    else:
        # Without k-means the cut loses rare colours, such as that of one class's strokes.
        reduced = picture.quantize(colours, kmeans=2)
        reduced.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def data_uri(rgb: NDArray[np.uint8], colours: int | None = None) -> str:
    """The picture (H, W, 3) as an address that holds its own bytes; `colours` as for `png`."""
    return "data:image/png;base64," + base64.b64encode(png(rgb, colours)).decode()


def thumbnail(rgb: NDArray[np.uint8], longest: int = 900) -> NDArray[np.uint8]:
    """Thin a picture (H, W, 3) to at most `longest` pixels a side by leaving out rows and columns.

    Cheap, and true to label colours: no colour appears that was not there.
    """
    step = max(1, -(-max(rgb.shape[:2]) // longest))
    return rgb[::step, ::step]


def picture_html(
    rgb: NDArray[np.uint8],
    alt: str,
    caption: str = "",
    width: str = "100%",
    colours: int | None = None,
) -> str:
    """A figure with its text alternative.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3).
    alt
        What a reader who does not see the picture must know.
    caption
        Line below the picture.
    width
        CSS width of the picture.
    colours
        Fewer colours make a file that is stored, as a notebook is, less than half as large.
    """
    style = f"width:{width};image-rendering:auto;border-radius:4px;display:block"
    below = (
        f'<figcaption style="font-size:12px;opacity:.8">{escape(caption)}</figcaption>'
        if caption
        else ""
    )
    source = data_uri(thumbnail(rgb), colours)
    image = f'<img alt="{escape(alt, quote=True)}" src="{source}" style="{style}">'
    return f'<figure style="margin:0">{image}{below}</figure>'


def legend_html(classes: Sequence[str], palette: ArrayLike) -> str:
    """Class names with their colours, numbered from 1."""
    chips = (
        f'<span style="white-space:nowrap;margin-right:12px">'
        f'<span style="display:inline-block;width:11px;height:11px;border:1px solid #777;'
        f'background:{css(colour)}"></span> {number} {escape(name)}</span>'
        for number, (name, colour) in enumerate(
            zip(classes, np.asarray(palette), strict=True), start=1
        )
    )
    return "<div>" + "".join(chips) + "</div>"


def table_html(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """A small table; the first column is text, the others are numbers set to the right."""
    cell = "padding:1px 8px;text-align:{}"
    titles = "".join(
        f'<th style="{cell.format("left" if i == 0 else "right")}">{escape(title)}</th>'
        for i, title in enumerate(head)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="{cell.format("left" if i == 0 else "right")}">{escape(str(value))}</td>'
            for i, value in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    above = f'<caption style="text-align:left">{escape(caption)}</caption>' if caption else ""
    return f"<table>{above}<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
