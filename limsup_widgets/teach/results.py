"""Stored results: experiments too long for a page, made by one command, checked on it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from limsup_widgets.errors import LimsupError
from limsup_widgets.resources import PACKAGE, resource

Cell = bool | int | float | str | None
TRACKED = ("limsup", "numpy", "scipy", "scikit-learn", "scikit-image", "torch", "monai")


class Result(BaseModel):
    """Content of ``results/<id>.json``.

    Attributes
    ----------
    id
        File name without its ending.
    command
        The one command, from the repository root, that makes the file again.
    commit
        Commit of the code that made it; ends in ``+`` if files were changed on top.
    versions
        Installed versions of what the numbers depend on.
    seeds
        Every seed used.
    cpu_seconds
        CPU time of all processes together.
    rows
        One flat dict per job, all with the same keys.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    command: str = Field(min_length=1)
    commit: str = Field(pattern=r"^([0-9a-f]{7,40}\+?|unknown)$")
    versions: dict[str, str]
    seeds: list[int]
    cpu_seconds: float = Field(ge=0)
    rows: list[dict[str, Cell]] = Field(min_length=1)

    def select(self, **keys: Cell) -> list[dict[str, Cell]]:
        """Rows whose entries equal all of ``keys``, in stored order."""
        return [row for row in self.rows if all(row.get(k) == v for k, v in keys.items())]

    def column(self, name: str, **keys: Cell) -> list[Cell]:
        """One entry of every selected row.

        Raises
        ------
        LimsupError
            If no row is selected or the rows lack ``name``.
        """
        rows = self.select(**keys)
        if not rows or name not in rows[0]:
            raise LimsupError(
                f"results/{self.id}.json",
                got=f"{len(rows)} rows for {keys}, asked for {name!r}",
                expected=sorted(self.rows[0]),
            )
        return [row[name] for row in rows]


def stored_result(id: str) -> Result:
    """Read and validate ``results/<id>.json``.

    Raises
    ------
    LimsupError
        If the file is missing or does not fit :class:`Result`.
    """
    path = resource("results", f"{id}.json")
    try:
        return Result.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        raise LimsupError(
            f"{path.name}, {'.'.join(map(str, first['loc']))}",
            got=first["msg"],
            do="make the file again with its command",
        ) from error


def write_result(
    id: str,
    rows: Iterable[Mapping[str, Cell]],
    *,
    command: str,
    seeds: Sequence[int],
    cpu_seconds: float,
    folder: Path | None = None,
) -> Path:
    """Write ``results/<id>.json`` with the commit and versions of this checkout."""
    result = Result(
        id=id,
        command=command,
        commit=_commit(),
        versions=_versions(),
        seeds=list(seeds),
        cpu_seconds=round(cpu_seconds, 1),
        rows=[dict(row) for row in rows],
    )
    path = (folder or resource("results")) / f"{id}.json"
    path.write_text(_dump(result), encoding="utf-8")
    return path


def assert_row(stored: Mapping[str, Cell], live: Mapping[str, Cell], tol: float = 1e-3) -> None:
    """Assert that a row computed on the page equals the stored one, and print one line.

    Parameters
    ----------
    stored
        A row of :class:`Result`.
    live
        The same row made now; may have fewer entries.
    tol
        Largest absolute difference of numbers; text and truth values must be equal.

    Raises
    ------
    AssertionError
        Naming the first entry that differs.
    """
    if not live:
        raise AssertionError("nothing was recomputed")
    for key, value in live.items():
        if key not in stored:
            raise AssertionError(f"{key!r} is not in the stored row: {sorted(stored)}")
        if not _same(stored[key], value, tol):
            raise AssertionError(f"{key}: stored {stored[key]!r}, now {value!r}, tolerance {tol}")
    print(f"recomputed: {', '.join(live)} equal the stored row within {tol:g}")


def _same(stored: Cell, live: Cell, tol: float) -> bool:
    numbers = all(isinstance(v, int | float | np.number) for v in (stored, live))
    if numbers and not any(isinstance(v, bool) for v in (stored, live)):
        return bool(np.isclose(float(stored), float(live), rtol=0, atol=tol, equal_nan=True))  # type: ignore[arg-type]
    return stored == live


def _dump(result: Result) -> str:
    """One row a line: a diff then shows which jobs changed."""
    head = result.model_dump_json(exclude={"rows"}, indent=1).rstrip("\n}")
    rows = ",\n  ".join(_row_json(row) for row in result.rows)
    return f'{head},\n "rows": [\n  {rows}\n ]\n}}\n'


def _row_json(row: Mapping[str, Cell]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False)


def _versions() -> dict[str, str]:
    found = {}
    for name in TRACKED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str:
    root = PACKAGE.parent
    if not (root / ".git").exists():
        return "unknown"
    head = _git(root, "rev-parse", "--short=12", "HEAD")
    return head + ("+" if _git(root, "status", "--porcelain", "-uno") else "")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()
