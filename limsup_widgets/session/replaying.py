"""Play a journal onto a session, action by action: a recorded lecture, or a check."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from limsup_widgets.data.journal import Event, JournalContent, read_journal
from limsup_widgets.errors import LimsupError

if TYPE_CHECKING:
    from limsup_widgets.session.session import Session


def play(session: Session, source: Path | str) -> Iterator[tuple[Event, float]]:
    """Do what a journal says, one action per turn, as if the user of ``session`` did it.

    Parameters
    ----------
    source
        A journal, or a session folder. Networks in its ``models`` are used in place of tuning.

    Yields
    ------
    Event, float
        The action just done, and the seconds that had passed since the one before it.

    Raises
    ------
    LimsupError
        The journal is about images of other shapes, or about more classes.
    """
    path = Path(source).expanduser()
    path = path / "journal.jsonl" if path.is_dir() else path
    content = read_journal(path)
    _check(session, content, path)
    before = content.events[0].seconds if content.events else 0.0
    for event in content.events:
        _do(session, event, path.parent)
        yield event, max(0.0, event.seconds - before)
        before = event.seconds


def _check(session: Session, content: JournalContent, path: Path) -> None:
    if content.header is None:
        raise LimsupError(
            f"journal {path}", got="no complete header", expected="a session's journal"
        )
    theirs = [image.shape for image in content.header.images]
    if theirs != session.case.shapes:
        raise LimsupError(f"images of {path}", got=theirs, expected=session.case.shapes)
    if len(content.header.classes) > len(session.classes):
        raise LimsupError(
            f"classes of {path}", got=content.header.classes, expected=session.classes
        )


def _do(session: Session, event: Event, folder: Path) -> None:
    if event.stroke is not None:
        session.add_stroke(event.stroke)
    elif event.kind == "undo":
        session.undo()
    elif event.kind == "redo":
        session.redo()
    elif event.kind == "reset":
        session.reset()
    elif event.kind == "switch":
        session.toggle_previous()
    elif event.kind == "tune_end" and event.data.get("status") == "done":
        _network(session, event, folder)


def _network(session: Session, event: Event, folder: Path) -> None:
    """The network that came out of a tune; where its file is gone, tune again."""
    try:
        module = session.load_network(folder, str(event.data["model"]))
    except LimsupError:
        session.tune(progress=False)
    else:
        session.adopt(module)
