"""What every stored chapter contains: its claims with their verdicts, exercises and widgets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from limsup_widgets.teach.claims import WORDS, read_lines
from limsup_widgets.teach.frontmatter import list_chapters
from limsup_widgets.teach.runner import CLAIMS

NUMBERS = re.compile(r"^(?P<name>.*): mean difference (\S+), 95% interval (\S+) to (\S+), claimed ")
COUNTED = re.compile(r"; paired over (\d+) (.+?)s(?:$|, )")
WIDGET_LINE = "Widget with controls "


@dataclass(frozen=True)
class Claimed:
    """One claim as it stands on the page.

    Attributes
    ----------
    words
        ``holds``, ``does not hold`` or ``undecided``.
    origin
        ``live``, or ``stored`` in the file ``result``.
    kind
        ``interval`` or ``deterministic``.
    mean, low, high
        Mean difference and its 95 % interval; None for a deterministic claim, and where an older
        page printed the verdict without its picture.
    units, unit
        How many differences, and of what: 20, ``patient``.
    basis
        The printed reason in brackets.
    """

    name: str
    words: str
    origin: str
    result: str | None
    kind: str
    mean: float | None
    low: float | None
    high: float | None
    units: int | None
    unit: str | None
    basis: str


@dataclass(frozen=True)
class Listed:
    """One chapter as `limsup chapter list --json` writes it.

    Attributes
    ----------
    minutes, memory_mb
        Measured in the quick profile.
    exercises
        Ids, as in ``check("ls03.1", ...)``.
    widgets
        Names of the controls, one list a widget.
    """

    id: str
    title: str
    part: str
    path: str
    minutes: float
    memory_mb: int
    claims: tuple[Claimed, ...]
    exercises: tuple[str, ...]
    widgets: tuple[tuple[str, ...], ...]

    def as_json(self) -> dict[str, Any]:
        """Plain lists and dicts."""
        return asdict(self)


def list_contents(folder: Path | None = None) -> list[Listed]:
    """Every stored chapter in the order of the contents; nothing is run."""
    return [
        Listed(
            chapter.id,
            chapter.title,
            chapter.part,
            f"{chapter.path.parent.name}/{chapter.path.name}",
            chapter.minutes,
            chapter.memory_mb,
            *_contents(nbformat.read(chapter.path, as_version=4)),
        )
        for chapter in list_chapters(folder)
    ]


def stored_claims(notebook: NotebookNode) -> tuple[Claimed, ...]:
    """The claims printed on a page, with the numbers that the runner or a picture kept."""
    kept = {(r["words"], r["name"], r["basis"]): r for r in notebook.metadata.get(CLAIMS, ())}
    return tuple(
        _claimed(line, kept.get(line) or _from_picture(cell, line[1]))
        for cell in _code(notebook)
        for line in read_lines(_printed(cell))
    )


def contents_table(chapters: Sequence[Listed]) -> str:
    """One line a chapter: how long it runs, what its claims came to, how much there is to do."""
    head = ("id", "runs", "holds", "does not", "undecided", "exercises", "widgets", "title")
    rows = [head, *(_row(chapter) for chapter in chapters)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(head) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    )


def claims_text(chapter: Listed) -> str:
    """The chapter's title and one line a claim."""
    lines = [f"{chapter.id}  {chapter.title}"]
    for claim in chapter.claims:
        lines.append(f"  {claim.words:13} {claim.name} ({claim.basis}){_interval(claim)}")
    return "\n".join(lines)


def _contents(notebook: NotebookNode) -> tuple[Any, ...]:
    source = "\n".join(
        c.source for c in _code(notebook) if "exercise" in c.metadata.get("tags", ())
    )
    exercises = re.findall(r"\bexercise\(\s*[\"']([\w.]+)", source)
    return stored_claims(notebook), tuple(exercises), tuple(_widgets(notebook))


def _widgets(notebook: NotebookNode) -> Iterator[tuple[str, ...]]:
    for cell in _code(notebook):
        for output in cell.outputs:
            text = output.get("data", {}).get("text/plain", "")
            if text.startswith(WIDGET_LINE):
                yield tuple(text.removeprefix(WIDGET_LINE).split(", "))


def _claimed(line: tuple[str, str, str], numbers: dict[str, Any]) -> Claimed:
    words, name, basis = line
    counted = COUNTED.search(basis)
    origin, _, result = basis.split(";")[0].partition(": ")
    return Claimed(
        name,
        words,
        origin,
        result or None,
        "interval" if counted else "deterministic",
        numbers.get("mean"),
        numbers.get("low"),
        numbers.get("high"),
        int(counted[1]) if counted else None,
        counted[2] if counted else None,
        basis,
    )


def _from_picture(cell: NotebookNode, name: str) -> dict[str, Any]:
    """Numbers in the alt text of a claim's picture, rounded to three digits."""
    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt") or ""
    found = NUMBERS.match(alt)
    if not found or found["name"] != name:
        return {}
    return dict(zip(("mean", "low", "high"), map(_number, found.groups()[1:]), strict=True))


def _number(text: str) -> float | None:
    return None if "nan" in text else float(text)


def _row(chapter: Listed) -> tuple[str, ...]:
    counts = Counter(claim.words for claim in chapter.claims)
    numbers = (*(counts[w] for w in WORDS), len(chapter.exercises), len(chapter.widgets))
    return (chapter.id, f"{chapter.minutes:.1f} min", *map(str, numbers), chapter.title)


def _interval(claim: Claimed) -> str:
    if claim.low is None or claim.high is None:
        return ""
    return f": {claim.mean:+.3g} [{claim.low:+.3g}, {claim.high:+.3g}]"


def _code(notebook: NotebookNode) -> Iterator[NotebookNode]:
    return (cell for cell in notebook.cells if cell.cell_type == "code")


def _printed(cell: NotebookNode) -> str:
    return "".join(o.text for o in cell.outputs if o.get("name") == "stdout")
