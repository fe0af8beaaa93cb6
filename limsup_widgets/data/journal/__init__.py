"""The journal: every action of the user as one JSON line, safe on disk before it is called saved.

``Journal`` appends, ``read_journal`` reads (also what a crash left), ``replay`` rebuilds the state,
``write_journal`` makes one from strokes that nobody painted by hand.
"""

from limsup_widgets.data.journal.events import KINDS, Event, Header, ImageEntry
from limsup_widgets.data.journal.lock import FileLock
from limsup_widgets.data.journal.reading import JournalContent, JournalWarning, read_journal
from limsup_widgets.data.journal.replay import replay, write_journal
from limsup_widgets.data.journal.writing import Journal

__all__ = [
    "KINDS",
    "Event",
    "FileLock",
    "Header",
    "ImageEntry",
    "Journal",
    "JournalContent",
    "JournalWarning",
    "read_journal",
    "replay",
    "write_journal",
]
