"""Long work in a plain thread: it reports, can be cancelled, and always says how it ended."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from psygnal import EmitLoopError, Signal

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.device import torch_threads

_log = logging.getLogger("limsup")
_FORESEEN = (RuntimeError, MemoryError, OSError, ValueError)
"""Errors whose one line tells enough; the traceback of any other is printed as well."""


class Cancelled(Exception):
    """Raised inside a job by its next report, once it was cancelled."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes
    ----------
    status
        ``"done"``, ``"cancelled"`` or ``"failed"``.
    result
        What the job returned; None unless it is done.
    error
        Why it failed; None unless it did.
    """

    status: Literal["done", "cancelled", "failed"]
    result: Any = None
    error: BaseException | None = None


class Reporter:
    """What a job uses to tell how far it is."""

    def __init__(self, tuner: Tuner) -> None:
        self._tuner = tuner

    def step(self, step: object) -> None:
        """Report progress; raises :class:`Cancelled` if nobody wants the result any more."""
        self.check()
        self._tuner.tell(self._tuner.progress, step)

    def check(self) -> None:
        """Raise :class:`Cancelled` if cancelled, or if the program has come to its end.

        The thread is no daemon, as one that is torn off inside torch may abort the process.
        """
        if self._tuner.cancelled or not threading.main_thread().is_alive():
            raise Cancelled

    def say(self, line: str) -> None:
        """Tell the user one line."""
        self._tuner.tell(self._tuner.message, line)


Job = Callable[[Reporter], object]


class Tuner:
    """Runs one job at a time in a thread of its own, away from any GUI.

    The thread is no Qt worker: no closed window ends it, and no error in it is swallowed. Signals
    are emitted in it; who wants them elsewhere connects with ``thread=…``, as a session does.

    Parameters
    ----------
    threads
        CPU threads of torch, set inside the thread: a setting made outside does not reach it.

    Attributes
    ----------
    progress : Signal(object)
        What the job reports.
    message : Signal(str)
        What the job tells the user.
    finished : Signal(Outcome)
        Emitted once per job, whatever happened in it.
    """

    progress = Signal(object)
    message = Signal(str)
    finished = Signal(object)

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self._cancel = threading.Event()
        self._busy = False
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether a job is in progress; no longer when ``finished`` is emitted."""
        return self._busy

    @property
    def ended(self) -> bool:
        """Whether there is no thread any more, so that all its signals have been emitted."""
        return self._thread is None or not self._thread.is_alive()

    @property
    def cancelled(self) -> bool:
        """Whether the job is to stop at its next report."""
        return self._cancel.is_set()

    def start(self, job: Job) -> bool:
        """Begin ``job``; False, and nothing happens, while another one runs."""
        if self.running:
            return False
        self._cancel.clear()
        self._busy = True
        self._thread = threading.Thread(target=self._work, args=(job,), name="limsup-tuner")
        self._thread.start()
        return True

    def cancel(self) -> None:
        """Ask the job to stop; it does so at its next report."""
        self._cancel.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread to end; whether it has. Does not deliver its signals."""
        if self._thread is not None:
            self._thread.join(timeout)
        return self.ended

    def tell(self, signal: Any, value: object) -> None:
        """Emit; an error in a listener is logged and does not reach the job."""
        try:
            signal.emit(value)
        except EmitLoopError as error:
            _log.error("a listener of the tuner failed", exc_info=error.__cause__)

    def _work(self, job: Job) -> None:
        """Any error ends in ``finished``, also one that nobody foresaw."""
        outcome: Outcome | None = None
        try:
            with torch_threads(self.threads):
                outcome = Outcome("done", job(Reporter(self)))
        except Cancelled:
            outcome = Outcome("cancelled")
        except _FORESEEN as error:
            outcome = Outcome("failed", error=error)
        finally:
            self._busy = False
            self.tell(self.finished, outcome or Outcome("failed", error=sys.exc_info()[1]))


def explain(error: BaseException | None) -> str:
    """One line for the user: what happened, and what to do about it."""
    if isinstance(error, LimsupError):
        return str(error)
    if is_out_of_memory(error):
        return "out of memory. Do: close other programs, or lower settings.batch or settings.crop"
    text = " ".join(str(error).split())[:160]
    return f"{type(error).__name__}: {text}. Do: check that the network takes (N, C, H, W)"


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out, on the accelerator or in the machine."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and any(sign in text for sign in ("out of memory", "not enough memory", "can't allocate"))
    )
