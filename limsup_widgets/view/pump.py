"""One pump per process: lets Qt and queued events run while a notebook's kernel is idle.

napari's own loop for notebooks makes a cell with ``await asyncio.sleep`` hang. Here asyncio
stays master, and Qt and the sessions' signals are served from it.
"""

from __future__ import annotations

import asyncio

from limsup_widgets.session.pump import Pump

PERIOD = 0.01
"""Seconds between two turns: 100 pictures a second at most, about 3 % of one core."""

_tasks: set[asyncio.Task[None]] = set()


def running() -> bool:
    """Whether a pump is at work in this process."""
    return any(not task.done() for task in _tasks)


def start() -> bool:
    """Start the pump in the running asyncio loop, unless there is one already.

    Returns
    -------
    bool
        False if no loop is running (a plain script): then the GUI's own loop must serve.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return False
    if not running():
        # asyncio keeps only weak references: without this set the task could vanish.
        _tasks.clear()
        _tasks.add(loop.create_task(_turn_for_ever(Pump()), name="limsup pump"))
    return True


async def _turn_for_ever(pump: Pump) -> None:
    while True:
        pump.once()
        await asyncio.sleep(PERIOD)
