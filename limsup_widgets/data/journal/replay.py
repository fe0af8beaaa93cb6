"""From events to the state they led to, and a journal from strokes nobody painted by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from limsup_widgets.data.history import History
from limsup_widgets.data.journal.events import Event, Header
from limsup_widgets.data.journal.reading import JournalContent
from limsup_widgets.data.strokes import Stroke
from limsup_widgets.errors import LimsupError


def perform(history: History, event: Event) -> None:
    """Do to ``history`` what ``event`` did to the labels; most kinds do nothing."""
    if event.stroke is not None:
        history.push(event.stroke)
    elif event.kind == "undo":
        history.undo()
    elif event.kind == "redo":
        history.redo()
    elif event.kind == "reset":
        history.clear()


def replay(content: JournalContent, until: int | None = None) -> History:
    """Labels and undo stacks after the first ``until`` events (all by default).

    Raises :class:`LimsupError` if the journal ends inside its header.
    """
    if content.header is None:
        raise LimsupError("journal", got="no complete header", do="begin a new session")
    history = History([image.shape for image in content.header.images])
    for event in content.events[:until]:
        perform(history, event)
    return history


def timed(strokes: Iterable[Stroke]) -> Iterator[Event]:
    """Events of strokes drawn without a pause: each is done when its own seconds are over."""
    clock = 0.0
    for stroke in strokes:
        clock += stroke.seconds
        yield Event.of_stroke(stroke, clock)


def write_journal(path: Path | str, header: Header, strokes: Iterable[Stroke]) -> Path:
    """Write the journal of a simulated annotator; same strokes, same bytes."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [header.line(), *(event.line() for event in timed(strokes))]
    path.write_bytes(b"".join(lines))
    return path
