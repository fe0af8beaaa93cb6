from __future__ import annotations

import numpy as np
import pytest

from limsup_widgets.errors import LimsupError
from limsup_widgets.view.controls import Controls


@pytest.fixture
def heard() -> list[str]:
    return []


def test_a_mistake_becomes_one_line(scribbled, heard) -> None:
    controls = Controls(scribbled(), heard.append)
    assert controls.act("toggle_previous") is None
    assert len(heard) == 1 and "tune first" in heard[0]


def test_other_errors_are_not_hidden(scribbled, heard) -> None:
    with pytest.raises(ZeroDivisionError):
        Controls(scribbled(), heard.append).guard(lambda: 1 / 0)


def test_reset_asks_once_more(scribbled, heard) -> None:
    session = scribbled()
    controls = Controls(session, heard.append)
    assert controls.act("reset") is False
    controls.act("undo")
    assert controls.act("reset") is False
    assert session.labels(0).any()
    assert controls.act("reset") is True
    assert not session.labels(0).any()


def test_undo_and_redo_say_when_there_is_nothing(make_session, heard) -> None:
    controls = Controls(make_session(), heard.append)
    controls.act("undo")
    controls.act("redo")
    assert heard == ["nothing to undo", "nothing to redo"]


def test_tuning_afresh_begins_with_the_first_network(scribbled, heard) -> None:
    session = scribbled()
    controls, models = Controls(session, heard.append), []
    for action in ("tune", "tune", "tune_afresh"):
        controls.act(action)
        assert session.wait(60)
        models.append(session.model_sha256)
    assert models[0] != models[1] and models[2] == models[0] and heard == []


def test_places_are_walked_and_ranked_anew(scribbled, heard) -> None:
    controls = Controls(scribbled(), heard.append)
    first = controls.act("next_region")
    walked = [first] + [controls.act("next_region") for _ in controls.regions[1:]]
    assert walked == controls.regions
    assert controls.act("next_region") == first
    controls.forget_places()
    assert controls.place == -1


def test_values(scribbled, heard) -> None:
    session = scribbled()
    controls = Controls(session, heard.append)
    assert controls.comparison() is None
    session.tune(progress=False)
    assert controls.comparison().changed.shape == (2,)
    assert np.array_equal(controls.dice(), session.dice(0))
    session.look(unsure=True)
    assert session.settle(60)
    total = controls.uncertainty()
    controls.kind = "E"
    epistemic = controls.uncertainty()
    controls.kind = "A"
    assert np.allclose(total, epistemic + controls.uncertainty(), atol=1e-6)


def test_accept_without_a_folder_says_what_to_do(scribbled, heard) -> None:
    Controls(scribbled(), heard.append).act("accept")
    assert "session.save(folder)" in heard[-1]


def test_accept_says_where(scribbled, heard, tmp_path) -> None:
    session = scribbled(folder=tmp_path / "case")
    Controls(session, heard.append).act("accept")
    assert str(tmp_path / "case") in heard[-1]


def test_unknown_kind_is_a_line(scribbled, heard) -> None:
    controls = Controls(scribbled(), heard.append)
    controls.kind = "Q"  # type: ignore[assignment]
    assert controls.uncertainty() is None
    assert heard
    assert isinstance(LimsupError("x"), ValueError)
