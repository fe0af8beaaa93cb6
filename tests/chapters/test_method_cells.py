"""The method of a chapter runs alone: a fresh process, another folder, no display, no output."""

import ast
import os
import subprocess
import sys

import pytest

from limsup_widgets.resources import resource
from limsup_widgets.teach.chapters import SHARED_TAGS, cell_source

IDS = {
    path.stem.split("-")[0]: path
    for path in sorted(resource("notebooks").glob("*/*-*.ipynb"))
    if cell_source(path).strip()
}
ENVIRONMENT = {"LIMSUP_PROFILE": "quick", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
HIDDEN = ("DISPLAY", "WAYLAND_DISPLAY")
ALONE = "import importlib, sys; importlib.import_module(sys.argv[1])"


def run_alone(module, folder, **environment):
    inherited = {k: v for k, v in os.environ.items() if k not in HIDDEN}
    return subprocess.run(
        [sys.executable, "-W", "error::SyntaxWarning", "-c", ALONE, module],
        cwd=folder,
        env=inherited | ENVIRONMENT | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("id", IDS)
def test_values(id, tmp_path):
    done = run_alone(f"limsup_chapters.{id}", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("id", IDS)
def test_values_is_plain_python(id):
    assert SHARED_TAGS == ("imports", "method")
    ast.parse(cell_source(IDS[id]), str(IDS[id]))
