import importlib
import io

import pytest
from PIL import Image

from limsup_widgets.errors import LimsupError
from limsup_widgets.resources import PACKAGE
from limsup_widgets.teach.contents import (
    END,
    START,
    chapter_table,
    gallery,
    replace_table,
    table_of_contents,
    thumbnail,
)
from limsup_widgets.teach.frontmatter import Chapter, list_chapters

ROOT = PACKAGE.parent


def _chapter(tmp_path, part="ls", id="ls01"):
    return Chapter(
        id=id,
        part=part,
        title="A cohort",
        source="a talk",
        needs=("CPU",),
        data="synthetic",
        licence="CC0",
        scarce="dense masks",
        keywords=("k",),
        minutes=0.5,
        memory_mb=300,
        path=tmp_path / "notebooks" / part / f"{id}-title.ipynb",
        reading_minutes=15,
    )


def test_values_table(tmp_path):
    table = chapter_table([_chapter(tmp_path)], beside=tmp_path / "book")
    assert table.splitlines()[-1] == (
        "| [ls01 A cohort](../notebooks/ls/ls01-title.ipynb) | dense masks | synthetic "
        "| 15 min | 30 s |"
    )


def test_values_table_of_contents(tmp_path):
    chapters = [
        _chapter(tmp_path, "start", "00"),
        _chapter(tmp_path),
        _chapter(tmp_path, id="ls02"),
    ]
    assert table_of_contents(chapters, "book/index", tmp_path).splitlines() == [
        "format: jb-book",
        "root: book/index",
        "parts:",
        '  - caption: "Start here"',
        "    chapters:",
        "      - file: notebooks/start/00-title",
        '  - caption: "Learning from few scribbles"',
        "    chapters:",
        "      - file: notebooks/ls/ls01-title",
        "      - file: notebooks/ls/ls02-title",
    ]


def test_roundtrip_markers():
    text = f"before\n{START}\nold\n{END}\nafter\n"
    made = replace_table(text, "new")
    assert made == f"before\n{START}\nnew\n{END}\nafter\n"
    assert replace_table(made, "new") == made


@pytest.mark.parametrize("text", ["", START, f"{END}{START}", f"{START}{END}{START}{END}"])
def test_errors(text):
    with pytest.raises(LimsupError, match="markers"):
        replace_table(text, "table")


@pytest.mark.skipif(not (ROOT / "book").is_dir(), reason="needs the checkout")
def test_equivalence_readme_table_is_what_the_chapters_say(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "book"))
    generate = importlib.import_module("generate")
    assert generate.README.read_text("utf-8") == generate.renewed_readme(), (
        "the chapter table is stale: python book/generate.py --readme"
    )


def test_shapes_of_the_real_chapters(tmp_path):
    chapters = list_chapters()
    if not chapters:
        pytest.skip("no chapter yet")
    assert gallery(chapters, ROOT / "book").count("grid-item-card") == len(chapters)
    for chapter in chapters:
        assert Image.open(io.BytesIO(thumbnail(chapter))).size == (320, 200)
