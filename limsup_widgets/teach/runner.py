"""Run a chapter and store it: ``python -m limsup_widgets.teach.runner NOTEBOOK``.

What is stored repeats: no timestamps, no widget state, cell ids from the cells' sources, small
pictures, and the alt text that a claim's picture brings with it. The verdicts also go into the
notebook's metadata, with their numbers, where nothing compares them.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.claims import CLAIMS_FILE
from limsup_widgets.teach.frontmatter import read_front_matter
from limsup_widgets.teach.pictures import small_png

MAX_BYTES = 400_000
CLAIMS = "limsup_claims"
WIDGET = "application/vnd.jupyter.widget-view+json"
ENVIRONMENT = {
    "LIMSUP_PROFILE": "quick",
    "LIMSUP_DRIVE_WIDGETS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TQDM_DISABLE": "1",
    "DISPLAY": "",
    "WAYLAND_DISPLAY": "",
}
FOLDS = {"exercise": "Checker (it holds the answer)", "solution": "Solution"}
# CPU time, as the clock also counts what else the machine does; on one thread both agree.
COST = """
import resource, sys
own, others = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
seconds = sum(u.ru_utime + u.ru_stime for u in (own, others))
print(seconds, own.ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10))
"""


@dataclass(frozen=True)
class Run:
    """What running a chapter took."""

    path: Path
    minutes: float
    memory_mb: int
    bytes: int


def run_chapter(
    path: Path, *, source: Path | None = None, store: bool = True, timeout: int = 180
) -> Run:
    """Execute a chapter from its first cell in a fresh kernel and store its outputs.

    Parameters
    ----------
    path
        The notebook to write (and to read, unless ``source`` is given).
    source
        A jupytext ``py:percent`` file to take the cells from; front matter that its header lacks
        stays as it is in ``path``.
    store
        Whether to write ``path``; else only measure.
    timeout
        Longest time for one cell, in seconds.

    Raises
    ------
    LimsupError
        If the front matter does not fit or the file would be larger than 400 kB.
    nbclient.exceptions.CellExecutionError
        If a cell fails; nothing is written then.
    """
    known = _stored_front_matter(path)
    notebook = read_source(source) if source else nbformat.read(path, as_version=4)
    if source and known:
        notebook.metadata.setdefault("limsup", known)
    read_front_matter(notebook, path.name)
    seconds, memory, notebook.metadata[CLAIMS] = execute(notebook, path, timeout=timeout)
    notebook.metadata["limsup"].update(
        minutes=_settled(known.get("minutes", 0), round(seconds / 60 + 0.05, 1)),
        memory_mb=_settled(known.get("memory_mb", 0), 50 * (memory // 50 + 1)),
    )
    fill_cost_line(notebook, path.name)
    tidy(notebook)
    text = nbformat.writes(notebook) + "\n"
    if len(text.encode()) > MAX_BYTES:
        raise LimsupError(
            path.name,
            got=f"{len(text.encode()) // 1000} kB with outputs",
            expected=f"at most {MAX_BYTES // 1000} kB",
            do="smaller figures: " + "; ".join(_largest(notebook)),
        )
    if store:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Run(path, seconds / 60, memory, len(text.encode()))


def _stored_front_matter(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    return dict(nbformat.read(path, as_version=4).metadata.get("limsup", {}))


def _settled(old: float, new: float) -> float:
    """Keep what is stored unless the new measurement is clearly another, so that files settle."""
    return old if old and 0.6 <= new / old <= 1.6 else new


def read_source(source: Path) -> NotebookNode:
    """Read a ``py:percent`` file as a notebook without outputs."""
    import jupytext

    return jupytext.read(source)


def fill_cost_line(notebook: NotebookNode, name: str = "notebook") -> None:
    """Write the cost line of the front matter into the markdown cell tagged ``cost``."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and "cost" in cell.metadata.get("tags", ()):
            cell.source = read_front_matter(notebook, name).cost


