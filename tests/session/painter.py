"""A session in a process of its own, to be killed: ``python painter.py FOLDER MODE``.

It prints one line per stroke that was reported as saved. MODE says where it waits for its end:
``paint`` and ``tune`` never wait, ``write`` stops in the middle of a write, ``acknowledged`` right
after a stroke was reported as saved.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from session_cases import CLASSES, QUICK, halves, tiny

from limsup_widgets.data.journal import writing
from limsup_widgets.session import Session

STOP_AT = 12


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def sleep_for_ever() -> None:
    while True:
        time.sleep(1)


def stop_inside_a_write() -> None:
    """From now on half a line is written, and then nothing more happens."""

    def half(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data[: len(data) // 2])
        say("inside")
        sleep_for_ever()

    writing.write_all = half


def main(folder: str, mode: str) -> None:
    session = Session(halves(), CLASSES, model=tiny(), folder=folder, settings=QUICK)
    session.paint(([60] * 4, range(30, 34)), 2)
    if mode == "tune":
        session.paint([0], 1)
        session.settings = replace(QUICK, steps=1_000_000)
        session.start_tune()
    for number in range(64 * 60):
        if mode == "write" and number == STOP_AT:
            stop_inside_a_write()
        session.paint([number], 1)
        if mode == "tune":
            session.pump.once()
        session.flush()
        say(f"saved {number}")
        if mode == "acknowledged" and number == STOP_AT:
            say("waiting")
            sleep_for_ever()


if __name__ == "__main__":
    main(*sys.argv[1:])
