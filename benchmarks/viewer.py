"""Does the window stay alive while a network is tuned, and how soon is a stroke drawn?

``python benchmarks/viewer.py`` opens a napari window, on a virtual display where there is none. A
timer that should tick every 20 ms says how late it is: while limsup tunes in its thread, and while
the same steps run in the window's own thread, as a plain call in a button's slot does.
"""

from __future__ import annotations

import copy
import os
import shutil
import statistics
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import finish, options, record

from limsup_widgets.data.ihc import IHC_CLASSES, ihc_image
from limsup_widgets.learn.infer import predict
from limsup_widgets.learn.tune import TuneSettings, tune_steps
from limsup_widgets.session import Session
from limsup_widgets.view.display import display_available, viewer_available

SCREEN = "-screen 0 1400x1000x24 +extension GLX -noreset"
"""Without ``-noreset`` the server starts anew after the first probe and refuses the second."""
PERIOD = 0.02
REST, OURS, NAIVE = "window at rest", "limsup", "tune in the window's thread"
IDLE_SECONDS = 1.0
TOLERANCE = 0.6
"""Of the guard: the longest of a thousand delays is one tick's luck, 19 to 30 in four runs."""


def on_a_display() -> None:
    """Start over under ``xvfb-run`` if no display answers."""
    if display_available()[0]:
        return
    if shutil.which("xvfb-run") is None or "LIMSUP_XVFB" in os.environ:
        sys.exit(f"viewer: {display_available()[1]}, and xvfb-run gives none")
    os.environ["LIMSUP_XVFB"] = "1"
    command = ["xvfb-run", "-a", "-s", SCREEN, sys.executable, *sys.argv]
    os.execvp(command[0], command)


class Timer:
    """How late a timer of 20 ms ticks, in seconds, one number a tick."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.late: list[float] = []
        self.timer = QTimer()
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.timeout.connect(self._tick)
        self.last = time.perf_counter()
        self.timer.start(round(1000 * PERIOD))

    def _tick(self) -> None:
        now = time.perf_counter()
        self.late.append(max(0.0, now - self.last - PERIOD))
        self.last = now

    def stop(self) -> list[float]:
        """Every lateness, the tick that is still due included."""
        self.timer.stop()
        self._tick()
        return self.late


def run_until(done: Callable[[], bool]) -> None:
    """Qt's own loop, looked at every few milliseconds, until ``done``."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop, watch = QEventLoop(), QTimer()
    watch.timeout.connect(lambda: loop.quit() if done() else None)
    watch.start(5)
    loop.exec()
    watch.stop()


def pause(seconds: float) -> None:
    """Let the window live for a while."""
    end = time.perf_counter() + seconds
    run_until(lambda: time.perf_counter() >= end)


def naive_tune(session: Session) -> np.ndarray:
    """What a button's slot does that calls training and prediction itself."""
    network = copy.deepcopy(session.model)
    x = session.normalizer(session.images[0].array)
    for _ in tune_steps(network, [x], [session.labels(0)], session.settings):
        pass
    return predict(network, x).argmax(0) + 1


def in_the_windows_thread(view: Any, session: Session) -> None:
    """The naive way, started from the window's loop."""
    from qtpy.QtCore import QTimer

    state = {"done": False}

    def slot() -> None:
        view.layers.prediction.data = naive_tune(session).astype(np.uint8)
        state["done"] = True

    QTimer.singleShot(0, slot)
    run_until(lambda: state["done"])


def in_limsups_thread(view: Any, session: Session) -> None:
    """What the button *Tune* does."""
    session.start_tune()
    run_until(lambda: not session.tuning)


def at_rest(view: Any, session: Session) -> None:
    """Nothing."""
    pause(IDLE_SECONDS)


WAYS = {NAIVE: in_the_windows_thread, OURS: in_limsups_thread, REST: at_rest}


