"""One process at a time in a folder; the lock of a process that died is gone with it."""

from __future__ import annotations

import os
import sys
import weakref
from pathlib import Path
from types import TracebackType

from limsup_widgets.errors import LimsupError

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # far behind the text, which stays readable
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """An advisory lock that the operating system releases when its process ends, however it ends.

    Parameters
    ----------
    path
        The lock file; it holds the process id of its owner and is never deleted.

    Raises
    ------
    LimsupError
        Another process, or another session of this one, holds it.
    OSError
        The file cannot be made.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        # Closed at the latest when nobody holds this object any more, so that a session which was
        # forgotten without close() does not lock its own process out.
        self._release = weakref.finalize(self, os.close, descriptor)
        try:
            _lock(descriptor)
        except OSError as error:
            self.release()
            if not isinstance(error, BlockingIOError | PermissionError):
                raise
            owner = self.path.read_text(errors="replace").strip() or "another process"
            raise LimsupError(
                f"session folder {self.path.parent}",
                got=f"open in {owner}",
                do="close it there, or choose another folder",
            ) from error
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, f"process {os.getpid()}\n".encode())

    def release(self) -> None:
        """Give the folder free; a second call does nothing."""
        self._release()

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
