"""Run chapters in JupyterLab, as a reader does, and move every control of every widget there.

``python scripts/drive_lab.py ID... [--pictures FOLDER]``. Needs Chromium and playwright. Each
control has to change its picture; the last line counts. Works on copies: no chapter is touched.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

from limsup_widgets.teach.chapters import chapter_path

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
TOKEN, LONG = "drive", 600_000
NEWS = "@jupyterlab/apputils-extension:announcements"
TRACKER = "@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
OUTPUT = ".jp-OutputArea-output:has(.widget-vbox)"
ERRORS = '[data-mime-type="application/vnd.jupyter.error"]'
DONE = f"""() => {{
  const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')];
  return document.querySelector('{ERRORS}') !== null
    || (prompts.length > 0 && prompts.every(p => /\\[\\d+\\]/.test(p.innerText)));
}}"""
CHANGED = "([box, old]) => box.querySelector('img') && box.querySelector('img').src !== old"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Whether the server is up."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@contextmanager
def lab(folder: Path) -> Iterator[str]:
    """A JupyterLab over a folder, without display, news and hidden cells; yields its address."""
    config, settings = folder / ".config", folder / ".settings"
    (config / "labconfig").mkdir(parents=True)
    page = {"disabledExtensions": {NEWS: True}}
    (config / "labconfig" / "page_config.json").write_text(json.dumps(page))
    tracker = settings / TRACKER
    tracker.parent.mkdir(parents=True)
    # Lab draws only what is on screen; widgets further down would not be there to be moved.
    tracker.write_text(json.dumps({"windowingMode": "none"}))
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment |= {"JUPYTER_CONFIG_DIR": str(config), "JUPYTERLAB_SETTINGS_DIR": str(settings)}
    environment |= {"OMP_NUM_THREADS": "1", "LIMSUP_PROFILE": "quick"}
    command = [sys.executable, "-m", "jupyter", "lab", "--allow-root", "--no-browser"]
    command += [f"--port={port}", f"--IdentityProvider.token={TOKEN}", "--ip=127.0.0.1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, cwd=folder, env=environment, **quiet)
    try:
        while not answers(f"http://127.0.0.1:{port}/api?token={TOKEN}"):
            if server.poll() is not None:
                raise SystemExit("JupyterLab ended before it answered")
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}/lab/tree/"
    finally:
        server.terminate()
        server.wait()


def without_outputs(id: str, folder: Path) -> str:
    """A copy of a chapter as a reader opens it, but empty, so that every output is a new one."""
    notebook = nbformat.read(chapter_path(id), as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, folder / f"{id}.ipynb")
    return f"{id}.ipynb"


def run_all(page: Any, address: str) -> None:
    """Open a notebook, run all cells, wait until every cell has run or one failed."""
    page.goto(f"{address}?token={TOKEN}&reset")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(DONE)


def move_all(page: Any, box: Any) -> int:
    """Move every control of one widget by its own means, and back; return how many there were."""
    menus, handles = box.locator("select"), box.locator(".noUi-handle")
    for number in range(menus.count()):
        menu = menus.nth(number)
        chosen = menu.evaluate("menu => menu.selectedIndex")
        for index in (0 if chosen else 1, chosen):
            after_change(page, box, lambda m=menu, i=index: m.select_option(index=i))
    for number in range(handles.count()):
        handle = handles.nth(number)
        high = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
        keys = ["ArrowRight", "ArrowLeft"]
        for key in reversed(keys) if high else keys:
            after_change(page, box, lambda h=handle, k=key: h.press(k))
    return int(menus.count() + handles.count())


def after_change(page: Any, box: Any, move: Any) -> None:
    """Move a control and wait for another picture."""
    old = box.locator("img").first.get_attribute("src")
    move()
    page.wait_for_function(CHANGED, arg=[box.element_handle(), old])


def drive(page: Any, address: str, id: str, pictures: Path | None) -> str:
    """Run one chapter and move its widgets; return what was done."""
    run_all(page, address)
    errors = page.locator(ERRORS).count()
    boxes = page.locator(OUTPUT)
    moved = []
    for number in range(boxes.count()):
        box = boxes.nth(number)
        box.scroll_into_view_if_needed()
        moved.append(move_all(page, box))
        if pictures is not None:
            box.screenshot(path=pictures / f"{id}-{number}.png")
    controls = ", ".join(map(str, moved)) or "none"
    return f"{id}: {len(moved)} widgets, controls moved: {controls}; errors: {errors}"


def main() -> int:
    """Drive the named chapters one after the other."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ids", nargs="+")
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as browser:
        folder = Path(scratch)
        names = {id: without_outputs(id, folder) for id in options.ids}
        with lab(folder) as address:
            context = browser.chromium.launch(executable_path=chromium, args=FLAGS)
            for id, name in names.items():
                page = context.new_page(viewport={"width": 1400, "height": 1300})
                page.set_default_timeout(LONG)
                print(drive(page, f"{address}{name}", id, options.pictures), flush=True)
                page.close()
            context.close()
    print(f"{len(names)} chapters driven")
    return 0


if __name__ == "__main__":
    sys.exit(main())
