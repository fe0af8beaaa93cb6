"""A new chapter that already passes every check: `limsup chapter new`.

The templates beside this module are a jupytext percent script and a test; ``@ID@`` and ``@TITLE@``
are replaced. What they teach is real and small, so that an author can change one thing at a time.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import nbformat

from limsup_widgets import resources
from limsup_widgets.errors import LimsupError
from limsup_widgets.teach.chapters import chapter_path
from limsup_widgets.teach.frontmatter import PARTS, FrontMatter, read_front_matter
from limsup_widgets.teach.runner import Run, run_chapter

TEMPLATES = Path(__file__).parent / "templates"
MOST_SLUG = 40
MEASURED = ("minutes", "memory_mb")
SKETCH = {
    "source": "TODO: document and place",
    "needs": ["CPU"],
    "data": "synthetic discs (generated on the page)",
    "licence": "CC BY 4.0 (generated data)",
    "scarce": "TODO: which labels, in one phrase",
    "keywords": ["TODO"],
}


@dataclass(frozen=True)
class Scaffold:
    """What was written, and what running it took."""

    notebook: Path
    tests: Path
    run: Run


def checkout() -> Path:
    """Root of the repository that this package runs from.

    Raises
    ------
    LimsupError
        If it was installed without the repository.
    """
    root = resources.PACKAGE.parent
    if (resources.PACKAGE / "_notebooks").is_dir() or not (root / "notebooks").is_dir():
        raise LimsupError(
            "limsup chapter",
            got=f"limsup installed in {root}, without its repository",
            expected="a checkout, where chapters and their tests are written",
            do='clone the repository and run pip install -e ".[lab,dev]" in it',
        )
    return root


def slug(title: str) -> str:
    """The title as the end of a file name.

    Examples
    --------
    >>> slug("Boxes, points & other priors: über alles")
    'boxes-points-other-priors-uber-alles'
    """
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    while len("-".join(words)) > MOST_SLUG and len(words) > 1:
        words.pop()
    return "-".join(words)[:MOST_SLUG]


def part_of(id: str, part: str | None = None) -> str:
    """The part a chapter belongs to: named, or the letters of its id.

    Raises
    ------
    LimsupError
        If there is no such part.
    """
    found = part if part is not None else id.rstrip("0123456789")
    if found not in PARTS:
        raise LimsupError(
            f"part {found!r} of chapter {id!r}",
            expected=", ".join(PARTS),
            do="name one with --part, or add it to PARTS in limsup_widgets/teach/frontmatter.py",
        )
    return found


def new_chapter(
    id: str, title: str, part: str | None = None, folder: Path | None = None
) -> Scaffold:
    """Write a chapter and its tests, and run it once.

    Parameters
    ----------
    id
        Letters and two digits: ``ws10``.
    title
        The heading of the page; the file name is made from it.
    part
        Key of :data:`PARTS`; by default the letters of the id.
    folder
        Root to write into, instead of the checkout.

    Raises
    ------
    LimsupError
        If the id or the part does not fit, if there is such a chapter, or outside a checkout.
    """
    if not re.fullmatch(r"[a-z]+\d\d", id):
        raise LimsupError("id", got=repr(id), expected="letters and two digits, like ws10")
    if not slug(title):
        raise LimsupError("--title", got=repr(title), expected="a few words")
    root, part = folder or checkout(), part_of(id, part)
    path = root / "notebooks" / part / f"{id}-{slug(title)}.ipynb"
    tests = root / "tests" / "chapters" / f"test_{id}.py"
    _refuse_to_overwrite(id, root, tests)
    notebook = _notebook(id, title, part)
    read_front_matter(notebook, path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    tests.parent.mkdir(parents=True, exist_ok=True)
    tests.write_text(_template("test_chapter.py", id), encoding="utf-8")
    return Scaffold(path, tests, run_chapter(path))


def notebook_of(id: str, folder: Path | None = None) -> Path:
    """Where the notebook of a chapter lies, in the checkout or below another root.

    Raises
    ------
    LimsupError
        If there is no such chapter, or outside a checkout.
    """
    return chapter_path(id, (folder or checkout()) / "notebooks")


def script(id: str, folder: Path | None = None) -> str:
    """A chapter as a jupytext percent script with its front matter, to edit in any editor."""
    import jupytext

    notebook = nbformat.read(notebook_of(id, folder), as_version=4)
    stored = notebook.metadata["limsup"]
    front = {k: stored[k] for k in FrontMatter.model_fields if k in stored and k not in MEASURED}
    notebook.metadata = nbformat.NotebookNode(
        limsup=front, jupytext={"notebook_metadata_filter": "limsup,-all"}
    )
    for cell in notebook.cells:
        for name in ("code_prompt_show", "code_prompt_hide"):
            cell.metadata.get("mystnb", {}).pop(name, None)
        if cell.metadata.get("mystnb") == {}:
            del cell.metadata["mystnb"]
    return str(jupytext.writes(notebook, fmt="py:percent"))


def _refuse_to_overwrite(id: str, root: Path, tests: Path) -> None:
    found = [*(root / "notebooks").glob(f"*/{id}-*.ipynb"), *([tests] if tests.exists() else [])]
    if found:
        raise LimsupError(
            f"chapter {id}",
            got=f"{found[0].relative_to(root)}, which is there already",
            do="choose another id",
        )


def _notebook(id: str, title: str, part: str) -> nbformat.NotebookNode:
    import jupytext

    notebook = jupytext.reads(_template("chapter.py", id, title), fmt="py:percent")
    notebook.metadata = nbformat.NotebookNode(
        limsup={"id": id, "part": part, "title": title, **SKETCH}
    )
    return notebook


def _template(name: str, id: str, title: str = "") -> str:
    text = (TEMPLATES / f"{name}.template").read_text(encoding="utf-8")
    return text.replace("@ID@", id).replace("@TITLE@", title)
