import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from limsup_widgets import resources
from limsup_widgets.errors import LimsupError
from limsup_widgets.teach import scaffold
from limsup_widgets.teach.checks import CHECKS
from limsup_widgets.teach.exercise_checks import exercise_problems
from limsup_widgets.teach.listing import list_contents
from limsup_widgets.teach.runner import run_chapter

ROOT = resources.PACKAGE.parent
TITLE = 'Trial: "quotes" & \\alpha'
PYTEST_IN = """
import sys
from pathlib import Path
from limsup_widgets import resources
resources.PACKAGE = Path(sys.argv[1]) / "limsup_widgets"
import pytest
sys.exit(pytest.main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return scaffold.new_chapter("ws97", TITLE, folder=tmp_path_factory.mktemp("root"))


@pytest.mark.slow
def test_values_every_check_passes(made):
    notebook = nbformat.read(made.notebook, as_version=4)
    assert [line for check in CHECKS for line in check(notebook, made.notebook.name)] == []
    assert exercise_problems(made.notebook) == []
    assert made.notebook.name == "ws97-trial-quotes-alpha.ipynb"


@pytest.mark.slow
def test_values_contents(made):
    (chapter,) = list_contents(made.notebook.parents[1])
    assert [claim.words for claim in chapter.claims] == ["holds", "holds"]
    assert [claim.kind for claim in chapter.claims] == ["deterministic", "interval"]
    assert chapter.claims[1].low > 0.05
    assert (chapter.title, chapter.exercises) == (TITLE, ("ws97.1",))
    assert chapter.widgets == (("each", "noise"),)


@pytest.mark.slow
def test_values_its_tests_pass(made):
    root = made.notebook.parents[2]
    config = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-p", "no:pytest-qt")
    done = subprocess.run(
        [sys.executable, "-c", PYTEST_IN, str(root), *config, str(made.tests)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "11 passed" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=lambda c: c[0])
def test_values_its_tests_have_our_style(made, command):
    done = subprocess.run(
        ["ruff", *command, "--stdin-filename", "tests/chapters/test_ws97.py", "-"],
        cwd=ROOT,
        input=made.tests.read_text("utf-8"),
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_roundtrip_of_the_script(made, tmp_path):
    source = tmp_path / "ws97.py"
    source.write_text(scaffold.script("ws97", made.notebook.parents[2]), encoding="utf-8")
    assert "minutes" not in source.read_text("utf-8")
    stored = made.notebook.read_bytes()
    run_chapter(made.notebook, source=source)
    assert made.notebook.read_bytes() == stored


@pytest.mark.slow
def test_errors_nothing_is_overwritten(made):
    root, stored = made.notebook.parents[2], made.notebook.read_bytes()
    with pytest.raises(LimsupError, match=r"ws97-trial\S*\.ipynb, which is there already"):
        scaffold.new_chapter("ws97", "Other title", folder=root)
    assert made.notebook.read_bytes() == stored
    tests = root / "tests" / "chapters" / "test_ls98.py"
    tests.write_text("mine")
    with pytest.raises(LimsupError, match=r"test_ls98\.py, which is there already"):
        scaffold.new_chapter("ls98", "Title", folder=root)
    assert tests.read_text() == "mine"


@pytest.mark.parametrize(
    ("id", "options", "found"),
    [
        ("WS10", {}, "expected letters and two digits"),
        ("ws1", {}, "expected letters and two digits"),
        ("zz10", {}, "part 'zz' of chapter 'zz10': expected start, ls, ws"),
        ("ws97", {"part": "w"}, "part 'w' of chapter 'ws97'"),
        ("ws97", {"title": "?!"}, "--title: got '\\?!'"),
    ],
)
def test_errors(tmp_path, id, options, found):
    with pytest.raises(LimsupError, match=found):
        scaffold.new_chapter(id, **({"title": "Title", "folder": tmp_path} | options))
    assert not list(tmp_path.iterdir())


def test_errors_outside_a_checkout(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "limsup_widgets"
    (package / "_notebooks").mkdir(parents=True)
    monkeypatch.setattr(resources, "PACKAGE", package)
    with pytest.raises(LimsupError, match="without its repository, expected a checkout"):
        scaffold.new_chapter("ws97", "Title")


def test_values_of_the_slug():
    assert scaffold.slug("Étude 3: à la CAM!") == "etude-3-a-la-cam"
    assert scaffold.slug("word " * 30) == "-".join(["word"] * 8)
    assert len(scaffold.slug("x" * 90)) == 40
    assert scaffold.part_of("ws03") == "ws"
    assert scaffold.part_of("ws03", "ls") == "ls"
