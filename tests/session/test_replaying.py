"""A journal played onto another session ends in the same state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from session_cases import CLASSES, QUICK, halves, heard, scribble, tiny, truth

from limsup_widgets.data.annotators import annotate
from limsup_widgets.data.journal import Header, ImageEntry, write_journal
from limsup_widgets.errors import LimsupError
from limsup_widgets.session import Session


def fresh() -> Session:
    return Session([halves(0), halves(1)], CLASSES, model=tiny(), settings=QUICK)


def lecture(folder: Path) -> Session:
    with Session(
        [halves(0), halves(1)], CLASSES, model=tiny(), settings=QUICK, folder=folder
    ) as session:
        scribble(session)
        session.undo()
        session.redo()
        session.tune(progress=False)
        scribble(session, 1)
        session.undo()
        session.toggle_previous()
    return session


@pytest.mark.parametrize("networks_there", [True, False])
def test_equivalence(tmp_path: Path, networks_there: bool) -> None:
    """With the recorded networks, and without them by tuning again."""
    recorded = lecture(tmp_path / "s")
    if not networks_there:
        for file in (tmp_path / "s" / "models").iterdir():
            file.unlink()
    with fresh() as session:
        session.paint([9], 2)
        session.undo()
        events = heard(session, "scribbles", "model")
        gaps = [gap for _, gap in session.replay(tmp_path / "s")]
        assert all(gap >= 0 for gap in gaps) and len(gaps) == len(recorded.history())
        assert len(events) == 9
        for i in range(2):
            np.testing.assert_array_equal(session.labels(i), recorded.labels(i))
        assert session.model_sha256 == recorded.model_sha256
        session.toggle_previous()
        assert session.model_sha256 != recorded.model_sha256


def test_values_one_action_per_turn(tmp_path: Path) -> None:
    lecture(tmp_path / "s")
    with fresh() as session:
        player = session.replay(tmp_path / "s" / "journal.jsonl")
        event, gap = next(player)
        assert (event.kind, gap) == ("stroke", 0.0)
        assert (session.labels(0) > 0).sum() == 10


def test_values_on_top_of_other_scribbles(tmp_path: Path) -> None:
    """What was there before comes back when the played stroke is undone."""
    lecture(tmp_path / "s")
    with fresh() as session:
        session.paint(np.ones((64, 64), bool), 2)
        next(session.replay(tmp_path / "s"))
        session.undo()
        assert (session.labels(0) == 2).all()


def test_values_of_a_simulated_annotator(tmp_path: Path) -> None:
    strokes = annotate(truth(), seed=1)
    entry = ImageEntry(name="a", sha256="0", shape=(64, 64))
    header = Header(images=(entry,), classes=CLASSES)
    path = write_journal(tmp_path / "journal.jsonl", header, strokes)
    with Session(halves(), CLASSES, model=tiny()) as session:
        assert len(list(session.replay(path))) == len(strokes)
        painted = session.labels(0) > 0
        assert painted.any() and (session.labels(0)[painted] == truth()[painted]).mean() > 0.9
    with pytest.raises(LimsupError, match=r"session\.replay\("):
        Session.open(tmp_path)


def test_errors(tmp_path: Path) -> None:
    lecture(tmp_path / "s")
    with Session(halves(0), CLASSES, model=tiny()) as session:
        with pytest.raises(LimsupError, match=r"images of .*expected"):
            list(session.replay(tmp_path / "s"))
        with pytest.raises(LimsupError, match="no such file"):
            list(session.replay(tmp_path / "missing"))
