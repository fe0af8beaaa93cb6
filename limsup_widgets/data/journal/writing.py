"""Append events to a journal from a thread of its own, and say when they are safe."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from psygnal import EmitLoopError, Signal

from limsup_widgets.data.journal.events import Event, Header
from limsup_widgets.data.journal.lock import FileLock
from limsup_widgets.data.journal.reading import parse_journal
from limsup_widgets.errors import LimsupError


class Journal:
    """An append-only file of JSON lines, fsynced before it is called saved.

    ``append`` returns at once. A thread writes all that is waiting, fsyncs, and ends; as it is no
    daemon, the interpreter does not exit before the last line is down. A failed write is cut off
    again, nothing in memory is lost, and the next event (or ``flush``) tries once more.

    Parameters
    ----------
    path
        The file. A new one gets `header` as its first line; an existing one is continued after its
        last complete event, and whatever a crash left behind that is cut off by the first write.
    header
        Needed for a new file only.

    Attributes
    ----------
    saved : Signal(bool, str)
        Emitted in the writer's thread: ``(True, "")`` when all that was waiting is on disk (what
        was appended since then is not: ask ``is_saved``), ``(False, reason)`` when it could not be
        written.

    Raises
    ------
    LimsupError
        The folder is open elsewhere, a line in the middle of the file is damaged, or a new file
        has no header.
    """

    saved = Signal(bool, str)

    def __init__(self, path: Path | str, header: Header | None = None) -> None:
        self.path = Path(path)
        self._idle = threading.Condition()
        self._pending: list[bytes] = []
        self._writing = False
        self._closed = False
        self._lock: FileLock | None = None
        with suppress(OSError):
            self._lock = FileLock(self.path.with_suffix(".lock"))
        try:
            self._end, self._open_line = self._continue(header)
        except LimsupError:
            self.close()
            raise

    def _continue(self, header: Header | None) -> tuple[int, bool]:
        """Bytes to keep, and whether the last of them still lacks its line end."""
        data = self.path.read_bytes() if self.path.is_file() else b""
        content = parse_journal(data)
        if content.damage:
            raise LimsupError(
                f"journal {self.path}", got=content.damage, do="recover it before appending"
            )
        if content.header is None:
            if header is None:
                raise LimsupError(f"journal {self.path}", got="no header", do="give one")
            self._pending.append(header.line())
        return content.end, content.end > 0 and not data[: content.end].endswith(b"\n")

    @property
    def is_saved(self) -> bool:
        """Whether everything appended so far is on disk."""
        with self._idle:
            return not self._pending

    def append(self, event: Event) -> None:
        """Queue one event and return; ``saved`` tells when it is down."""
        if self._closed:
            raise LimsupError(f"journal {self.path}", got="closed", do="open it again")
        line = event.line()
        with self._idle:
            self._pending.append(line)
            self._start()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything appended is on disk; False if it is not (yet)."""
        with self._idle:
            self._start()
            self._idle.wait_for(lambda: not self._writing, timeout)
            return not self._pending

    def close(self) -> bool:
        """Flush and give the folder free; a second call does nothing."""
        done = self._closed or self.flush()
        self._closed = True
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        return done

    def _start(self) -> None:
        if self._pending and not self._writing:
            self._writing = True
            threading.Thread(target=self._drain, name="limsup-journal").start()

    def _drain(self) -> None:
        while True:
            with self._idle:
                lines = tuple(self._pending)
            reason = self._write(lines)
            with self._idle:
                if not reason:
                    del self._pending[: len(lines)]
                finished = bool(reason) or not self._pending
            if finished:
                self._tell(not reason, reason)
            with self._idle:
                if reason or not self._pending:
                    self._writing = False
                    self._idle.notify_all()
                    return

    def _write(self, lines: tuple[bytes, ...]) -> str:
        """Bring ``lines`` to the disk; the reason if that failed."""
        data = (b"\n" if self._open_line else b"") + b"".join(lines)
        try:
            new = not self.path.exists()
            append_at(self.path, self._end, data)
            if new:
                sync_folder(self.path.parent)
        except OSError as error:
            return f"{self.path}: {error.strerror or error}"
        self._end, self._open_line = self._end + len(data), False
        return ""

    def _tell(self, ok: bool, reason: str) -> None:
        """A listener's error is the listener's: the writer goes on."""
        with suppress(EmitLoopError):
            self.saved.emit(ok, reason)


def append_at(path: Path, end: int, data: bytes) -> None:
    """Cut the file to ``end`` bytes, write ``data`` behind them and fsync.

    If that fails, what was written is cut off again and the OSError goes on.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        if size < end:
            raise OSError(f"was shortened to {size} bytes by another program")
        if size > end:
            os.ftruncate(descriptor, end)
        os.lseek(descriptor, end, os.SEEK_SET)
        write_all(descriptor, data)
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, end)
        raise
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """``os.write`` until every byte is taken."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Make a new file's name survive a power cut (where the system can do that)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
