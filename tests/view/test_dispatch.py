"""`session.show()` where there is no display, in a plain process and in a kernel, and twice."""

from __future__ import annotations

import os
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from limsup_widgets.errors import LimsupError
from limsup_widgets.view.dispatch import show

SESSION = """
import numpy as np
from limsup_widgets import Session, TuneSettings
image = np.random.default_rng(0).integers(0, 255, (64, 80, 3), dtype=np.uint8)
settings = TuneSettings(steps=3, crop=32)
session = Session(image, ("a", "b"), settings=settings, name="case")
session.paint(np.arange(40), 1)
session.paint(np.arange(3000, 3040), 2)
"""
DEAD = {"no display": {}, "dead display": {"DISPLAY": ":7731"}}


def without_display(**extra: str) -> dict[str, str]:
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    return {k: v for k, v in os.environ.items() if k not in hidden} | extra


def run_cells(cells: list[str], tmp_path, environment: dict[str, str]) -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    resources = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources)
    return client.execute(env=environment)


def printed(cell: nbformat.NotebookNode) -> str:
    return "".join(out.text for out in cell.outputs if out.output_type == "stream")


@pytest.mark.slow
@pytest.mark.parametrize("extra", DEAD.values(), ids=DEAD.keys())
def test_plain_process_says_so_in_one_line(extra) -> None:
    code = SESSION + "\nassert session.show() is None\nprint('alive')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=without_display(**extra), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("No window: ")
    assert second == "alive"


@pytest.mark.slow
@pytest.mark.parametrize("extra", DEAD.values(), ids=DEAD.keys())
def test_kernel_gets_the_panel(extra, tmp_path) -> None:
    done = run_cells(
        [SESSION + "\nsession.show()", "print(6 * 7)"], tmp_path, without_display(**extra)
    )
    shown, after = done.cells
    assert printed(shown).startswith("No window: ")
    assert len(printed(shown).splitlines()) == 1
    (result,) = (out for out in shown.outputs if out.output_type == "execute_result")
    assert "application/vnd.jupyter.widget-view+json" in result.data
    assert "<img alt=" in result.data["text/html"]
    assert printed(after) == "42\n"


@pytest.mark.slow
@pytest.mark.display
def test_kernel_with_a_window(tmp_path) -> None:
    """Cells that wait with `await` and without, a tune between cells, the same cell run twice."""
    cells = [
        SESSION + "\nview = session.show()",
        "import asyncio\nawait asyncio.sleep(0.3)\nprint(view.is_open, session.start_tune())",
        "print(session.wait(), view.dock.progress.value)",
        "import napari\nprint(session.show() is view)",
        "session.show().close()\nprint(view.is_open)\nsession.show()\nprint(view.is_open)",
        "view.close()\nsession.close()",
    ]
    environment = {**os.environ, "NAPARI_CONFIG": str(tmp_path / "napari.yaml")}
    done = run_cells(cells, tmp_path, environment)
    assert [printed(cell) for cell in done.cells[1:5]] == [
        "True True\n",
        "True 3\n",
        "True\n",
        "False\nTrue\n",
    ]


SCRIPT = """
import napari
session.events.tuning.connect(lambda what: what != "started" and napari.current_viewer().close())
session.start_tune()
view = session.show()
print(session.tuning, view.is_open, session.has_previous)
"""


@pytest.mark.slow
@pytest.mark.display
def test_plain_script_waits_until_the_window_is_closed(tmp_path) -> None:
    """The tune ends while only Qt's own loop runs, and its listener closes the window."""
    done = subprocess.run(
        [sys.executable, "-c", SESSION + SCRIPT],
        env={**os.environ, "NAPARI_CONFIG": str(tmp_path / "napari.yaml")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "False False True\n"


def open_windows() -> list:
    from qtpy.QtWidgets import QApplication, QMainWindow

    tops = QApplication.topLevelWidgets()
    return [top for top in tops if isinstance(top, QMainWindow) and top.isVisible()]


@pytest.mark.display
def test_the_same_case_gets_the_same_window(qtbot, make_session) -> None:
    session = make_session(name="case")
    view = show(session, block=False)
    try:
        viewer = view.viewer
        assert show(session, block=False) is view
        assert view.viewer is viewer
        again = make_session(name="case")
        assert show(again, block=False) is view
        assert view.session is again
        qtbot.wait(50)
        assert len(open_windows()) == 1
        again.paint(range(40), 1)
        assert view.layers.scribbles.data.any()
    finally:
        view.close()
        qtbot.wait(50)


def test_the_panel_on_request_is_reused(make_session, capsys) -> None:
    session = make_session()
    panel = show(session, view="panel")
    assert show(session, view="panel") is panel
    other = make_session()
    assert show(other, view="panel") is not panel
    assert capsys.readouterr().out == ""


def test_errors(make_session) -> None:
    with pytest.raises(LimsupError, match="'qt'"):
        show(make_session(), view="qt")  # type: ignore[arg-type]
