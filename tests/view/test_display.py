"""The probe is asked in fresh processes, because what it guards against kills the process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from limsup_widgets.view.display import display_available

CODE = "from limsup_widgets.view.display import display_available as d; print(*d())"


def ask(*prefix: str, **environment: str) -> str:
    kept = {
        k: v
        for k, v in os.environ.items()
        if k not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    }
    done = subprocess.run(
        [*prefix, sys.executable, "-c", CODE],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="X11 only")


@linux
def test_no_display_is_named() -> None:
    assert ask() == "False no display is set (DISPLAY is empty)"


@linux
def test_dead_display_is_named() -> None:
    assert ask(DISPLAY=":7731") == "False the display :7731 does not answer"


@linux
def test_offscreen_platform_is_refused() -> None:
    assert ask(DISPLAY=":0", QT_QPA_PLATFORM="offscreen").startswith("False QT_QPA_PLATFORM")


@linux
def test_missing_wayland_socket_is_named(tmp_path) -> None:
    answer = ask(WAYLAND_DISPLAY="wayland-9", XDG_RUNTIME_DIR=str(tmp_path))
    assert answer.startswith("False the Wayland socket")


@linux
@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="no virtual display installed")
@pytest.mark.parametrize(("option", "answer"), [("+extension", "True"), ("-extension", "False")])
def test_virtual_display_needs_opengl(option: str, answer: str) -> None:
    screen = f"-screen 0 640x480x24 {option} GLX"
    assert ask("xvfb-run", "-a", "-s", screen).split()[0] == answer


def test_other_desktops_are_trusted(monkeypatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    assert display_available()[0]