def tidy(notebook: NotebookNode) -> None:
    """Drop what changes between runs and shrink the pictures, in place."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.pop("jupytext", None)
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    notebook.metadata["language_info"] = {"name": "python"}
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        cell.metadata.pop("lines_to_next_cell", None)
        _label_fold(cell)
        cell["id"] = _stable_id(cell.source, seen)
        if "outputs" in cell:
            cell.outputs = _joined(cell.outputs)
        for output in cell.get("outputs", ()):
            if "data" in output:
                _tidy_output(cell, output)


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """One stream where one was printed: a busy machine sends it in pieces."""
    joined: list[NotebookNode] = []
    for output in outputs:
        before = joined[-1] if joined else {}
        if "name" in output and output.name == before.get("name"):
            joined[-1] = NotebookNode(output, text=before["text"] + output.text)
        else:
            joined.append(output)
    return joined


def _label_fold(cell: NotebookNode) -> None:
    """Say on a folded cell what is inside."""
    tags = cell.metadata.get("tags", ())
    for tag, label in FOLDS.items():
        if tag in tags and "hide-cell" in tags:
            prompts = {"code_prompt_show": f"{label}: show", "code_prompt_hide": f"{label}: hide"}
            cell.metadata.setdefault("mystnb", NotebookNode()).update(prompts)


def _tidy_output(cell: NotebookNode, output: NotebookNode) -> None:
    if "text/html" in output.data:
        output.data.pop(WIDGET, None)
    if "image/png" in output.data:
        png = base64.b64decode(output.data["image/png"])
        output.data["image/png"] = base64.b64encode(small_png(png)).decode()
        output.data.setdefault("text/plain", "<Figure>")
        alt = output.metadata.get("image/png", {}).get("alt")
        if alt and "tags" in cell.metadata and "claim" in cell.metadata["tags"]:
            cell.metadata.setdefault("mystnb", {}).setdefault("image", {})["alt"] = alt
        output.metadata = NotebookNode()


def _stable_id(source: str, seen: dict[str, int]) -> str:
    """Id from the source: editing or moving other cells leaves it alone."""
    stem = hashlib.sha256(source.encode()).hexdigest()[:8]
    seen[stem] = seen.get(stem, 0) + 1
    return stem if seen[stem] == 1 else f"{stem}-{seen[stem]}"


def execute(
    notebook: NotebookNode,
    path: Path,
    *,
    environment: Mapping[str, str] = ENVIRONMENT,
    timeout: int = 180,
    go_on: bool = False,
) -> tuple[float, int, list[dict[str, Any]]]:
    """Run all cells in a fresh kernel; outputs go into ``notebook``, nothing is stored.

    Parameters
    ----------
    path
        Where the notebook lies: its folder is the working directory.
    environment
        Variables of the kernel.
    go_on
        Whether later cells run after one that fails.

    Returns
    -------
    seconds, memory, verdicts
        CPU seconds and peak memory in MB of the kernel; :meth:`Verdict.record` of every claim.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails, unless ``go_on``.
    """
    from nbclient import NotebookClient

    folder = path.resolve().parent
    folder.mkdir(parents=True, exist_ok=True)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=timeout,
        record_timing=False,
        allow_errors=go_on,
        # Each kernel would warn on the terminal that it talks over TCP; here it is this machine.
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
    )
    with tempfile.TemporaryDirectory() as scratch:
        told = Path(scratch) / "claims"
        told.touch()
        with _environment({**environment, CLAIMS_FILE: str(told)}), client.setup_kernel():
            for index, cell in enumerate(notebook.cells):
                _run_cell(client, cell, index)
            notebook.cells.append(nbformat.v4.new_code_cell(COST))
            probe = client.execute_cell(notebook.cells[-1], len(notebook.cells) - 1)
            notebook.cells.pop()
        verdicts = [json.loads(line) for line in told.read_text("utf-8").splitlines()]
    seconds, memory = "".join(output["text"] for output in probe.outputs).split()
    return float(seconds), int(memory), verdicts


def _run_cell(client: Any, cell: NotebookNode, index: int) -> None:
    """Run one cell; the error of one that fails carries its number on the page as a note."""
    from nbclient.exceptions import CellExecutionError

    try:
        client.execute_cell(cell, index)
    except CellExecutionError as error:
        error.add_note(f"cell {index + 1}")
        raise


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while; a kernel inherits them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _largest(notebook: NotebookNode, count: int = 3) -> list[str]:
    sizes: list[tuple[int, Any]] = [
        (len(nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))), number)
        for number, cell in enumerate(notebook.cells, start=1)
    ]
    return [
        f"cell {number} has {size // 1000} kB" for size, number in sorted(sizes)[: -count - 1 : -1]
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run the notebooks named on the command line, one after the other."""
    parser = argparse.ArgumentParser(prog="limsup_widgets.teach.runner", description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--source", type=Path, help="py:percent file to make the notebook from")
    parser.add_argument("--no-store", action="store_true", help="measure only")
    parser.add_argument("--timeout", type=int, default=180, help="seconds for one cell")
    options = parser.parse_args(arguments)
    if options.source and len(options.notebooks) != 1:
        parser.error("--source goes with one notebook")
    for path in options.notebooks:
        run = run_chapter(
            path, source=options.source, store=not options.no_store, timeout=options.timeout
        )
        print(
            f"{run.path}: {run.minutes:.2f} min, {run.memory_mb} MB of memory, "
            f"{run.bytes // 1000} kB"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
