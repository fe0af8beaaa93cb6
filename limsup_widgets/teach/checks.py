"""What every stored chapter must satisfy; each check returns what it found, in words."""

from __future__ import annotations

import base64
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import nbformat
from nbformat import NotebookNode

from limsup_widgets.teach.claims import read_lines
from limsup_widgets.teach.frontmatter import read_front_matter
from limsup_widgets.teach.runner import MAX_BYTES, WIDGET

SECTIONS = (
    "takeaways",
    "cost",
    "terms",
    "question",
    "method",
    "experiment",
    "claim",
    "widget",
    "source-numbers",
    "limits",
    "exercise",
    "reading",
)
MEDIAN_LINES, MOST_LINES, METHOD_LINES = 6, 30, 15
WIDEST_LINE = 88
PROSE_WORDS = 20
MIN_ALT_WORDS = 4
CHECKED = "nbval-check-output"

Check = Callable[[NotebookNode, str], list[str]]


def front_matter(notebook: NotebookNode, name: str) -> list[str]:
    """The front matter fits its model, the file name and the heading."""
    front = read_front_matter(notebook, name)
    found = []
    if name.split("-")[0] != front.id:
        found.append(f"id {front.id!r} is not the beginning of {name!r}")
    if not front.minutes or not front.memory_mb:
        found.append("minutes and memory are not measured: store it with the runner")
    headings = re.findall(r"^# (.+)$", _prose(notebook), flags=re.MULTILINE)
    if headings != [front.title]:
        found.append(f"H1 headings {headings}, expected the title {front.title!r} once")
    return found


def section_order(notebook: NotebookNode, name: str) -> list[str]:
    """A method chapter has every section, in the fixed order of :data:`SECTIONS`."""
    if not read_front_matter(notebook, name).is_method:
        return []
    first: dict[str, int] = {}
    for number, cell in enumerate(notebook.cells, start=1):
        for tag in set(_tags(cell)) & set(SECTIONS):
            first.setdefault(tag, number)
    missing = [f"no section {tag!r}" for tag in SECTIONS if tag not in first]
    present = [tag for tag in SECTIONS if tag in first]
    late = [
        f"section {b!r} (cell {first[b]}) stands before {a!r} (cell {first[a]})"
        for a, b in pairwise(present)
        if first[b] < first[a]
    ]
    return missing + late


def cost_line(notebook: NotebookNode, name: str) -> list[str]:
    """The cost line says what the front matter says."""
    front = read_front_matter(notebook, name)
    lines = [c.source for c in notebook.cells if "cost" in _tags(c)]
    return [] if lines == [front.cost] else ["cost line differs from the front matter: run it"]


def cell_lengths(notebook: NotebookNode, name: str) -> list[str]:
    """Short code cells, and prose enough around them."""
    lengths = {number: _lines(cell.source) for number, cell in _code(notebook)}
    found = [
        f"cell {number} has {lines} lines, at most {limit}"
        for number, cell in _code(notebook)
        if (lines := lengths[number])
        > (limit := METHOD_LINES if "method" in _tags(cell) else MOST_LINES)
    ]
    found += [
        f"cell {number} has a line of {width} characters, at most {WIDEST_LINE}"
        for number, cell in _code(notebook)
        if (width := max(map(len, cell.source.splitlines()), default=0)) > WIDEST_LINE
    ]
    median = statistics.median(lengths.values() or [0])
    if median > MEDIAN_LINES:
        found.append(f"median code cell has {median} lines, at most {MEDIAN_LINES}")
    words = len(_prose(notebook).split()) / max(1, len(lengths))
    if words < PROSE_WORDS:
        found.append(f"{words:.0f} words of prose a code cell, at least {PROSE_WORDS}")
    return found


def alt_texts(notebook: NotebookNode, name: str) -> list[str]:
    """One picture a cell, each with an alt text that is a text."""
    found = []
    for number, cell in _code(notebook):
        pictures = [o for o in cell.outputs if _has_picture(o)]
        alts = re.findall(r"<img\b[^>]*>", "".join(_html(o) for o in cell.outputs))
        texts = [_attribute(tag, "alt") for tag in alts]
        if len(pictures) > 1:
            found.append(f"cell {number} shows {len(pictures)} pictures, one alt text serves all")
        if pictures:
            texts.append(cell.metadata.get("mystnb", {}).get("image", {}).get("alt"))
        found += [
            f"cell {number}: alt text {text!r} does not say what is seen"
            for text in texts
            if not _is_text(text)
        ]
    return found


def executed(notebook: NotebookNode, name: str) -> list[str]:
    """Every code cell ran, and every checked one printed: else nbval passes it silently."""
    found = []
    for number, cell in _code(notebook):
        if cell.execution_count is None:
            found.append(f"cell {number} was never run")
        if CHECKED in _tags(cell) and not cell.outputs:
            found.append(f"cell {number} is compared but has no output")
    return found


