"""Write what the book and the README take from the chapters' front matter.

``python book/generate.py`` before a build; ``python book/generate.py --readme`` also renews the
chapter table of the README, which is committed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from overview import PAGE, write_overview
from speed import PAGE as SPEED
from speed import write_speed

from limsup_widgets.teach.contents import (
    chapter_table,
    gallery,
    replace_table,
    table_of_contents,
    thumbnail,
)
from limsup_widgets.teach.frontmatter import list_chapters

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
README = ROOT / "README.md"


def write_book() -> None:
    """Table of contents, gallery, chapter table and thumbnails: made, not committed."""
    chapters = list_chapters(ROOT / "notebooks")
    contents = table_of_contents(chapters, "book/index", ROOT, {"ws": f"book/{PAGE}"})
    contents += f"  - caption: Speed\n    chapters:\n      - file: book/{SPEED}\n"
    write_overview(BOOK)
    write_speed(BOOK)
    (BOOK / "_toc.yml").write_text(contents, "utf-8")
    generated, thumbs = BOOK / "_generated", BOOK / "_static" / "thumbs"
    generated.mkdir(exist_ok=True)
    thumbs.mkdir(exist_ok=True)
    (generated / "gallery.md").write_text(gallery(chapters, BOOK), "utf-8")
    (generated / "table.md").write_text(chapter_table(chapters, BOOK) + "\n", "utf-8")
    for chapter in chapters:
        (thumbs / f"{chapter.id}.png").write_bytes(thumbnail(chapter))


def renewed_readme() -> str:
    """The README as it should be: its chapter table made again."""
    table = chapter_table(list_chapters(ROOT / "notebooks"), ROOT)
    return replace_table(README.read_text("utf-8"), table)


if __name__ == "__main__":
    write_book()
    if "--readme" in sys.argv[1:]:
        README.write_text(renewed_readme(), "utf-8")
