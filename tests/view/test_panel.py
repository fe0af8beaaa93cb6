"""The panel without a browser: what Python sends and what it does with what comes back."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from limsup_widgets.view.palette import class_palette
from limsup_widgets.view.panel import NotebookPanel


@pytest.fixture
def panel_of():
    made = []

    def make(session):
        made.append(NotebookPanel(session))
        return made[-1]

    yield make
    for panel in made:
        panel.close()


def draw(panel, points, radius=2.0, code=1) -> None:
    message = {"kind": "stroke", "points": points, "radius": radius, "code": code, "seconds": 1.5}
    panel.canvas._receive(panel.canvas, message, [])


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_stroke_of_the_pointer(make_session, panel_of) -> None:
    session = make_session()
    panel = panel_of(session)
    draw(panel, [[30, 10], [30, 60]], code=2)
    labels = session.labels(0)
    assert (labels[30, 9:62] == 2).all()
    assert (labels[:27] == 0).all()
    shown = decoded(panel.canvas.strokes)
    assert np.array_equal(shown[..., 3] > 0, labels > 0)
    assert shown[30, 30, :3].tolist() == class_palette(2)[1].tolist()
    assert f"bright {np.count_nonzero(labels)}" in panel.parts.count.value


def test_eraser_and_keys(make_session, panel_of) -> None:
    session = make_session()
    panel = panel_of(session)
    draw(panel, [[30, 10], [30, 60]])
    panel.press("E")
    assert panel.canvas.code == 0
    draw(panel, [[30, 40], [30, 60]], code=panel.canvas.code)
    assert session.labels(0)[30, 12] == 1
    assert session.labels(0)[30, 45] == 0
    panel.press("Control-Z")
    panel.press("Control-Z")
    assert not session.labels(0).any()
    panel.press("2")
    panel.press("7")
    assert panel.canvas.code == 2
    panel.press("]")
    assert panel.canvas.radius == panel.parts.brush.value == 4


def test_every_key_does_something(scribbled, panel_of) -> None:
    from limsup_widgets.view.shortcuts import SHORTCUTS

    session = scribbled()
    panel = panel_of(session)
    for shortcut in SHORTCUTS:
        panel.press(shortcut.key)
    session.wait()


def test_tune_changes_the_picture(scribbled, panel_of) -> None:
    session = scribbled()
    panel = panel_of(session)
    before = panel.parts.picture.value
    panel.parts.buttons["tune"].click()
    assert panel.parts.buttons["tune"].disabled
    session.wait()
    assert panel.parts.picture.value != before
    assert not panel.parts.buttons["tune"].disabled
    assert panel.parts.progress.value == session.settings.steps
    assert "Dice" in panel.parts.scores.value
    assert "gained" in panel.parts.table.value


def test_failure_is_shown(scribbled, panel_of) -> None:
    session = scribbled(error=RuntimeError("mat1 and <mat2>"))
    panel = panel_of(session)
    panel.parts.buttons["tune"].click()
    session.wait()
    assert "mat1 and &lt;mat2&gt;" in panel.parts.message.value
    assert not panel.parts.buttons["tune"].disabled


@pytest.mark.parametrize("shown", ["outlines", "what changed", "uncertainty", "truth"])
def test_every_picture_has_a_text(scribbled, panel_of, shown) -> None:
    session = scribbled()
    panel = panel_of(session)
    session.tune(progress=False)
    plain = panel.parts.picture.value
    panel.parts.shown.value = shown
    assert session.settle(60)
    assert panel.parts.picture.value != plain
    (alt,) = re.findall(r'alt="([^"]+)"', panel.parts.picture.value)
    assert "image0" in alt


def test_kinds_of_uncertainty(scribbled, panel_of) -> None:
    session = scribbled()
    panel = panel_of(session)
    panel.parts.shown.value = "uncertainty"
    assert session.settle(60)
    assert "4 passes" in panel.parts.picture.value
    pictures = set()
    for kind in "AEV":
        panel.parts.kind.value = kind
        pictures.add(panel.parts.picture.value)
    assert len(pictures) == 3


def test_places(scribbled, panel_of) -> None:
    panel = panel_of(scribbled())
    panel.parts.buttons["next_region"].click()
    assert tuple(panel.canvas.box) == panel.controls.regions[0].box
    panel.parts.places.value = 1
    assert tuple(panel.canvas.box) == panel.controls.regions[1].box
    draw(panel, [[30, 10], [30, 60]])
    assert panel.canvas.box == []


def test_several_images(make_session, panel_of) -> None:
    session = make_session(images=2)
    panel = panel_of(session)
    panel.parts.image.value = 1
    draw(panel, [[30, 10], [30, 60]])
    assert session.labels(1).any() and not session.labels(0).any()
    session.current = 0
    assert panel.parts.image.value == 0
    assert not decoded(panel.canvas.strokes)[..., 3].any()


def test_the_chosen_picture_stays_chosen(make_session, panel_of) -> None:
    session = make_session(images=2)
    panel = panel_of(session)
    assert panel.parts.shown.value == "prediction"
    panel.parts.shown.value = "outlines"
    session.current = 1
    assert panel.parts.shown.value == "outlines"


def test_two_views_follow_one_session(make_session, panel_of) -> None:
    session = make_session()
    first, second = panel_of(session), panel_of(session)
    draw(first, [[30, 10], [30, 60]])
    assert first.canvas.strokes == second.canvas.strokes


def test_page_without_a_kernel(scribbled, panel_of) -> None:
    html = panel_of(scribbled())._repr_mimebundle_()["text/html"]
    assert html.count("<img alt=") == 2
    assert "<script" not in html
    assert "1 dark" in html


def test_close_twice_and_go_on(make_session, panel_of) -> None:
    session = make_session()
    panel = panel_of(session)
    panel.close()
    panel.close()
    session.paint(np.arange(30), 1)
    assert session.labels(0).any()


def test_a_session_for_other_classes_has_no_prediction_yet(panel_of) -> None:
    from limsup_widgets.session import Session

    with Session(np.zeros((40, 50), np.uint8), ("a", "b", "c")) as session:
        panel = panel_of(session)
        assert "no prediction yet" in panel.parts.picture.value
        assert panel.parts.scores.value.count("Dice") == 0