def clean_outputs(notebook: NotebookNode, name: str) -> list[str]:
    """No stored error, warning, live widget, or memory address where outputs are compared."""
    found = []
    for number, cell in _code(notebook):
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"cell {number} stores the error {output.ename}")
            if output.get("name") == "stderr":
                found.append(f"cell {number} writes to stderr: {output.text[:60]!r}")
            if WIDGET in output.get("data", {}):
                found.append(f"cell {number}: a widget without text/html shows nothing on a page")
            if re.search(r"\b0x[0-9a-f]{6,}", output.get("data", {}).get("text/plain", "")):
                found.append(f"cell {number} shows a memory address")
    return found


def claims(notebook: NotebookNode, name: str) -> list[str]:
    """Claims are tagged, compared and have names of their own; a method chapter has a live one."""
    found, printed = [], ""
    for number, cell in _code(notebook):
        if not re.search(r"\bclaim(_true)?\(", cell.source):
            continue
        found += [
            f"cell {number} makes a claim but lacks the tag {tag!r}"
            for tag in ("claim", CHECKED)
            if tag not in _tags(cell)
        ]
        printed += _stdout(cell)
    names = Counter(claim for _, claim, _ in read_lines(printed))
    found += [f"{count} claims are named {n!r}" for n, count in names.items() if count > 1]
    if read_front_matter(notebook, name).is_method and "(live;" not in printed:
        found.append("no live claim")
    return found


def solutions(notebook: NotebookNode, name: str) -> list[str]:
    """Every registered exercise has a folded solution cell that the checker accepts."""
    registered = re.findall(r"\bexercise\(\s*[\"']([\w.]+)", _source(notebook, "exercise"))
    solved = set()
    for _, cell in _code(notebook):
        if {"solution", CHECKED} <= set(_tags(cell)):
            solved |= set(re.findall(r"^([\w.]+) – Right", _stdout(cell), flags=re.MULTILINE))
    found = [f"exercise {id}: no accepted solution" for id in registered if id not in solved]
    for number, cell in _code(notebook):
        if {"solution", "exercise"} & set(_tags(cell)) and "hide-cell" not in _tags(cell):
            found.append(f"cell {number} holds an answer but is not folded (tag 'hide-cell')")
    if read_front_matter(notebook, name).is_method and not registered:
        found.append("no exercise")
    return found


def thumbnail(notebook: NotebookNode, name: str) -> list[str]:
    """Exactly one cell tagged ``thumbnail``, with a PNG."""
    count = len(thumbnails(notebook))
    return [] if count == 1 else [f"{count} cells tagged 'thumbnail' with a PNG, expected 1"]


def size(notebook: NotebookNode, name: str) -> list[str]:
    """The file stays small."""
    kilobytes = len(nbformat.writes(notebook).encode()) / 1000
    limit = MAX_BYTES / 1000
    return [] if kilobytes <= limit else [f"{kilobytes:.0f} kB, at most {limit:.0f}"]


CHECKS: tuple[Check, ...] = (
    front_matter,
    section_order,
    cost_line,
    cell_lengths,
    alt_texts,
    executed,
    clean_outputs,
    claims,
    solutions,
    thumbnail,
    size,
)


def thumbnails(notebook: NotebookNode) -> list[bytes]:
    """PNG bytes of the cells tagged ``thumbnail``."""
    return [
        base64.b64decode(output.data["image/png"])
        for _, cell in _code(notebook)
        if "thumbnail" in _tags(cell)
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]


def _code(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    """Code cells with their number on the page, counted from 1 over all cells."""
    return ((n, c) for n, c in enumerate(notebook.cells, start=1) if c.cell_type == "code")


def _tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", ()))


def _prose(notebook: NotebookNode) -> str:
    return "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def _source(notebook: NotebookNode, tag: str) -> str:
    return "\n".join(cell.source for _, cell in _code(notebook) if tag in _tags(cell))


def _lines(source: str) -> int:
    return sum(bool(line.strip()) for line in source.splitlines())


def _stdout(cell: NotebookNode) -> str:
    return "".join(o.text for o in cell.outputs if o.get("name") == "stdout")


def _has_picture(output: NotebookNode) -> bool:
    return any(kind.startswith("image/") for kind in output.get("data", {}))


def _html(output: NotebookNode) -> str:
    return str(output.get("data", {}).get("text/html", ""))


def _attribute(tag: str, name: str) -> str | None:
    found = re.search(rf'\b{name}="([^"]*)"', tag)
    return found.group(1) if found else None


def _is_text(alt: Any) -> bool:
    """Whether an alt text is a sentence and no file path."""
    if not isinstance(alt, str) or re.search(r"\.(png|jpe?g|svg)\b|_images/", alt):
        return False
    return len(alt.split()) >= MIN_ALT_WORDS
