"""Tuning through the session: the new network comes whole, or the old one stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from session_cases import CLASSES, QUICK, halves, heard, scribble, tiny, truth
from torch import Tensor, nn

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.tune import TuneSettings, TuneStep, fine_tune
from limsup_widgets.learn.weights import model_sha256
from limsup_widgets.session import Session, tuning


def test_values_tuning_learns(session: Session) -> None:
    scribble(session)
    before = session.dice(0)
    session.settings = replace(QUICK, steps=25)
    events = heard(session, "tuning", "model", "prediction", "progress")
    session.tune(progress=False)
    names = [name if name == "progress" else (name, value) for name, value in events]
    sha = session.model_sha256
    assert names == [
        ("tuning", "started"),
        *["progress"] * 25,
        ("model", sha),
        ("prediction", 0),
        ("tuning", "done"),
    ]
    assert session.dice(0).mean() > max(0.9, before.mean())
    change = session.compare(0)
    assert change.dice_before is not None and change.dice_after is not None
    np.testing.assert_allclose(change.dice_after, session.dice(0))
    np.testing.assert_allclose(change.dice_before, before)
    assert change.changed.sum() == 2 * change.where.sum() > 0


def test_equivalence_with_plain_tuning(session: Session) -> None:
    """The thread, the events and the swap add nothing to the arithmetic."""
    scribble(session)
    labels = [session.labels(0)]
    inputs = [session.normalizer(halves(0))]
    session.tune(progress=False)
    assert session.model_sha256 == model_sha256(fine_tune(tiny(), inputs, labels, QUICK))


def test_equivalence_of_both_ways(session: Session) -> None:
    scribble(session)
    session.tune(progress=False)
    first = session.model_sha256
    session.reset()
    scribble(session)
    assert session.start_tune() and session.tuning
    assert session.wait(60) and session.model_sha256 == first


def test_values_warm_start(session: Session) -> None:
    """The second round begins where the first ended."""
    scribble(session)
    session.tune(progress=False)
    one = session.model
    session.tune(progress=False)
    two = fine_tune(one, [session.normalizer(halves(0))], [session.labels(0)], QUICK)
    assert session.model_sha256 == model_sha256(two)


def test_values_afresh(session: Session) -> None:
    """As if it had never been tuned before; what was in use is one step back."""
    scribble(session)
    session.tune(progress=False)
    first = session.model_sha256
    session.tune(progress=False)
    second = session.model_sha256
    session.tune(progress=False, afresh=True)
    assert first != second and session.model_sha256 == first
    session.toggle_previous()
    assert session.model_sha256 == second


def test_values_of_toggle_and_reset(session: Session) -> None:
    scribble(session)
    start = session.model_sha256
    codes = session.codes(0)
    session.tune(progress=False)
    tuned = session.model_sha256
    session.toggle_previous()
    assert session.model_sha256 == start and (session.codes(0) == codes).all()
    session.toggle_previous()
    assert session.model_sha256 == tuned
    session.reset()
    assert session.model_sha256 == start and not session.has_previous
    assert not session.labels(0).any() and not session.can_undo
    assert [e.kind for e in session.history()][-3:] == ["switch", "switch", "reset"]


def test_cancel(session: Session) -> None:
    scribble(session)
    session.settings = replace(QUICK, steps=100_000)
    before = session.model_sha256
    events = heard(session, "tuning", "progress", "message")
    assert session.start_tune()
    assert not session.start_tune(), "a second tune beside the first"
    with pytest.raises(LimsupError, match="one is running"):
        session.tune()
    session.pump.until(lambda: "progress" in [name for name, _ in events])
    assert not session.wait(0.01)
    session.cancel()
    assert session.wait(60)
    steps = sum(name == "progress" for name, _ in events)
    assert steps < 1000 and events[-1] == ("tuning", "cancelled")
    assert session.model_sha256 == before and not session.has_previous
    assert session.history()[-1].data == {"status": "cancelled"}
    assert session._tuner.join(60)
    assert "limsup-tuner" not in {thread.name for thread in threading.enumerate()}


def test_cancel_by_interrupt(session: Session) -> None:
    """Ctrl-C in a waiting cell leaves the previous network, and the session goes on."""
    scribble(session)
    session.settings = replace(QUICK, steps=100_000)
    before = session.model_sha256

    def interrupt() -> None:
        if session.tuning:
            raise KeyboardInterrupt

    session.add_pump(interrupt)
    with pytest.raises(KeyboardInterrupt):
        session.tune(progress=False)
    assert not session.tuning and session.model_sha256 == before
    assert session.history()[-1].data == {"status": "cancelled"}


def test_cancel_by_close(session: Session) -> None:
    scribble(session)
    session.settings = replace(QUICK, steps=100_000)
    session.start_tune()
    session.close()
    assert session.history()[-1].data == {"status": "cancelled"}


def test_values_painting_while_tuning(session: Session) -> None:
    """A tune works on what was painted when it began."""
    scribble(session)
    expected = fine_tune(tiny(), [session.normalizer(halves(0))], [session.labels(0)], QUICK)
    session.start_tune()
    session.paint(np.ones((64, 64), bool), 2)
    assert session.wait(60)
    assert session.model_sha256 == model_sha256(expected)
    assert (session.labels(0) == 2).all()


@pytest.mark.parametrize("codes", [(), (1,), (2,)])
def test_errors_of_scribbles(session: Session, codes: Sequence[int]) -> None:
    for code in codes:
        session.paint([code], code)
    told = heard(session, "message", "tuning")
    assert not session.start_tune() and told[0][0] == "message" and len(told) == 1
    with pytest.raises(LimsupError, match="scribbles"):
        session.tune()


def stopping(error: Exception, after: int = 2, times: int = 99) -> Any:
    """Steps of a tune that raise ``error``, the first ``times`` times it is run."""
    real, count = tuning.tune_steps, [0]

    def steps(*arguments: Any, **options: Any) -> Iterator[TuneStep]:
        count[0] += 1
        for step in real(*arguments, **options):
            if count[0] <= times and step.step == after:
                raise error
            yield step

    return steps


@pytest.mark.parametrize("error", [RuntimeError("sizes differ"), ValueError("bad"), OSError("x")])
def test_errors_in_a_tune(
    session: Session, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    scribble(session)
    before = session.model_sha256
    monkeypatch.setattr(tuning, "tune_steps", stopping(error))
    events = heard(session, "tuning", "message")
    session.start_tune()
    session.wait(60)
    assert events[-1] == ("tuning", "failed") and events[1][0] == "message"
    assert str(error) in events[1][1] and "previous network stays" in events[1][1]
    assert session.model_sha256 == before
    with pytest.raises(LimsupError, match=str(error)):
        session.tune(progress=False)
    monkeypatch.undo()
    session.tune(progress=False)
    assert session.model_sha256 != before


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_errors_out_of_memory_goes_on_smaller(
    session: Session, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Same result as asking for the smaller batch at once; and it is said."""
    scribble(session)
    session.settings = replace(QUICK, batch=8)
    monkeypatch.setattr(tuning, "tune_steps", stopping(error, times=2))
    told = heard(session, "message")
    session.tune(progress=False)
    assert [line for _, line in told] == [
        f"out of memory: tuning starts over with {size} crops a step" for size in (4, 2)
    ]
    inputs, labels = [session.normalizer(halves(0))], [session.labels(0)]
    assert session.model_sha256 == model_sha256(fine_tune(tiny(), inputs, labels, QUICK))


