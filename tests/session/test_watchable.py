"""The screen: filled in the background, newest request first, the same numbers as elsewhere."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from session_cases import CLASSES, QUICK, halves, scribble, tiny, truth
from torch import nn

from limsup_widgets.learn.dropout import dropout_masks
from limsup_widgets.learn.infer import codes
from limsup_widgets.session import Session, screen, watchable
from limsup_widgets.session.screen import Part


def made(side=64, **options):
    options = {"model": tiny(), "settings": QUICK, "passes": 5} | options
    return Session([halves(0, side), halves(1, side)], CLASSES, **options)


@pytest.fixture
def small_pieces(monkeypatch):
    """Images of 64 × 64 count as large ones, in tiles of 32."""
    monkeypatch.setattr(screen, "WHOLE", 1000)
    monkeypatch.setattr(screen, "TILE", 32)


def test_values_nothing_happens_before_anyone_looks():
    with made() as session:
        scribble(session)
        session.pause(0.05)
        assert session.at_rest and session.screen.done == 0


def test_equivalence_screen_is_the_prediction():
    with made() as session:
        session.look(unsure=True)
        assert session.settle(60)
        np.testing.assert_array_equal(session.screen.codes, session.codes(0))
        for kind in "AEV":
            np.testing.assert_array_equal(session.screen.kinds[kind], session.uncertainty(0, kind))
        assert (session.screen.done, session.screen.passes, session.screen.by) == (1, 5, "network")


def test_equivalence_in_pieces(small_pieces):
    with made(passes=3) as session:
        session.look(visible=(20, 20, 50, 50), unsure=True)
        assert session.settle(60) and session.screen.done == 1
        expected = session.prob(0)
        top = np.sort(expected, axis=0)
        sure = top[-1] - top[-2] > 1e-4
        np.testing.assert_array_equal(session.screen.codes[sure], codes(expected)[sure])
        for kind in "AEV":
            np.testing.assert_allclose(
                session.screen.kinds[kind], session.uncertainty(0, kind), atol=1e-5
            )
        assert session.screen.note == ""


def test_values_visible_first_and_refined_before_the_rest(small_pieces):
    with made() as session:
        parts = []
        session._looker.progress.connect(parts.append)
        session.look(visible=(20, 20, 50, 50), unsure=True)
        assert session.settle(60)
    visible = [part for part in parts if part.box == (20, 20, 50, 50)]
    assert parts[: len(visible)] == visible
    passes = [part.moments.passes for part in visible if part.moments]
    assert passes == [2, 4, 5, 5]


def test_values_a_network_that_sees_everything_is_labelled(small_pieces):
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.Conv2d(4, 2, 1))
    with made(model=model) as session:
        session.look()
        assert session.settle(60)
        assert "approximate" in session.screen.note


def test_values_result_is_kept_for_those_who_ask():
    with made() as session:
        session.look(unsure=True)
        session.settle(60)
        known = session._predictions
        assert known.known_prob(session.model_sha256, 0) is session.prob(0)
        assert known.known_moments(session.model_sha256, 0) is session.moments(0)


def test_cancel_a_newer_request_ends_an_older_one(small_pieces, monkeypatch):
    begun = []
    fill = watchable.fill

    def noted(look, *rest):
        begun.append(look.ticket)
        fill(look, *rest)

    monkeypatch.setattr(watchable, "fill", noted)
    with made(passes=200) as session:
        session.look(unsure=True)
        while session.screen.done == 0:
            session.pause(0.001)
        session._predictions.passes = 2
        session.look(visible=(0, 0, 16, 16))
        assert session.settle(60)
        assert begun == [1, 2, 2] and session.screen.done == 1 and session.screen.passes == 2


def test_values_follows_image_and_network():
    with made() as session:
        session.look()
        session.settle(60)
        session.current = 1
        session.settle(60)
        assert session.screen.image == 1
        np.testing.assert_array_equal(session.screen.codes, session.codes(1))
        scribble(session)
        session.tune(progress=False)
        session.settle(60)
        np.testing.assert_array_equal(session.screen.codes, session.codes(1))


def test_values_ends_early_within_a_tolerance():
    with made(passes=50, tolerance=0.2) as session:
        session.look(unsure=True)
        assert session.settle(60) and 4 <= session.screen.passes < 50


def test_values_a_stroke_is_answered_at_once():
    with made(side=64, truths=[truth(), None]) as session:
        session.look()
        session.settle(60)
        session.live = True
        answers = []
        session.events.screen.connect(
            lambda _: answers.append((session.screen.by, session.screen.codes.copy()))
        )
        scribble(session)
        while not answers:
            session.pause(0.005)
        by, found = answers[0]
        painted = session.labels(0) > 0
        assert by == "quick"
        assert (found[painted] == session.labels(0)[painted]).mean() > 0.9
        assert session.wait(60) and session.settle(60)
        assert session.screen.by == "network"
        np.testing.assert_array_equal(session.screen.codes, session.codes(0))


def test_values_a_network_for_other_classes_answers_before_its_first_tune():
    with made(model=tiny(classes=3)) as session:
        session.look()
        session.settle(60)
        assert not session.ready and session.screen.by == ""
        session.live = True
        session._tuner.start = lambda job: False  # only the quick answer
        scribble(session)
        session.settle(60)
        assert session.screen.by == "quick" and set(np.unique(session.screen.codes)) == {1, 2}


def test_values_a_live_tune_takes_few_steps_a_stroke_once_all_classes_are_known():
    settings = replace(QUICK, steps=7, warm_steps=2)
    taken, falling, totals = [], [], []

    def tuned(session, *strokes):
        with session.events.scribbles.blocked():
            for row, code in strokes:
                session.paint(([row] * 10, range(5, 15)), code, 0)
        falling.append(session._request().settings.decay)
        assert (session.tuning or session.start_tune()) and session.wait(60)
        taken.append(totals[-1])

    with Session(halves(), ("a", "b", "c"), model=tiny(3), settings=settings) as session:
        session.events.progress.connect(lambda step: totals.append(step.total))
        tuned(session, (10, 1), (20, 2))
        tuned(session, (21, 2))  # not live: a person asked for it
        session.live = True
        tuned(session, (30, 1))
        tuned(session, (31, 1), (32, 2), (33, 1))
        tuned(session, (34, 1), (35, 2), (36, 1), (37, 1))
        tuned(session, (50, 3))
        tuned(session, (52, 3))
        tuned(session)
        session.undo()
        tuned(session)
        session.reset()
        tuned(session, (10, 1), (20, 2))
    assert taken == [7, 7, 2, 6, 7, 7, 2, 7, 7, 7]
    assert falling == [steps < 7 for steps in taken]


def test_values_one_class_is_not_answered():
    with made() as session:
        session.live = True
        session.look()
        session.paint(([20] * 10, range(5, 15)), 1, 0)
        assert session.settle(60) and not session.tuning and session.screen.by == "network"


def test_equivalence_looking_on_does_not_change_a_tune(monkeypatch):
    """The masks of passes hang on the network while they run: a tune must not copy them."""
    begun, ended = threading.Event(), threading.Event()

    def masked(look, boxes, module, how, report):
        with dropout_masks(module, 0, [0, 1]):
            begun.set()
            ended.wait(60)

    monkeypatch.setattr(watchable, "fill", masked)
    weights = []
    for watched in (False, True):
        with made() as session:
            scribble(session)
            if watched:
                session.look()
                assert begun.wait(60)
            session.tune(progress=False)
            if watched:
                ended.set()
            weights.append(session.model_sha256)
    assert weights[0] == weights[1]


def test_values_what_comes_late_is_not_shown():
    with made() as session:
        session.look()
        session.settle(60)
        before, late = session.screen.codes.copy(), np.zeros((2, 64, 64), np.float32)
        late[np.where(before[0, 0] == 1, 1, 0)] = 1
        ticket = session._ticket
        session._placed(Part(ticket - 1, (0, 0, 64, 64), "network", late))
        np.testing.assert_array_equal(session.screen.codes, before)
        session._placed(Part(ticket, (0, 0, 64, 64), "network", late))
        assert session.screen.codes[0, 0] != before[0, 0]


def test_values_strokes_painted_meanwhile_keep_the_quick_answer():
    with made(settings=replace(QUICK, steps=30)) as session:
        models, shown = [], []
        session.look()
        session.settle(60)
        session.live = True
        session.events.model.connect(models.append)
        session.events.screen.connect(
            lambda _: shown.append((session.model_sha256, session.screen.by))
        )
        scribble(session)
        assert session.tuning
        session.paint(([50] * 10, range(5, 15)), 1, 0)
        session.pump.until(lambda: len(models) == 2, 60)
        assert "network" not in {by for model, by in shown if model == models[0]}
        session.settle(60)
        assert len(models) == 2 and session.screen.by == "network"


def strokes(session, rounds, wrong=False):
    for n in range(rounds):
        session.paint(([4 * n] * 10, range(5, 15)), 2 if wrong and n % 4 == 3 else 1, 0)
        session.paint(([4 * n] * 10, range(45, 55)), 1 if wrong and n % 4 == 3 else 2, 0)


def test_values_held_out_strokes_teach_nobody_and_decide():
    with made(settings=replace(QUICK, hold_out=True)) as session:
        session.live = True
        session._can_answer = lambda: False  # no tune of its own yet
        strokes(session, 12)
        request = session._request()
        tested = sum(int((tests > 0).sum()) for tests in request.tests)
        taught = sum(int((labels > 0).sum()) for labels in request.labels)
        assert (tested, taught, request.strokes) == (40, 200, 4)
        del session._can_answer
        session.look()
        session.tune(progress=False)
        done = [e for e in session.history() if e.kind == "tune_end"][-1].data
        assert done["held_out"]["strokes"] == 4
        assert 0 <= done["held_out"]["network"] <= 1
        session.settle(60)
        wins = done["held_out"]["quick"] > done["held_out"]["network"]
        assert session.screen.by == ("quick" if wins else "network")


def test_values_a_test_stroke_does_not_teach_while_there_are_few():
    with made(settings=replace(QUICK, hold_out=True)) as session:
        session.live = True
        session._can_answer = lambda: False
        strokes(session, 8)
        request = session._request()
        taught = sum(int((labels > 0).sum()) for labels in request.labels)
        assert request.tests == () and taught == 140


def test_values_without_live_every_stroke_teaches():
    with made() as session:
        strokes(session, 8)
        request = session._request()
        assert request.tests == () and sum(int((y > 0).sum()) for y in request.labels) == 160


def test_cancel_closing_ends_the_work():
    session = made(passes=10_000)
    session.look(unsure=True)
    session.pause(0.05)
    session.close()
    assert session._looker.ended


def test_errors_a_failing_network_is_told_once():
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)
            self.broken = False

        def forward(self, x):
            if self.broken:
                raise RuntimeError("no such luck")
            return self.conv(x)

    with made(model=Fails()) as session:
        session.model.broken = True
        session.look()
        assert session.settle(60)
        assert "no such luck" in session.events.said[-1]
        assert torch.is_grad_enabled()


def test_values_features_are_ready_before_the_stroke():
    with made() as session:
        session.look()
        session.settle(60)
        assert session._quick is None
        session.live = True
        session.settle(60)
        assert session._quick.classifier.has((0, (0, 0, 64, 64)))
        scribble(session)
        session.wait(60)
        session.settle(60)
        assert session._quick.sha256 == session.model_sha256
        assert session._quick.classifier.has((0, (0, 0, 64, 64)))


def test_values_features_of_what_is_in_view_outlive_an_answer(small_pieces):
    """There is room for two of the four tiles, also after an answer on all of them."""
    with made() as session:
        session.look(visible=(0, 0, 16, 16))
        session.settle(60)
        session.live = True
        session.settle(60)
        quick, computed = session._quick.classifier, []
        quick.room = 2 * quick._cache.popitem()[1].nbytes
        quick._cache.clear()
        compute = quick.features
        quick.features = lambda key, x: (computed.append(key[1]), compute(key, x))
        session.look(visible=(0, 0, 16, 16))
        session.settle(60)
        assert len(computed) == 2 and computed[0] == (0, 0, 32, 32)  # no work for the bin
        session._tuner.start = lambda job: False  # only the quick answer
        scribble(session)
        assert session.settle(60) and session.screen.by == "quick" and session.screen.done == 1
        assert quick.has((0, (0, 0, 32, 32)))


def test_values_the_next_stroke_is_prepared_before_the_rest(small_pieces, monkeypatch):
    order = []
    for name in ("fill", "prepare"):
        job = getattr(watchable, name)

        def noted(*arguments, name=name, job=job):
            order.append(name)
            job(*arguments)

        monkeypatch.setattr(watchable, name, noted)
    with made() as session:
        session.live = True
        session.look(visible=(0, 0, 16, 16))
        assert session.settle(60) and order == ["fill", "prepare", "fill"]
