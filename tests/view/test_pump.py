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


def in_a_cell(worker: Worker, heard: list[int], wanted: int) -> None:
    async def cell() -> None:
        assert pump.start()
        from_thread(worker, 1, 2)
        while len(heard) < wanted:
            await asyncio.sleep(0.01)

    asyncio.run(cell())


def test_asyncio_stays_master() -> None:
    worker, heard = Worker(), []
    worker.said.connect(heard.append, thread="main")
    in_a_cell(worker, heard, 2)
    assert heard == [1, 2]
    assert not pump.running()


def test_a_failing_listener_stops_nobody() -> None:
    worker, heard = Worker(), []

    def listen(value: int) -> None:
        if value == 1:
            raise KeyError("broken view")
        heard.append(value)

    worker.said.connect(listen, thread="main")
    in_a_cell(worker, heard, 1)
    assert heard == [2]


def test_one_pump_per_process() -> None:
    async def cell() -> int:
        pump.start()
        pump.start()
        return sum(task.get_name() == "limsup pump" for task in asyncio.all_tasks())

    assert asyncio.run(cell()) == 1


def test_start_needs_a_loop() -> None:
    assert pump.start() is False