def test_errors_out_of_memory_for_good(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    scribble(session)
    monkeypatch.setattr(tuning, "tune_steps", stopping(MemoryError()))
    with pytest.raises(LimsupError, match=r"out of memory\. Do: close other programs"):
        session.tune(progress=False)
    assert not session.has_previous


def test_errors_of_an_exploding_loss(session: Session) -> None:
    scribble(session)
    session.settings = replace(QUICK, lr=1e30)
    with pytest.raises(LimsupError, match=r"loss at step .*Do: lower settings\.lr"):
        session.tune(progress=False)
    assert all(torch.isfinite(p).all() for p in session.model.parameters())


def test_errors_of_listeners_do_not_stop_a_tune(session: Session) -> None:
    scribble(session)

    def broken(value: object) -> None:
        raise RuntimeError("a view with a bug")

    for name in ("progress", "tuning", "model", "prediction"):
        session.events[name].connect(broken)
    session.tune(progress=False)
    assert session.has_previous and not session.tuning


class Foreign(nn.Module):
    """A network that limsup has never heard of, without dropout."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Conv2d(channels, 6, 3, padding=1)
        self.out = nn.Conv2d(6, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.body(x)))


@pytest.mark.parametrize(("channels", "classes"), [(3, 2), (3, 5), (1, 2), (1, 3)])
def test_values_of_foreign_networks(channels: int, classes: int) -> None:
    """Any module will do; one for other channels or classes is adapted by the first tune."""
    image = halves() if channels == 3 else halves()[..., 0]
    network = Foreign(3, 2)
    with Session(image, CLASSES[:2] + tuple("abc"[: classes - 2]), model=network) as session:
        assert session.ready == ((channels, classes) == (3, 2))
        assert session.codes(0).any() == session.ready
        scribble(session)
        session.settings = TuneSettings(steps=20, batch=2, crop=32, lr=1e-2)
        session.tune(progress=False)
        assert session.ready and session.prob(0).shape == (classes, 64, 64)
        assert (session.codes(0) == truth()).mean() > 0.9
        assert session.moments(0).passes == 1 and not session.moments(0).epistemic.any()
        assert session.where_next()
    assert network.out.out_channels == 2, "the module that was given stays as it was"


class Shrinking(Foreign):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, :, ::2, ::2]


@pytest.mark.parametrize(
    ("network", "line"),
    [
        (Shrinking(3, 2), "output of the model: got"),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(9, 2, 1)), "model: got Given groups=1"),
    ],
)
def test_errors_of_foreign_networks(network: nn.Module, line: str) -> None:
    with pytest.raises(LimsupError, match=line):
        Session(halves(), CLASSES, model=network)


def test_values_of_uncertainty_weighting(session: Session) -> None:
    scribble(session)
    session.settings = replace(QUICK, steps=20)
    session.tune(progress=False)
    session.tune(progress=False)
    flat = session.model_sha256
    session.toggle_previous()
    session.settings = replace(QUICK, steps=20, weighting="uncertainty")
    session.tune(progress=False)
    assert session.model_sha256 != flat


def test_values_of_adoption(session: Session) -> None:
    scribble(session)
    other = fine_tune(tiny(), [session.normalizer(halves(0))], [session.labels(0)], QUICK)
    session.adopt(other)
    assert session.model_sha256 == model_sha256(other) and session.has_previous
    with pytest.raises(LimsupError, match="other channels or classes"):
        session.adopt(tiny(classes=3))


def test_values_of_the_cache(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result is computed once per network and image, and never shown for another network."""
    from limsup_widgets.session import predictions

    calls: list[int] = []
    real = predictions.predict

    def predict(*arguments: Any) -> Any:
        calls.append(1)
        return real(*arguments)

    monkeypatch.setattr(predictions, "predict", predict)
    first = session.prob(0)
    assert session.prob(0) is first and len(calls) == 1
    scribble(session)
    session.tune(progress=False)
    assert (session.prob(0) != first).any() and len(calls) == 1, "predicted by the tune itself"
    session.toggle_previous()
    assert session.prob(0) is first
    session.prob(1)
    assert len(calls) == 2


def test_equivalence_while_the_owner_predicts(session: Session) -> None:
    """Monte Carlo passes over the old network while the new one is made: neither is disturbed."""
    scribble(session)
    expected = fine_tune(tiny(), [session.normalizer(halves(0))], [session.labels(0)], QUICK)
    before = session.moments(0)
    session.start_tune()
    while not session.wait(0):
        session._predictions._kept.clear()
        if not session.has_previous:
            np.testing.assert_array_equal(session.moments(0).mean, before.mean)
    assert session.model_sha256 == model_sha256(expected)


def test_errors_accelerator_full(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prediction that does not fit there is made in ordinary memory."""
    from limsup_widgets.session import predictions

    real, calls = predictions.predict, []

    def predict(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(*arguments)

    monkeypatch.setattr(predictions, "predict", predict)
    assert session.prob(0).shape == (2, 64, 64) and len(calls) == 2


def test_values_of_the_room(session: Session) -> None:
    session._predictions.room = session.prob(0).nbytes
    session.prob(1)
    assert list(session._predictions._kept) == [("prob", session.model_sha256, 1, (0, 0, 64, 64))]


def test_errors_waiting_in_another_thread(session: Session) -> None:
    caught: list[Exception] = []

    def wait() -> None:
        try:
            session.wait(1)
        except LimsupError as error:
            caught.append(error)

    thread = threading.Thread(target=wait, name="elsewhere")
    thread.start()
    thread.join()
    assert "got thread elsewhere" in str(caught[0])


def test_values_of_the_bar(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    scribble(session)
    session.tune()
    shown = capsys.readouterr().err
    assert "4/4" in shown and shown.isascii()
    session.tune(progress=False)
    assert not capsys.readouterr().err


def test_values_of_pause(session: Session) -> None:
    calls: list[float] = []
    session.add_pump(lambda: calls.append(time.monotonic()))
    session.pause(0.05)
    assert len(calls) > 1
