"""One pump per process: lets Qt and queued events run while a notebook's kernel is idle.

napari's own loop for notebooks makes a cell with ``await asyncio.sleep`` hang. Here asyncio
stays master, and Qt is served from it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from psygnal import EmitLoopError, emit_queued

log = logging.getLogger(__name__)
PERIOD = 0.01
"""Seconds between two turns: 100 pictures a second at most, about 3 % of one core."""

_servers: list[Callable[[], None]] = []
_tasks: set[asyncio.Task[None]] = set()


def serve(process: Callable[[], None]) -> None:
    """Have `process` (for Qt: ``QApplication.processEvents``) called at every turn of the pump.

    Asked twice for the same callable, it is called once.
    """
    if process not in _servers:
        _servers.append(process)


def turn() -> None:
    """Deliver what waits: Qt events, then signals that other threads queued for this one.

    Call it from the main thread only. A listener that raises is reported to the log; the rest of
    the queue still gets through.
    """
    for process in _servers:
        process()
    while True:
        try:
            emit_queued()
        except EmitLoopError:
            log.exception("a view failed on an event of the session")
        else:
            return


def running() -> bool:
    """Whether a pump is at work in this process."""
    return any(not task.done() for task in _tasks)


def start() -> bool:
    """Start the pump in the running asyncio loop, unless there is one already.

    Returns
    -------
    bool
        False if no loop is running (a plain script): then the caller's own event loop must turn.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return False
    if not running():
        _tasks.clear()
        _tasks.add(loop.create_task(_pump(), name="limsup pump"))
    return True


async def _pump() -> None:
    while True:
        turn()
        await asyncio.sleep(PERIOD)
