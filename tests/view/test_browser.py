"""The panel as a student meets it: JupyterLab in Chromium, no display for napari."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TOKEN = "panel"
LONG = 240_000
"""Milliseconds until a condition counts as never met; nothing is measured by it."""
SOURCE = """
from limsup_widgets import Session, TuneSettings, kidney_cohort
patient = kidney_cohort().patients[0]
classes = ("interstitium", "tubules", "glomeruli", "other")
settings = TuneSettings(steps=6, crop=64)
session = Session(patient.image(0), classes, truths=[patient.truth(0)], settings=settings)
session.show()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@pytest.fixture
def lab(tmp_path: Path):
    """A JupyterLab with one notebook, without a display; yields the notebook's address."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(SOURCE.strip())], metadata={"kernelspec": kernel}
    )
    nbformat.write(notebook, tmp_path / "panel.ipynb")
    port = free_port()
    settings = {name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-m", "jupyter", "lab", "--allow-root", "--no-browser"]
    command += [f"--port={port}", f"--IdentityProvider.token={TOKEN}", "--ip=127.0.0.1"]
    page_config = tmp_path / "JUPYTER_CONFIG_DIR" / "labconfig" / "page_config.json"
    page_config.parent.mkdir(parents=True)
    news = "@jupyterlab/apputils-extension:announcements"
    page_config.write_text(json.dumps({"disabledExtensions": {news: True}}))
    server = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment | settings | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not answers(f"http://127.0.0.1:{port}/api?token={TOKEN}"):
            assert server.poll() is None, "JupyterLab ended"
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}/lab/tree/panel.ipynb?token={TOKEN}&reset"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def page(tmp_path: Path):
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as browser:
        context = browser.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=CHROMIUM,
            headless=True,
            args=FLAGS,
            viewport={"width": 1400, "height": 1300},
        )
        context.set_default_timeout(LONG)
        try:
            yield context.pages[0]
        finally:
            keep_picture(context.pages[0], "panel_end")
            context.close()


def keep_picture(page, name: str) -> None:
    """Store what the page looks like, where somebody asked for it."""
    folder = os.environ.get("LIMSUP_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_run_tune_and_draw(lab: str, page) -> None:
    page.goto(lab)
    # Asked to run before its kernel is there, JupyterLab opens a dialog about kernels instead.
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    canvas = page.locator(".limsup-canvas")
    canvas.wait_for()
    assert "No window: no display is set" in page.locator(".jp-OutputArea").first.inner_text()
    picture = page.locator("figure img")
    assert picture.get_attribute("alt").startswith("prediction")
    keep_picture(page, "panel_start")

    draw(page, canvas, 0.3, 0.5)
    count = page.get_by_text(re.compile(r"scribbled: interstitium [1-9]\d* · tubules 0"))
    count.wait_for()
    canvas.press("2")
    draw(page, canvas, 0.4, 0.7)
    page.get_by_text(re.compile(r"interstitium [1-9]\d* · tubules [1-9]\d*")).wait_for()
    canvas.press("Control+z")
    page.get_by_text(re.compile(r"interstitium [1-9]\d* · tubules 0")).wait_for()
    canvas.press("Control+Shift+z")
    page.get_by_text(re.compile(r"interstitium [1-9]\d* · tubules [1-9]\d*")).wait_for()

    before = picture.get_attribute("src")
    page.get_by_role("button", name="Tune").click()
    page.wait_for_function("old => document.querySelector('figure img').src !== old", arg=before)
    page.get_by_text("step 6 of 6").wait_for()
    page.get_by_text("against the previous model").wait_for()
    page.get_by_role("button", name="Where next").click()
    page.locator("option").filter(has_text="row").first.wait_for(state="attached")
    keep_picture(page, "panel_tuned")


def draw(page, canvas, row: float, length: float) -> None:
    """Drag the mouse along a row of the canvas; both numbers are shares of its sides."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    y = box["y"] + row * box["height"]
    page.mouse.move(box["x"] + 0.2 * box["width"], y)
    page.mouse.down()
    for step in range(1, 6):
        page.mouse.move(box["x"] + (0.2 + length * step / 5) * box["width"], y)
    page.mouse.up()
