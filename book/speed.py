"""The page "How fast, and why", from ``benchmarks/results/*.json`` and nothing else.

A benchmark without a record gets the command that makes it. The code of the naive ways is taken
from the benchmarks' own files, as text: nothing is run to build the page.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from limsup_widgets.resources import PACKAGE

BOOK = Path(__file__).resolve().parent
BENCHMARKS = PACKAGE.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))

from plots import number, write_pictures  # noqa: E402

PAGE, PICTURES = "speed", "speed"
NAMES = ("mc_dropout", "scribble_to_screen", "accuracy_per_second", "viewer", "scaling")
DEVICES = {"cpu": "On the processor", "cuda": "On a graphics card"}
Record = Mapping[str, Any]


def write_speed(book: Path, results: Path = BENCHMARKS / "results") -> None:
    """Write the page and its pictures below the book's folder."""
    pictures = book / "_static" / PICTURES
    found = {(name, device): read(results, name, device) for name in NAMES for device in DEVICES}
    known = {key: record for key, record in found.items() if record is not None}
    blocks = {name: section(name, known, pictures) for name in NAMES}
    template = Template((BOOK / "speed.md.in").read_text(encoding="utf-8"))
    page = template.substitute(blocks, promises=promises(known), machines=machines(known))
    (book / f"{PAGE}.md").write_text(page, encoding="utf-8")


def read(results: Path, name: str, device: str) -> Record | None:
    """The record of a benchmark on a device, if there is one."""
    path = results / f"{name}-{device}.json"
    if not path.exists():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    # The first version gave a sentence as the name, and neither device nor title.
    return {"title": record["name"], **record, "name": name, "device": device}


def section(name: str, known: Mapping[tuple[str, str], Record], pictures: Path) -> str:
    """All about one benchmark: each device on which it was measured."""
    parts = []
    for device, heading in DEVICES.items():
        record = known.get((name, device))
        if record is not None:
            parts += [f"### {heading}"] * ((name, "cuda") in known)
            parts += [block(record, pictures)]
        elif device == "cpu":
            parts.append(missing(name))
    return "\n\n".join(parts)


def missing(name: str) -> str:
    """What stands where a record is not there."""
    return f"Not measured here yet. `make bench BENCHMARKS={name}` does it."


def block(record: Record, pictures: Path) -> str:
    """Pictures, tables, what was missed, and the code, of one record."""
    drawn = write_pictures(record, pictures)
    parts = [summary(record), *(picture(name, alt, record) for name, alt in drawn)]
    parts += [titled(table) for table in record.get("tables", [])]
    parts += [remarks(record), peers(record), code(record)]
    return "\n\n".join(part for part in parts if part)


def picture(name: str, alt: str, record: Record) -> str:
    """One picture, with the command that made it and the machine it ran on."""
    return f"![{alt}](_static/{PICTURES}/{name})\n\n*`{record['command']}` – {record['machine']}*"


def summary(record: Record) -> str:
    """How many times as fast, over which range, and how far the results differ."""
    text = f"**{record['ratio_vs_naive']:.3g} times as fast** as the naive way"
    if record.get("ratio_range"):
        low, high = record["ratio_range"]
        text += f" (from {low:.3g} to {high:.3g} over the {record.get('over', 'rounds')})"
    if record.get("max_abs_diff") is not None:
        text += f"; largest difference of the results {record['max_abs_diff']:.0e}"
    return f"{text}."


def titled(table: Record) -> str:
    """A table under its title."""
    rows = [table["head"], *([shown(cell) for cell in row] for row in table["rows"])]
    return f"**{table['title']}**\n\n{as_table(rows)}"


def shown(cell: object) -> str:
    """A cell as a reader wants it: three digits, a dash for nothing.

    Examples
    --------
    >>> shown(0.123456), shown(None), shown(20000), shown("a|b")
    ('0.123', '–', '20,000', 'a\\\\|b')
    """
    if cell is None or isinstance(cell, (int, float)):
        return number(cell)
    return str(cell).replace("|", "\\|")


def as_table(rows: Sequence[Sequence[str]]) -> str:
    """Markdown table; the first row is its head."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def remarks(record: Record) -> str:
    """What the benchmark itself says about its figures."""
    notes = record.get("notes", [])
    return "**Why, and what limits it**\n\n" + "\n".join(f"- {n}" for n in notes) if notes else ""


def peers(record: Record) -> str:
    """Which toolkits ran, and what stood in the way of the others."""
    lines = []
    for name, state in record.get("peer_state", {}).items():
        version = f" {state['version']}" if state["version"] else ""
        ran = "ran" if state["runs"] else "did not run"
        why = f": {state['problem']}" if state["problem"] else ""
        if state["runs"] and why:
            ran, why = "ran from the one source file of its method", f", as {why[2:]}"
        lines.append(f"- {name}{version} {ran}{why}.")
    return "**Toolkits**\n\n" + "\n".join(lines) if lines else ""


def code(record: Record) -> str:
    """The functions that the record names, folded."""
    path = BENCHMARKS / f"{record['name']}.py"
    names = record.get("code", [])
    if not names or not path.exists():
        return ""
    sources = "\n\n\n".join(sources_of(path.read_text(encoding="utf-8"), names))
    return f"::::{{dropdown}} The code that was timed\n```python\n{sources}\n```\n::::"


def sources_of(text: str, names: Sequence[str]) -> list[str]:
    """Source of the functions ``names`` of a module, in the order of ``names``."""
    functions = {n.name: n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)}
    found = (ast.get_source_segment(text, functions[name]) for name in names if name in functions)
    return [source for source in found if source]


def promises(known: Mapping[tuple[str, str], Record]) -> str:
    """One row a promise: what was promised, what was found, kept or missed."""
    rows = [["benchmark", "promise", "found", ""]]
    for (name, device), record in known.items():
        for goal in record.get("goals", []):
            least = goal.get("at_least") is not None
            bound = goal["at_least"] if least else goal["at_most"]
            kept = goal["found"] >= bound if least else goal["found"] <= bound
            told = f"{goal['what']}, at {'least' if least else 'most'} {bound:g}"
            where = name if device == "cpu" else f"{name}, {device}"
            rows.append([where, told, shown(goal["found"]), "kept" if kept else "**missed**"])
    return as_table(rows) if len(rows) > 1 else "No benchmark with a promise has been run here yet."


def machines(known: Mapping[tuple[str, str], Record]) -> str:
    """Every machine that a figure on the page comes from."""
    names = list(dict.fromkeys(record["machine"] for record in known.values()))
    return "\n".join(f"- {name}" for name in names) or "- none yet"
