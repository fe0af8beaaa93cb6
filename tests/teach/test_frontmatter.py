import nbformat
import pytest

from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.frontmatter import list_chapters, read_chapter, read_front_matter

FRONT = {
    "id": "ls03",
    "part": "ls",
    "title": "Where is it unsure?",
    "source": "a talk",
    "needs": ["CPU"],
    "data": "synthetic",
    "licence": "CC BY 4.0",
    "scarce": "attention",
    "keywords": ["dropout"],
}


def _notebook(**changes):
    notebook = nbformat.v4.new_notebook(metadata={"limsup": FRONT | changes})
    notebook.cells = [nbformat.v4.new_markdown_cell("word " * 1500)]
    return notebook


def _store(folder, part, id):
    path = folder / part / f"{id}-title.ipynb"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(_notebook(part=part, id=id), path)
    return path


def test_roundtrip():
    front = read_front_matter(_notebook(minutes=0.3, memory_mb=850))
    assert front.model_dump(mode="json", exclude_defaults=True) == FRONT | {
        "minutes": 0.3,
        "memory_mb": 850,
    }
    assert "Runs in 18 s on one CPU thread with 850 MB" in front.cost


def test_values_order_of_chapters(tmp_path):
    for part, id in [("zz", "zz01"), ("ls", "ls02"), ("start", "01"), ("ls", "ls01")]:
        _store(tmp_path, part, id)
    assert [c.id for c in list_chapters(tmp_path)] == ["01", "ls01", "ls02", "zz01"]


def test_values_reading_time(tmp_path):
    assert read_chapter(_store(tmp_path, "ls", "ls01")).reading_minutes == 10


@pytest.mark.parametrize(
    "changes",
    [{"id": "LS-03"}, {"needs": []}, {"minutes": -1}, {"scarce": "x" * 61}, {"unknown": 1}],
)
def test_errors(changes):
    with pytest.raises(LimsupError, match=f"front matter {next(iter(changes))!r}"):
        read_front_matter(_notebook(**changes))


def test_errors_no_front_matter():
    with pytest.raises(LimsupError, match=r"a\.ipynb: got no front matter"):
        read_front_matter(nbformat.v4.new_notebook(), "a.ipynb")