def lateness(view: Any, session: Session, rounds: int) -> dict[str, list[list[float]]]:
    """Way → round → every lateness."""
    found: dict[str, list[list[float]]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            pause(0.2)
            timer = Timer()
            way(view, session)
            found[name].append(timer.stop())
    return found


def stroke(view: Any, row: int, column: int, moves: int = 6) -> list[float]:
    """Paint from a place near the middle; seconds from each move of the mouse to its picture."""
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    # napari has no public way to the widget that takes the mouse, nor to the picture's events.
    canvas = view.viewer.window._qt_viewer.canvas
    drawn: list[float] = []

    def note(_: object) -> None:
        drawn.append(time.perf_counter())

    canvas._scene_canvas.events.draw.connect(note, position="last")
    middle = QPoint(canvas.native.width() // 2, canvas.native.height() // 2)
    place, button = middle + QPoint(column, row), Qt.MouseButton.LeftButton
    QTest.mouseMove(canvas.native, place)
    QTest.mousePress(canvas.native, button, Qt.KeyboardModifier.NoModifier, place)
    seconds = []
    for _ in range(moves):
        place += QPoint(8, 0)
        pause(PERIOD)
        drawn.clear()
        began = time.perf_counter()
        QTest.mouseMove(canvas.native, place)
        run_until(lambda: bool(drawn))
        seconds.append(drawn[0] - began)
    QTest.mouseRelease(canvas.native, button, Qt.KeyboardModifier.NoModifier, place)
    canvas._scene_canvas.events.draw.disconnect(note)
    return seconds


def frames(view: Any, session: Session, strokes: int) -> dict[str, list[float]]:
    """Move of the mouse to picture, while painting: at rest, and while a tune runs."""
    found: dict[str, list[float]] = {REST: [], "while limsup tunes": []}
    for column, (name, values) in zip((-150, 50), found.items(), strict=True):
        for number in range(strokes):
            if name != REST and not session.tuning:
                session.start_tune()
                pause(0.1)
            values += stroke(view, 20 * number - 80, column)
        session.cancel()
        session.wait()
    return found


def opened(asked: Namespace) -> tuple[Any, Session]:
    """A window on the stained section with a stroke of each class, tuned once."""
    from limsup_widgets.view.napari_view import NapariView

    image = ihc_image().array[: asked.side, : asked.side]
    session = Session(image, IHC_CLASSES, settings=TuneSettings(steps=asked.steps))
    flat = np.arange(asked.side * asked.side).reshape(asked.side, asked.side)
    for code in range(1, len(IHC_CLASSES) + 1):
        row = code * asked.side // 4
        session.paint(flat[row : row + 6, asked.side // 4 : 3 * asked.side // 4].ravel(), code)
    view = NapariView(session)
    pause(0.5)
    session.tune(progress=False)
    return view, session


def milliseconds(values: list[float]) -> list[float]:
    """Median, 95th percentile and largest."""
    return [1000 * float(np.percentile(values, share)) for share in (50, 95, 100)]


def main() -> None:
    """Open, measure, write."""
    asked = options(__doc__, side=(512, 128), steps=(40, 4), rounds=(3, 1), strokes=(3, 2))
    on_a_display()
    available, reason = viewer_available()
    if not available:
        sys.exit(f"viewer: {reason}")
    os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp(prefix="napari-")) / "settings.yaml")
    view, session = opened(asked)
    late = lateness(view, session, asked.rounds)
    drawn = {} if asked.ratios_only else frames(view, session, asked.strokes)
    view.close()
    session.close()
    finish(
        record(
            "viewer",
            f"Longest delay of a 20 ms timer while a network is tuned, {asked.side}×{asked.side}",
            {name: [max(values) for values in rounds] for name, rounds in late.items()},
            ours=OURS,
            naive=NAIVE,
            options=asked,
            **more(late, drawn),
        ),
        asked,
    )


def more(late: dict[str, list[list[float]]], drawn: dict[str, list[float]]) -> dict[str, Any]:
    """Tables, figure and remarks."""
    together = {name: [v for values in rounds for v in values] for name, rounds in late.items()}
    head = ["", "median, ms", "95 % below, ms", "largest, ms"]
    tables = [
        {
            "title": "How late the timer ticks",
            "head": head,
            "rows": [[name, *milliseconds(values)] for name, values in together.items()],
        }
    ]
    found: dict[str, Any] = {"tables": tables, "code": ["naive_tune"], "tolerance": TOLERANCE}
    if drawn:
        rows = [[name, *milliseconds(values)] for name, values in drawn.items()]
        tables.append({"title": "From the hand to the picture", "head": head, "rows": rows})
        bars = {name: 1000 * statistics.median(values) for name, values in drawn.items()}
        spread = {name: [1000 * min(v), 1000 * max(v)] for name, v in drawn.items()}
        what = {"title": "From a move of the brush to its picture", "x": "milliseconds"}
        found["figures"] = [{"kind": "bars", **what, "bars": bars, "spread": spread}]
        found["notes"] = [
            "The picture is drawn by the processor here where there is no graphics card."
        ]
    return found


if __name__ == "__main__":
    main()
