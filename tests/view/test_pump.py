from __future__ import annotations

import asyncio
import threading

from psygnal import Signal

from limsup_widgets.view import pump


class Worker:
    said = Signal(int)


def from_thread(worker: Worker, *values: int) -> None:
    thread = threading.Thread(target=lambda: [worker.said.emit(v) for v in values])
    thread.start()
    thread.join()


def test_values() -> None:
    worker, heard = Worker(), []
    worker.said.connect(heard.append, thread="main")
    from_thread(worker, 1, 2)
    assert heard == []
    pump.turn()
    assert heard == [1, 2]


def test_a_failing_listener_stops_nobody() -> None:
    worker, heard = Worker(), []

    def listen(value: int) -> None:
        if value == 1:
            raise KeyError("broken view")
        heard.append(value)

    worker.said.connect(listen, thread="main")
    from_thread(worker, 1, 2)
    pump.turn()
    assert heard == [2]


def test_start_needs_a_loop() -> None:
    assert pump.start() is False


def test_asyncio_stays_master() -> None:
    worker, heard = Worker(), []
    worker.said.connect(heard.append, thread="main")

    async def cell() -> bool:
        first, second = pump.start(), pump.start()
        count = sum(task.get_name() == "limsup pump" for task in asyncio.all_tasks())
        from_thread(worker, 7)
        while not heard:
            await asyncio.sleep(0.01)
        return first and second and count == 1

    assert asyncio.run(cell())
    assert heard == [7]
    assert not pump.running()
