"""A chapter before it is committed: run, checked, and run again: `limsup chapter check`.

The reruns ask whether a verdict belongs to the method or to these seeds and this machine. One has
two threads, the others have all seeds of :func:`limsup_widgets.teach.seeds` shifted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.checks import CHECKS
from limsup_widgets.teach.exercise_checks import exercise_problems
from limsup_widgets.teach.profiles import SHIFT
from limsup_widgets.teach.runner import CLAIMS, ENVIRONMENT, Run, execute, run_chapter

MOST_SECONDS = 90
SHIFT_STEP = 1000
QUIET = dict(ENVIRONMENT, LIMSUP_DRIVE_WIDGETS="")
# Waiting threads sleep: on a busy machine those that spin take the time of those that work.
THREADS = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}
RERUN_TIMEOUT = 600
REMEDY = "add units, widen the margin, or pass steady=False"

Words = dict[str, tuple[str, str]]


@dataclass
class Report:
    """What a rehearsal found.

    Attributes
    ----------
    problems
        What must change, one line each; empty for a chapter that may be committed.
    notes
        What the author may want to know.
    """

    run: Run
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def rehearse(
    path: Path,
    *,
    source: Path | None = None,
    reruns: bool = True,
    shifts: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Run a chapter in the quick profile, store it, apply every check, and run it again.

    Parameters
    ----------
    path
        The notebook; what it prints is stored in it, unless a cell fails.
    source
        A jupytext percent script to take the cells from.
    reruns, shifts
        Whether to run it again, and how often with shifted seeds.
    say
        Is told what goes on, one line before each step.

    Raises
    ------
    LimsupError
        If the front matter does not fit, the file would be too large, or a cell fails; nothing is
        stored then.
    """
    say(f"running {path.name} in the quick profile, one thread")
    report = Report(_first_run(path, source))
    notebook = nbformat.read(path, as_version=4)
    say("checking page and exercises")
    report.problems += _page_problems(notebook, path, report.run)
    report.notes += _page_notes(notebook)
    for name, environment in _reruns(notebook, report, shifts if reruns else 0, reruns):
        say(f"running it again with {name}; nothing is stored")
        words, failures = _words_again(path, environment)
        report.problems += [f"with {name}, {failure}" for failure in failures]
        problems, notes = compare(words_of(notebook.metadata[CLAIMS]), words, name)
        report.problems += problems
        report.notes += notes
    return report


def words_of(verdicts: list[dict[str, Any]]) -> Words:
    """{claim: (words, basis)} of recorded verdicts."""
    return {verdict["name"]: (verdict["words"], verdict["basis"]) for verdict in verdicts}


def compare(page: Words, again: Words, name: str) -> tuple[list[str], list[str]]:
    """Problems and notes: verdicts that a rerun changed.

    A verdict that flips must read ``undecided`` on the page.

    Examples
    --------
    >>> compare({"a": ("holds", "live; paired")}, {"a": ("undecided", "")}, "shifted seeds")[0]
    ["claim 'a': holds, but undecided with shifted seeds: add units, widen the margin, or pass \
steady=False"]
    """
    problems, notes = [], []
    for claim, (words, basis) in page.items():
        if claim not in again:
            problems.append(f"claim {claim!r} is not made with {name}")
            continue
        other = again[claim][0]
        line = f"claim {claim!r}: {words}, but {other} with {name}"
        if words != other and "deterministic" in basis:
            problems.append(f"{line}: what is no interval must not depend on the draw")
        elif words not in (other, "undecided"):
            problems.append(f"{line}: {REMEDY}")
        elif words != other:
            notes.append(f"{line}; steady=False keeps it undecided everywhere")
    new = [claim for claim in again if claim not in page]
    return problems + [f"claim {claim!r} is made only with {name}" for claim in new], notes


def _first_run(path: Path, source: Path | None) -> Run:
    from nbclient.exceptions import CellExecutionError

    try:
        return run_chapter(path, source=source)
    except CellExecutionError as error:
        raise LimsupError(
            f"{path.name}, {error.__notes__[-1]} fails",
            got=f"{error.ename}: {error.evalue}".split("\n")[0],
            do="mend that cell; nothing was stored",
        ) from error


def _page_problems(notebook: NotebookNode, path: Path, run: Run) -> list[str]:
    found = [f"{check.__name__}: {line}" for check in CHECKS for line in check(notebook, path.name)]
    if run.minutes * 60 > MOST_SECONDS:
        found.append(f"{run.minutes * 60:.0f} s of CPU time, at most {MOST_SECONDS}")
    if any("exercise" in cell.metadata.get("tags", ()) for cell in _code(notebook)):
        found += exercise_problems(path)
    return found


def _page_notes(notebook: NotebookNode) -> list[str]:
    left = sum(c.source.count("TODO") for c in notebook.cells if c.cell_type == "markdown")
    left += str(notebook.metadata["limsup"]).count("TODO")
    return [f"TODO stands {left} times in prose and front matter"] if left else []


def _reruns(
    notebook: NotebookNode, report: Report, shifts: int, threads: bool
) -> Iterator[tuple[str, Mapping[str, str]]]:
    if not notebook.metadata[CLAIMS]:
        return
    if threads:
        yield "two threads", THREADS
    if not shifts:
        return
    if not any(re.search(r"\bseeds\(", cell.source) for cell in _code(notebook)):
        report.notes.append("no cell calls seeds(): a rerun with shifted seeds would show nothing")
        return
    for number in range(1, shifts + 1):
        yield f"seeds shifted by {number * SHIFT_STEP}", {SHIFT: str(number * SHIFT_STEP)}


def _words_again(path: Path, environment: Mapping[str, str]) -> tuple[Words, list[str]]:
    """Verdicts of a fresh run up to the last claim, and the cells that failed in it."""
    notebook = nbformat.read(path, as_version=4)
    claims = [n for n, c in enumerate(notebook.cells) if "claim" in c.metadata.get("tags", ())]
    notebook.cells = notebook.cells[: max(claims, default=-1) + 1]
    _, _, verdicts = execute(
        notebook, path, environment=QUIET | dict(environment), go_on=True, timeout=RERUN_TIMEOUT
    )
    failures = [
        f"cell {number} fails: {output.ename}: {output.evalue}".split("\n")[0]
        for number, cell in enumerate(notebook.cells, start=1)
        for output in cell.get("outputs", ())
        if output.output_type == "error"
    ]
    return words_of(verdicts), failures


def _code(notebook: NotebookNode) -> Iterator[NotebookNode]:
    return (cell for cell in notebook.cells if cell.cell_type == "code")
