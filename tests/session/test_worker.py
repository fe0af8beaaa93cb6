"""The thread that tunes: whatever happens in it, someone hears how it ended."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
import torch

from limsup_widgets.errors import LimsupError
from limsup_widgets.session.worker import (
    Job,
    Outcome,
    Reporter,
    Tuner,
    explain,
    is_out_of_memory,
)


def outcome_of(job: Job, tuner: Tuner | None = None) -> Outcome:
    tuner = tuner or Tuner()
    outcomes: list[Outcome] = []
    tuner.finished.connect(outcomes.append)
    assert tuner.start(job)
    assert tuner.join(20)
    (outcome,) = outcomes
    return outcome


def test_values() -> None:
    steps: list[int] = []
    tuner = Tuner()
    tuner.progress.connect(steps.append)

    def job(report: Reporter) -> str:
        for i in range(3):
            report.step(i)
        return threading.current_thread().name

    assert outcome_of(job, tuner) == Outcome("done", "limsup-tuner")
    assert steps == [0, 1, 2] and not tuner.running


def test_values_of_threads() -> None:
    """torch's thread count is set in the thread itself, and only there."""
    before = torch.get_num_threads()
    for count in (1, 2):
        outcome = outcome_of(lambda report: torch.get_num_threads(), Tuner(threads=count))
        assert outcome.result == count
    assert torch.get_num_threads() == before


def test_cancel() -> None:
    tuner = Tuner()
    steps: list[int] = []
    reached = threading.Event()
    tuner.progress.connect(steps.append)

    def job(report: Reporter) -> None:
        for i in range(1000):
            report.step(i)
            if i == 2:
                reached.set()
                while not tuner.cancelled:
                    time.sleep(0.001)

    outcomes: list[Outcome] = []
    tuner.finished.connect(outcomes.append)
    tuner.start(job)
    assert reached.wait(20)
    assert not tuner.start(job), "a second job beside the first"
    tuner.cancel()
    assert tuner.join(20)
    assert outcomes == [Outcome("cancelled")] and steps == [0, 1, 2]
    assert outcome_of(lambda report: report.check(), tuner).status == "done"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes"),
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        LimsupError("x"),
        OSError("disk"),
    ],
)
def test_errors(error: Exception) -> None:
    def job(report: Reporter) -> None:
        raise error

    assert outcome_of(job) == Outcome("failed", error=error)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_errors_that_nobody_foresaw() -> None:
    """The thread dies with its traceback, and still says that it failed and why."""

    def job(report: Reporter) -> None:
        raise KeyError("a bug")

    outcome = outcome_of(job)
    assert outcome.status == "failed" and isinstance(outcome.error, KeyError)


def test_errors_of_listeners(caplog: pytest.LogCaptureFixture) -> None:
    tuner = Tuner()

    def broken(step: object) -> None:
        raise RuntimeError("a view with a bug")

    tuner.progress.connect(broken)
    tuner.message.connect(broken)

    def job(report: Reporter) -> int:
        report.step(1)
        report.say("hello")
        return 7

    assert outcome_of(job, tuner).result == 7
    assert "a listener of the tuner failed" in caplog.text


def test_cancel_at_the_end_of_the_program() -> None:
    """A script that ends with a job running neither waits for all of it nor aborts."""
    script = (
        "import time\n"
        "from limsup_widgets.session.worker import Tuner\n"
        "def job(report):\n"
        "    while True: report.step(1); time.sleep(0.01)\n"
        "Tuner().start(job)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_values_of_explanations() -> None:
    assert explain(LimsupError("crop", got=7)) == "crop: got 7"
    assert explain(MemoryError()).startswith("out of memory. Do: ")
    line = explain(RuntimeError("sizes\n  differ"))
    assert line == "RuntimeError: sizes differ. Do: check that the network takes (N, C, H, W)"
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert is_out_of_memory(torch.OutOfMemoryError("x: out of memory"))
    assert not is_out_of_memory(ValueError("out of memory")) and not is_out_of_memory(None)
