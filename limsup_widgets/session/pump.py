"""Let events run while the session waits: queued signals, Qt if it is there, and guests."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable

from psygnal import EmitLoopError, emit_queued

from limsup_widgets.errors import LimsupError

_QT = ("PySide6.QtWidgets", "PyQt6.QtWidgets", "PyQt5.QtWidgets")
_log = logging.getLogger("limsup")


class Pump:
    """Runs what is waiting in the thread that owns the session.

    No GUI is imported here: Qt is used only where a view has already loaded it.
    """

    def __init__(self) -> None:
        self.owner = threading.current_thread()
        self._guests: list[Callable[[], object]] = []

    def add(self, guest: Callable[[], object]) -> None:
        """Call ``guest`` too, each time; adding it twice changes nothing."""
        if guest not in self._guests:
            self._guests.append(guest)

    def once(self) -> None:
        """Deliver what is queued now; does nothing in any thread but the owner's."""
        if threading.current_thread() is not self.owner:
            return
        try:
            emit_queued()
        except EmitLoopError as error:
            _log.error("a queued listener failed", exc_info=error.__cause__)
        _process_qt()
        for guest in tuple(self._guests):
            guest()

    def until(self, done: Callable[[], bool], timeout: float | None = None) -> bool:
        """Keep events running until ``done()``; False if ``timeout`` seconds pass first.

        Raises :class:`LimsupError` in any thread but the owner's, where it would wait for ever.
        """
        if threading.current_thread() is not self.owner:
            raise LimsupError(
                "waiting for a session",
                got=f"thread {threading.current_thread().name}",
                expected=f"thread {self.owner.name}, which made the session",
            )
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            self.once()
            if done():
                return True
            if end is not None and time.monotonic() >= end:
                return False
            time.sleep(0.01)


def _process_qt() -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    for name in _QT:
        module = sys.modules.get(name)
        app = module.QApplication.instance() if module is not None else None
        if app is not None:
            app.processEvents()
