"""Everything that happened: in memory from the start, on disk as soon as there is a folder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from limsup_widgets.data.journal import Event, Header, Journal
from limsup_widgets.data.strokes import Stroke


class Record:
    """The events of a session, and the journal that keeps them.

    Parameters
    ----------
    header
        What the events are about.
    tell
        Called as ``tell(name, value)`` to emit ``saved`` and ``message``.
    """

    def __init__(self, header: Header, tell: Callable[..., None]) -> None:
        self.header = header
        self.events: list[Event] = []
        self.journal: Journal | None = None
        self._tell = tell
        self._failed = False

    @property
    def is_saved(self) -> bool:
        """Whether there is a journal and everything is in it, on disk."""
        return self.journal is not None and self.journal.is_saved

    def add(self, kind: str, **data: object) -> None:
        """Write down that something happened."""
        self._append(Event(kind, self._clock(), data))

    def add_stroke(self, stroke: Stroke) -> None:
        """Write down a stroke or an erasure."""
        self._append(Event.of_stroke(stroke, self._clock()))

    def keep_in(self, journal: Journal, missing: Iterable[Event] = ()) -> None:
        """Write into ``journal`` from now on, first of all the events that it lacks."""
        journal.saved.connect(self._saved, thread=threading.current_thread())
        self.journal = journal
        for event in missing:
            journal.append(event)
        journal.flush()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything is on disk; True if it is, or if there is no journal."""
        return self.journal is None or self.journal.flush(timeout)

    def close(self) -> None:
        """Flush and give the folder free."""
        if self.journal is not None:
            self.journal.close()

    def _clock(self) -> float:
        return max(0.0, time.time() - (self.header.created or 0.0))

    def _append(self, event: Event) -> None:
        self.events.append(event)
        if self.journal is not None:
            self.journal.append(event)
            self._tell("saved", False)

    def _saved(self, done: bool, reason: str) -> None:
        if done and not self.is_saved:
            return  # Something was added since then; its own report follows.
        if done and self._failed:
            self._tell("message", "everything is saved again")
        if not done and not self._failed:
            self._tell(
                "message",
                f"not saved: {reason}. Do: make room or check the folder; nothing is lost, "
                "the next action tries again",
            )
        self._failed = not done
        self._tell("saved", done)
