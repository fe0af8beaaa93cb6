"""Each benchmark runs from end to end with tiny sizes, and stores nothing."""

import importlib
import os
import subprocess
import sys

import pytest

from limsup_widgets.resources import PACKAGE

FOLDER = PACKAGE.parent / "benchmarks"
QUICK = ("--quick", "--threads", "1")


def stored():
    return {path: path.stat().st_mtime_ns for path in (FOLDER / "results").glob("*")}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mc_dropout", "scaling"])
def test_values(name, monkeypatch, capsys):
    before = stored()
    monkeypatch.setattr(sys, "argv", [str(FOLDER / f"{name}.py"), *QUICK])
    importlib.import_module(name).main()
    told = capsys.readouterr().out
    assert "naive loop" in told and "× ours" in told and "largest difference" in told
    assert stored() == before


@pytest.mark.slow
@pytest.mark.display
def test_values_viewer():
    before = stored()
    command = [sys.executable, str(FOLDER / "viewer.py"), *QUICK]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "tune in the window's thread" in done.stdout
    assert stored() == before
