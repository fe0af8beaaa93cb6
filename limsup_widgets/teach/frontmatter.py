"""Front matter: what a chapter says about itself, in its notebook's metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from limsup_widgets.errors import LimsupError
from limsup_widgets.resources import resource

PARTS = {
    "start": "Start here",
    "ls": "Learning from few scribbles",
    "ws": "Weak supervision: priors instead of masks",
}
WORDS_A_MINUTE, CODE_LINES_A_MINUTE = 150, 12


class FrontMatter(BaseModel):
    """The ``limsup`` entry of a notebook's metadata.

    Attributes
    ----------
    id
        Letters and two digits, the beginning of the file name: ``ls03``.
    part
        Folder of the chapter.
    source
        Where the method comes from: document and place.
    needs
        What must be there to run it: ``CPU``, ``display (optional)``.
    data, licence
        Data of the quick profile and its licence.
    datasets
        Manifest names of the full profile.
    prerequisites
        Ids of chapters to read before.
    scarce
        What kind of supervision is scarce, in one phrase for the gallery.
    minutes, memory_mb
        Measured by the runner in the quick profile: the kernel's CPU time and peak memory.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z]*\d\d$")
    part: str
    title: str = Field(min_length=3)
    source: str = Field(min_length=3)
    needs: tuple[str, ...] = Field(min_length=1)
    data: str = Field(min_length=3)
    licence: str = Field(min_length=2)
    scarce: str = Field(min_length=3, max_length=60)
    keywords: tuple[str, ...] = Field(min_length=1)
    datasets: tuple[str, ...] = ()
    prerequisites: tuple[str, ...] = ()
    minutes: float = Field(default=0, ge=0)
    memory_mb: int = Field(default=0, ge=0)

    @property
    def is_method(self) -> bool:
        """Whether the chapter teaches a method and so follows the fixed order of sections."""
        return self.part != "start"

    @property
    def run_time(self) -> str:
        """Measured run time, in words."""
        return f"{self.minutes * 60:.0f} s" if self.minutes < 1 else f"{self.minutes:.1f} min"

    @property
    def cost(self) -> str:
        """The cost line of the page."""
        facts = (
            f"Runs in {self.run_time} on one CPU thread with {self.memory_mb} MB of memory",
            f"needs: {', '.join(self.needs)}",
            f"data: {self.data}",
            f"licence: {self.licence}",
        )
        return "**Cost.** " + " · ".join(facts)


class Chapter(FrontMatter):
    """Front matter together with where the chapter lies and how long it takes to read."""

    path: Path
    reading_minutes: int


def read_front_matter(notebook: Any, name: str = "notebook") -> FrontMatter:
    """Validate the front matter of an open notebook.

    Raises
    ------
    LimsupError
        Naming the first entry that does not fit.
    """
    if "limsup" not in notebook.metadata:
        raise LimsupError(
            name, got="no front matter", expected="metadata 'limsup'", do="add it to the header"
        )
    try:
        return FrontMatter.model_validate(dict(notebook.metadata["limsup"]))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise LimsupError(
            f"{name}, front matter {field!r}", got=first.get("input"), expected=first["msg"]
        ) from error


def read_chapter(path: Path) -> Chapter:
    """Read one notebook's front matter and estimate its reading time, in 5-minute steps."""
    notebook = nbformat.read(path, as_version=4)
    front = read_front_matter(notebook, path.name)
    words = sum(len(c.source.split()) for c in notebook.cells if c.cell_type == "markdown")
    lines = sum(len(c.source.splitlines()) for c in notebook.cells if c.cell_type == "code")
    minutes = words / WORDS_A_MINUTE + lines / CODE_LINES_A_MINUTE
    return Chapter(**front.model_dump(), path=path, reading_minutes=max(5, 5 * round(minutes / 5)))


def list_chapters(folder: Path | None = None) -> list[Chapter]:
    """All chapters, in the order of the parts and then of their ids."""
    paths = sorted((folder or resource("notebooks")).glob("*/*-*.ipynb"))
    order = list(PARTS)
    chapters = [read_chapter(path) for path in paths]
    return sorted(
        chapters, key=lambda c: (order.index(c.part) if c.part in order else len(order), c.id)
    )
