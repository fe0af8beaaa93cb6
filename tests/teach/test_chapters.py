import inspect
import os
import pickle
import subprocess
import sys
import traceback

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import limsup_chapters
from limsup_widgets import resources
from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.chapters import cell_source, chapter_path, load_cells

CELLS = [
    new_markdown_cell("# Title"),
    new_code_cell("import math", metadata={"tags": ["imports"]}),
    new_code_cell('raise SystemError("an untagged cell ran")'),
    new_code_cell(
        'def root(x):\n    """Square root."""\n    return math.sqrt(x)',
        metadata={"tags": ["method"]},
    ),
    new_code_cell("answer = root(4)", metadata={"tags": ["exercise"]}),
]
USE = """
import pickle, sys, traceback
from limsup_widgets import resources
from pathlib import Path
resources.PACKAGE = Path(sys.argv[1])
if sys.argv[2] == "dump":
    from limsup_chapters import xx01
    sys.stdout.buffer.write(pickle.dumps(xx01.root))
else:
    print(pickle.loads(sys.stdin.buffer.read())(9))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A stand-in for the folder of notebooks, with one chapter."""
    path = tmp_path / "_notebooks" / "xx" / "xx01-roots.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(new_notebook(cells=CELLS), path)
    monkeypatch.setattr(resources, "PACKAGE", tmp_path)
    yield tmp_path
    sys.modules.pop("limsup_chapters.xx01", None)
    vars(limsup_chapters).pop("xx01", None)


def test_values_import(folder):
    from limsup_chapters import xx01

    assert xx01.root(16) == 4
    assert xx01.__spec__.origin.endswith("xx01-roots.ipynb")
    assert not hasattr(xx01, "answer")


def test_values_traceback_shows_the_chapters_line(folder):
    from limsup_chapters import xx01

    with pytest.raises(ValueError, match=r"math domain|nonnegative") as caught:
        xx01.root(-1)
    shown = "".join(traceback.format_exception(caught.value))
    assert "xx01-roots.ipynb:cells" in shown
    assert "return math.sqrt(x)" in shown


def test_values_inspect_finds_the_source(folder):
    from limsup_chapters import xx01

    assert inspect.getsource(xx01.root) == CELLS[3].source + "\n"


def test_roundtrip_pickle(folder):
    from limsup_chapters import xx01

    assert pickle.loads(pickle.dumps(xx01.root)) is xx01.root


@pytest.mark.slow
def test_roundtrip_pickle_into_a_process_that_imported_nothing(folder):
    def run(what, given=b""):
        command = [sys.executable, "-c", USE, str(folder), what]
        environment = {k: v for k, v in os.environ.items() if k != "DISPLAY"}
        done = subprocess.run(
            command, input=given, capture_output=True, check=True, cwd=folder, env=environment
        )
        return done.stdout

    assert run("load", run("dump")).strip() == b"3.0"


def test_values_other_tags(folder):
    path = chapter_path("xx01")
    assert load_cells(path, ("imports", "method", "exercise")).answer == 2
    assert "SystemError" not in cell_source(path)
    assert "# xx01-roots.ipynb, cell 4" in cell_source(path)


def test_errors(folder):
    with pytest.raises(ImportError, match="xx99"):
        from limsup_chapters import xx99  # noqa: F401
    with pytest.raises(LimsupError, match="expected \\['xx01'\\]"):
        chapter_path("xx99")
