"""Painting, undoing, asking: the session as a view uses it, without tuning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from session_cases import CLASSES, QUICK, halves, heard, scribble, tiny, truth

from limsup_widgets.errors import LimsupError
from limsup_widgets.session import Session


def test_values_of_painting(session: Session) -> None:
    events = heard(session, "scribbles", "image")
    stroke = session.paint([0, 1, 2, 64], 1, seconds=1.5)
    assert stroke is not None and stroke.seconds == 1.5
    assert session.labels(0)[:2, :4].tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]
    assert session.paint([0, 1], 1) is None
    session.paint(np.eye(64, dtype=bool), 2, image=1)
    session.paint(([5], [5]), 0, image=1)
    assert (session.labels(1) == 2).sum() == 63
    assert events == [("scribbles", 0), ("scribbles", 1), ("scribbles", 1)]
    assert [event.kind for event in session.history()] == ["stroke", "stroke", "erase"]


def test_values_of_undo_across_images(session: Session) -> None:
    session.paint([0], 1, image=0)
    session.paint([0], 2, image=1)
    events = heard(session, "scribbles", "image")
    assert session.can_undo and not session.can_redo
    session.undo()
    assert not session.labels(1).any() and session.current == 1
    session.undo()
    assert not session.labels(0).any() and session.current == 0
    assert session.undo() is None and not session.can_undo
    session.redo()
    session.redo()
    assert session.redo() is None
    assert (session.labels(0)[0, 0], session.labels(1)[0, 0]) == (1, 2)
    assert events[:4] == [("scribbles", 1), ("image", 1), ("scribbles", 0), ("image", 0)]
    assert [event.kind for event in session.history()][2:] == ["undo", "undo", "redo", "redo"]


def test_values_new_stroke_ends_redo(session: Session) -> None:
    session.paint([0], 1)
    session.undo()
    session.paint([1], 1)
    assert not session.can_redo and session.redo() is None


def test_values_of_import(session: Session) -> None:
    session.paint([0, 1], 1)
    codes = np.zeros((64, 64), np.int64)
    codes[0, 1:4] = 2
    session.import_labels(codes)
    assert session.labels(0)[0, :5].tolist() == [1, 2, 2, 2, 0]
    session.undo()
    assert session.labels(0)[0, :5].tolist() == [1, 1, 0, 0, 0]


def test_values_labels_are_a_copy_and_results_are_not_writable(session: Session) -> None:
    session.labels(0)[:] = 1
    assert not session.labels(0).any()
    with pytest.raises(ValueError, match="read-only"):
        session.prob(0)[0, 0, 0] = 1


def test_shapes(session: Session) -> None:
    assert session.prob(0).shape == (2, 64, 64)
    assert session.codes(1).shape == (64, 64) and set(np.unique(session.codes(1))) <= {1, 2}
    moments = session.moments(0)
    assert moments.passes == 3 and moments.epistemic.any()
    total = session.uncertainty(0, "A") + session.uncertainty(0, "E")
    np.testing.assert_allclose(session.uncertainty(0, "V"), total, atol=1e-6)
    assert session.dice().shape == (2,)
    assert session.truth(1) is None


def test_values_of_where_next(session: Session) -> None:
    here = session.where_next(3)
    assert {region.image for region in here} == {0}
    scores = [region.score for region in session.where_next(4, "all")]
    assert len(scores) == 4 and scores == sorted(scores, reverse=True)
    best = here[0]
    session.paint(([best.y], [best.x]), 1)
    assert (best.y, best.x) not in {(region.y, region.x) for region in session.where_next(3)}
    assert {region.image for region in session.where_next(2, image=1)} == {1}


@pytest.mark.parametrize(
    ("pixels", "code", "image", "line"),
    [
        ([4096], 1, 0, "pixel of a stroke: got 4096, expected 0…4095"),
        ([-1], 1, 0, "pixel of a stroke: got -1"),
        (([64], [0]), 1, 0, "row of a stroke: got 64"),
        (([0], [-3]), 1, 0, "column of a stroke: got -3"),
        ([0.5], 1, 0, "expected integers or a mask"),
        (np.ones((3, 3), bool), 1, 0, r"mask of a stroke: got \(3, 3\)"),
        ([0], 3, 0, "class code: got 3, expected 0…1 left, 2 right"),
        ([0], -1, 0, "class code: got -1"),
        ([0], 1, 2, "image: got 2, expected 0…1"),
        ([0], 1, -1, "image: got -1"),
    ],
)
def test_errors_of_painting(
    session: Session, pixels: object, code: int, image: int, line: str
) -> None:
    with pytest.raises(LimsupError, match=line):
        session.paint(pixels, code, image)
    assert not session.can_undo and not session.history()


@pytest.mark.parametrize(
    ("codes", "line"),
    [
        (np.zeros((3, 3)), "imported labels: got shape"),
        (np.full((64, 64), 3), "imported labels: got 3, expected whole numbers 0…2"),
        (np.full((64, 64), 0.5), r"imported labels: got 0\.5"),
        (np.full((64, 64), -1), "imported labels: got -1"),
        (np.full((64, 64), 257), "imported labels: got 257"),
    ],
)
def test_errors_of_import(session: Session, codes: np.ndarray, line: str) -> None:
    with pytest.raises(LimsupError, match=line):
        session.import_labels(codes)


def test_errors_of_asking(session: Session) -> None:
    for ask in (session.labels, session.prob, session.codes, session.moments, session.truth):
        with pytest.raises(LimsupError, match=r"image: got 2, expected 0…1"):
            ask(2)
    with pytest.raises(LimsupError, match="tune first"):
        session.compare(0)
    with pytest.raises(LimsupError, match="tune first"):
        session.toggle_previous()
    with pytest.raises(LimsupError, match="no truth"):
        session.dice(1)
    with pytest.raises(LimsupError, match="expected A, E or V"):
        session.uncertainty(0, "X")
    with pytest.raises(LimsupError, match=r"Do: session\.save\(folder\)"):
        session.accept()
    with pytest.raises(LimsupError, match="image: got 5"):
        session.current = 5


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"images": []}, "images: got none"),
        ({"classes": ()}, "classes: got 0, expected 2…255"),
        ({"classes": ("one",)}, "classes: got 1"),
        ({"classes": "ab"}, "expected a list of names"),
        ({"classes": ("a", "a")}, "expected a different name for each"),
        ({"classes": ("a", " ")}, "expected a different name for each"),
        ({"images": [halves(), halves()[..., 0]]}, "channels of the images"),
        ({"truths": [truth(), truth()]}, "truths: got 2, expected 1"),
        ({"truths": [truth(32)]}, "truth of image0: got shape"),
        ({"truths": [truth() + 1]}, "truth of image0: got 3"),
        ({"images": "missing.png"}, "missing.png: got no such file"),
        ({"model": 7}, "model: got int"),
        ({"model": "missing.safetensors"}, "model missing.safetensors: got no such file"),
        ({"passes": 0}, "passes: got 0"),
    ],
)
def test_errors_of_beginning(arguments: dict[str, object], line: str) -> None:
    defaults = {"images": [halves()], "classes": CLASSES, "model": tiny()}
    with pytest.raises(LimsupError, match=line):
        Session(**{**defaults, **arguments})


def test_errors_after_close(session: Session) -> None:
    session.close()
    session.close()
    for act in (session.undo, session.tune, session.reset, lambda: session.paint([0], 1)):
        with pytest.raises(LimsupError, match="session: got closed"):
            act()


def test_errors_in_a_listener(session: Session, caplog: pytest.LogCaptureFixture) -> None:
    """A view with a bug neither loses the stroke nor stops the session."""

    @session.events.scribbles.connect
    def broken(image: int) -> None:
        raise RuntimeError("a view with a bug")

    session.paint([0], 1)
    session.paint([1], 1)
    assert session.labels(0)[0, :2].tolist() == [1, 1]
    assert "a listener of 'scribbles' failed" in caplog.text


def test_values_messages_reach_a_script(session: Session, caplog: pytest.LogCaptureFixture) -> None:
    assert not session.start_tune()
    assert "no labelled pixel" in caplog.text and session.events.said
    told = heard(session, "message")
    caplog.clear()
    session.start_tune()
    assert told and not caplog.text


def test_values_of_a_volume(tmp_path: Path) -> None:
    """The planes of a volume are the images; a gray case of two classes is adapted later."""
    volume = np.stack([halves(i)[..., 0] for i in range(3)])
    with Session(volume, CLASSES, settings=QUICK, model=tiny()) as session:
        assert len(session.images) == 3 and not session.ready
        assert not session.codes(2).any()
        with pytest.raises(LimsupError, match="first tune adapts it"):
            session.prob(0)


def test_values_no_gui_is_loaded() -> None:
    script = (
        "import sys, limsup_widgets.session;"
        "gui = {'napari', 'qtpy', 'PySide6', 'ipywidgets', 'anywidget'};"
        "print(sorted(gui & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_values_scribbling_alone(session: Session) -> None:
    scribble(session)
    assert session.pump is not None and not session.tuning and session.wait(0)
