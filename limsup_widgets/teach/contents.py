"""Contents made from front matter: the chapter table, the gallery, the book's table of contents."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

import nbformat
from PIL import Image

from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.checks import thumbnails
from limsup_widgets.teach.frontmatter import PARTS, Chapter
from limsup_widgets.teach.pictures import small_png

START, END = "<!-- chapters:start -->", "<!-- chapters:end -->"
THUMBNAIL_SIZE = (320, 200)


def chapter_table(chapters: Sequence[Chapter], beside: Path) -> str:
    """Markdown table of the chapters, with links relative to the folder ``beside``."""
    head = "| chapter | what is scarce | data | to read | to run |\n|---|---|---|---|---|"
    rows = [
        f"| [{c.id} {c.title}]({_link(c, beside)}) | {c.scarce} | {c.data} "
        f"| {c.reading_minutes} min | {c.run_time} |"
        for c in chapters
    ]
    return "\n".join([head, *rows])


def replace_table(text: str, table: str) -> str:
    """Text with ``table`` between the two markers of the chapter table.

    Raises
    ------
    LimsupError
        If the markers are not there once each, in order.
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end) or START in after or END in after:
        raise LimsupError("README", got="no chapter markers", expected=f"{START} and {END}, once")
    return f"{before}{START}\n{table}\n{END}{after}"


def gallery(chapters: Sequence[Chapter], beside: Path) -> str:
    """Cards of all chapters for the landing page; thumbnails are expected in ``_static/thumbs``."""
    cards = [
        f"::::{{grid-item-card}} {c.title}\n"
        f":img-top: _static/thumbs/{c.id}.png\n"
        f":img-alt: {_thumbnail_alt(c)}\n"
        f":link: {_link(c, beside).removesuffix('.ipynb')}\n"
        ":link-type: doc\n\n"
        f"{c.scarce}\n\n:::{{card-footer}}\n"
        f"{c.id} · {c.reading_minutes} min to read · {c.run_time} to run\n:::\n::::"
        for c in chapters
    ]
    return ":::::{grid} 1 2 2 3\n:gutter: 3\n\n" + "\n\n".join(cards) + "\n:::::\n"


def table_of_contents(
    chapters: Sequence[Chapter],
    root: str,
    beside: Path,
    overviews: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The book's ``_toc.yml``, one caption a part; paths are relative to ``beside``.

    ``overviews`` names a page that opens a part.
    """
    lines = ["format: jb-book", f"root: {root}", "parts:"]
    for part, members in groupby(chapters, key=lambda c: c.part):
        # A JSON string is one in YAML, too: captions have colons.
        lines += [f"  - caption: {_quoted(PARTS.get(part, part))}", "    chapters:"]
        lines += [f"      - file: {overviews[part]}"] if part in overviews else []
        lines += [f"      - file: {_link(c, beside).removesuffix('.ipynb')}" for c in members]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def thumbnail(chapter: Chapter) -> bytes:
    """PNG of the chapter's tagged picture on a white card of one size.

    Raises
    ------
    LimsupError
        If no cell tagged ``thumbnail`` has a picture.
    """
    pictures = thumbnails(nbformat.read(chapter.path, as_version=4))
    if not pictures:
        raise LimsupError(chapter.path.name, got="no picture in a cell tagged 'thumbnail'")
    with Image.open(io.BytesIO(pictures[0])) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail(THUMBNAIL_SIZE, Image.Resampling.LANCZOS)
    card = Image.new("RGB", THUMBNAIL_SIZE, "white")
    left, top = ((a - b) // 2 for a, b in zip(card.size, picture.size, strict=True))
    card.paste(picture, (left, top))
    buffer = io.BytesIO()
    card.save(buffer, format="png")
    return small_png(buffer.getvalue())


def _thumbnail_alt(chapter: Chapter) -> str:
    notebook = nbformat.read(chapter.path, as_version=4)
    for cell in notebook.cells:
        if "thumbnail" in cell.metadata.get("tags", ()):
            return str(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", ""))
    return ""


def _link(chapter: Chapter, beside: Path) -> str:
    return Path(os.path.relpath(chapter.path, beside)).as_posix()
