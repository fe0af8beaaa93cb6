"""``from limsup_chapters import ls03``: the code of a chapter as a module, without a copy.

A notebook's cells tagged ``imports`` and ``method`` are compiled as one module. Its source is
virtual (the notebook's path followed by ``:cells``), and the loader hands that source to
tracebacks and to ``inspect``, so both show the chapter's own lines.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

from limsup_widgets.errors import LimsupError
from limsup_widgets.resources import resource

NAMESPACE = "limsup_chapters"
SHARED_TAGS = ("imports", "method")


def chapter_path(id: str, folder: Path | None = None) -> Path:
    """Notebook of the chapter ``id``.

    Raises
    ------
    LimsupError
        If there is none, naming those there are.
    """
    folder = folder or resource("notebooks")
    found = sorted(folder.glob(f"*/{id}-*.ipynb"))
    if not found:
        known = sorted(p.name.split("-")[0] for p in folder.glob("*/*-*.ipynb"))
        raise LimsupError(f"chapter {id!r}", got="no such notebook", expected=known)
    return found[0]


def cell_source(path: Path, tags: Collection[str] = SHARED_TAGS) -> str:
    """Code of the cells with one of ``tags``, each under a comment naming its cell."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    chosen = [
        (number, "".join(cell["source"]))
        for number, cell in enumerate(cells, start=1)
        if cell["cell_type"] == "code" and set(tags) & set(cell["metadata"].get("tags", ()))
    ]
    return "\n\n".join(f"# {path.name}, cell {number}\n{code}" for number, code in chosen) + "\n"


class ChapterLoader(SourceLoader):
    """Loads the tagged cells of one notebook as a module."""

    def __init__(self, path: Path, tags: Collection[str] = SHARED_TAGS) -> None:
        self.path, self.tags = path, tags

    def get_filename(self, fullname: str) -> str:
        """A name that no file has, else tracebacks would show lines of the JSON file."""
        return f"{self.path}:cells"

    def get_data(self, path: str | bytes) -> bytes:
        """The virtual source, encoded."""
        return cell_source(self.path, self.tags).encode()


class ChapterFinder(MetaPathFinder):
    """Finds ``limsup_chapters.<id>`` among the notebooks."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Spec of a chapter, or None for any other module and unknown ids."""
        package, _, id = fullname.partition(".")
        if package != NAMESPACE or not id.isidentifier():
            return None
        try:
            notebook = chapter_path(id)
        except LimsupError:
            return None
        return spec_from_loader(fullname, ChapterLoader(notebook), origin=str(notebook))


def load_cells(path: Path, tags: Collection[str]) -> ModuleType:
    """Run the cells of one notebook that have one of ``tags`` as a module of their own."""
    spec = spec_from_loader(f"_cells_of_{path.stem}", ChapterLoader(path, tags))
    if spec is None or spec.loader is None:
        raise LimsupError(str(path), got="no loader")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
