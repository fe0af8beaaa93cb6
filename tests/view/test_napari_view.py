"""The window as a person uses it: real mouse and key events, under a (virtual) display."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

pytestmark = pytest.mark.display

LONG = 240_000
"""Milliseconds until a condition counts as never met; nothing is measured by it."""


@pytest.fixture
def open_view(qtbot):
    from limsup_widgets.view.napari_view import NapariView

    made = []

    def make(session):
        view = NapariView(session)
        made.append(view)
        settle(qtbot, view)
        return view

    yield make
    for view in made:
        view.close()
    qtbot.wait(50)


def settle(qtbot, view) -> None:
    """Let the window be laid out, drawn and filled."""
    qtbot.waitUntil(lambda: canvas(view).isVisible() and canvas(view).width() > 50, timeout=LONG)
    qtbot.wait(100)
    view.viewer.reset_view()
    qtbot.wait(50)
    rest(qtbot, view)


def canvas(view):
    # napari has no public way to the widget that takes the mouse.
    return view.viewer.window._qt_viewer.canvas.native


def at(view, row: float, column: float):
    """Where a pixel lies on the canvas, from the camera."""
    from qtpy.QtCore import QPoint

    camera, widget = view.viewer.scene.camera, canvas(view)
    y, x = np.array([row, column]) * view.layers.image.scale[-2:] - np.array(camera.center[-2:])
    return QPoint(
        round(widget.width() / 2 + x * camera.zoom), round(widget.height() / 2 + y * camera.zoom)
    )


def drag(qtbot, view, start, end, button: str = "LeftButton") -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    which, widget = getattr(Qt.MouseButton, button), canvas(view)
    QTest.mouseMove(widget, at(view, *start))
    qtbot.wait(20)
    QTest.mousePress(widget, which, Qt.KeyboardModifier.NoModifier, at(view, *start))
    for part in np.linspace(0, 1, 6)[1:]:
        point = np.array(start) * (1 - part) + np.array(end) * part
        QTest.mouseMove(widget, at(view, *point))
        qtbot.wait(20)
    QTest.mouseRelease(widget, which, Qt.KeyboardModifier.NoModifier, at(view, *end))
    qtbot.wait(50)


def press(qtbot, view, key: str, modifier: str = "NoModifier") -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    QTest.keyClick(canvas(view), getattr(Qt.Key, key), getattr(Qt.KeyboardModifier, modifier))
    qtbot.wait(30)


def rest(qtbot, view) -> None:
    """Wait until all that was asked for is on screen."""
    qtbot.waitUntil(lambda: view.session.at_rest, timeout=LONG)
    view.session.pump.once()


def click(qtbot, view, name: str) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    QTest.mouseClick(view.dock.buttons[name].native, Qt.MouseButton.LeftButton)
    qtbot.wait(30)


def test_a_stroke_of_the_mouse_reaches_the_session(qtbot, make_session, open_view) -> None:
    session = make_session()
    view = open_view(session)
    press(qtbot, view, "Key_2")
    drag(qtbot, view, (30, 10), (30, 60))
    labels = session.labels(0)
    assert (labels[30, 12:59] == 2).all()
    assert (labels[:20] == 0).all()
    assert np.array_equal(labels, view.layers.scribbles.data)
    (stroke,) = (e for e in session.history() if e.kind == "stroke")
    assert stroke.stroke.seconds > 0
    assert "bright " + str(np.count_nonzero(labels)) in view.dock.count.value


def test_keys_undo_redo_and_erase(qtbot, make_session, open_view) -> None:
    session = make_session()
    view = open_view(session)
    drag(qtbot, view, (30, 10), (30, 60))
    drawn = session.labels(0)
    assert drawn.any()
    press(qtbot, view, "Key_Z", "ControlModifier")
    assert not session.labels(0).any()
    assert not view.layers.scribbles.data.any()
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    QTest.keyClick(canvas(view), Qt.Key.Key_Z, both)
    qtbot.wait(30)
    assert np.array_equal(session.labels(0), drawn)
    press(qtbot, view, "Key_E")
    drag(qtbot, view, (30, 30), (30, 70))
    assert session.labels(0)[30, 12] == 1
    assert (session.labels(0)[30, 32:] == 0).all()


def test_the_right_button_starts_no_hidden_tool(qtbot, make_session, open_view) -> None:
    session = make_session()
    view = open_view(session)
    press(qtbot, view, "Key_E")
    press(qtbot, view, "Key_1")
    drag(qtbot, view, (10, 10), (10, 30), button="RightButton")
    before = np.count_nonzero(session.labels(0))
    drag(qtbot, view, (45, 10), (45, 60))
    assert np.count_nonzero(session.labels(0)) > before
    assert np.array_equal(session.labels(0), view.layers.scribbles.data)


def test_tune_by_a_click_changes_the_prediction(qtbot, scribbled, open_view) -> None:
    session = scribbled()
    view = open_view(session)
    before = view.layers.prediction.data.copy()
    click(qtbot, view, "tune")
    qtbot.waitUntil(lambda: not session.tuning, timeout=LONG)
    assert (view.layers.prediction.data != before).any()
    assert np.array_equal(view.layers.prediction.data, session.codes(0))
    assert view.dock.progress.value == session.settings.steps
    assert "Dice" in view.dock.scores.value
    assert view.dock.table.visible
    assert view.dock.buttons["tune"].enabled


def test_the_window_answers_while_it_tunes(qtbot, scribbled, open_view) -> None:
    from qtpy.QtCore import QTimer

    session = scribbled(pause=0.05, steps=20)
    view = open_view(session)
    ticks = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(session.tuning))
    timer.start(5)
    click(qtbot, view, "tune")
    qtbot.waitUntil(lambda: view.dock.progress.value >= 5, timeout=LONG)
    drag(qtbot, view, (10, 10), (10, 30))
    qtbot.waitUntil(lambda: not session.tuning, timeout=LONG)
    timer.stop()
    assert sum(ticks) > session.settings.steps
    assert session.labels(0)[10, 12:29].all()


def test_cancel_keeps_the_model(qtbot, scribbled, open_view) -> None:
    session = scribbled(pause=0.05, steps=10_000)
    view = open_view(session)
    model = session.model_sha256
    click(qtbot, view, "tune")
    qtbot.waitUntil(lambda: view.dock.progress.value >= 1, timeout=LONG)
    assert not view.dock.buttons["tune"].enabled
    press(qtbot, view, "Key_Escape")
    qtbot.waitUntil(lambda: not session.tuning, timeout=LONG)
    assert session.model_sha256 == model
    assert view.dock.buttons["tune"].enabled
    assert "cancelled" in view.dock.message.value


def failures():
    import torch

    shapes = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    memory = torch.OutOfMemoryError("CUDA out of memory.")
    return [
        pytest.param(shapes, "mat1", id="error"),
        pytest.param(memory, "out of memory", id="memory"),
    ]


@pytest.mark.parametrize(("error", "words"), failures())
def test_a_failed_tune_reaches_the_user(qtbot, scribbled, open_view, error, words) -> None:
    session = scribbled(error=error)
    view = open_view(session)
    click(qtbot, view, "tune")
    qtbot.waitUntil(lambda: not session.tuning, timeout=LONG)
    assert view.dock.message.visible
    assert words in view.dock.message.value
    assert view.dock.buttons["tune"].enabled


def test_tune_without_strokes_says_what_to_do(qtbot, make_session, open_view) -> None:
    view = open_view(make_session())
    click(qtbot, view, "tune")
    assert view.dock.message.value
    assert view.dock.buttons["tune"].enabled


def test_closed_in_the_middle_of_a_tune_and_reopened(qtbot, scribbled, open_view) -> None:
    session = scribbled(pause=0.02, steps=30)
    view = open_view(session)
    labels = session.labels(0)
    click(qtbot, view, "tune")
    qtbot.waitUntil(lambda: view.dock.progress.value >= 1, timeout=LONG)
    model = session.model_sha256
    view.viewer.window._qt_window.close()
    qtbot.waitUntil(lambda: not view.is_open, timeout=LONG)
    assert session.tuning
    qtbot.waitUntil(lambda: not session.tuning, timeout=LONG)
    assert session.model_sha256 != model
    view.show()
    settle(qtbot, view)
    assert np.array_equal(view.layers.scribbles.data, labels)
    assert np.array_equal(view.layers.prediction.data, session.codes(0))
    view.close()
    view.close()


def test_compare_switch_and_difference(qtbot, scribbled, open_view) -> None:
    session = scribbled()
    view = open_view(session)
    before = session.codes(0).copy()
    session.tune(progress=False)
    after = session.codes(0).copy()
    press(qtbot, view, "Key_B")
    assert np.array_equal(view.layers.prediction.data, before)
    press(qtbot, view, "Key_B")
    assert np.array_equal(view.layers.prediction.data, after)
    click(qtbot, view, "toggle_changed")
    assert np.array_equal(view.layers.prediction.data > 0, before != after)
    click(qtbot, view, "toggle_changed")
    assert np.array_equal(view.layers.prediction.data, after)


def test_uncertainty_of_each_kind(qtbot, scribbled, open_view) -> None:
    session = scribbled()
    view = open_view(session)
    press(qtbot, view, "Key_U")
    assert view.layers.unsure.visible and view.dock.unsure.value
    assert not view.layers.prediction.visible
    rest(qtbot, view)
    assert np.array_equal(view.layers.unsure.data, session.uncertainty(0, "V"))
    view.dock.kind.value = "E"
    assert np.array_equal(view.layers.unsure.data, session.uncertainty(0, "E"))


def test_where_next_moves_the_camera_and_lists(qtbot, scribbled, open_view) -> None:
    view = open_view(scribbled())
    press(qtbot, view, "Key_N")
    first = view.controls.regions[0]
    assert np.allclose(
        view.viewer.scene.camera.center[-2:], np.mean(np.reshape(first.box, (2, 2)), 0) - 0.5
    )
    assert len(view.dock.places.choices) == len(view.controls.regions) > 1
    view.dock.places.value = [1]
    assert view.controls.place == 1


def test_several_images(qtbot, make_session, open_view) -> None:
    session = make_session(images=2)
    view = open_view(session)
    session.paint(np.arange(50), 1, image=1)
    assert not view.layers.scribbles.data.any()
    view.dock.image.value = 1
    assert session.current == 1
    assert np.array_equal(view.layers.scribbles.data, session.labels(1))
    drag(qtbot, view, (30, 10), (30, 60))
    assert session.labels(1)[30, 12:59].all()
    assert not session.labels(0).any()


def test_accept_and_start_over(qtbot, scribbled, open_view, tmp_path) -> None:
    session = scribbled(folder=tmp_path / "case")
    view = open_view(session)
    session.flush()
    qtbot.waitUntil(lambda: "✓" in view.dock.saved.value, timeout=LONG)
    click(qtbot, view, "accept")
    assert any((tmp_path / "case" / "accepted").iterdir())
    click(qtbot, view, "reset")
    assert session.labels(0).any()
    click(qtbot, view, "reset")
    assert not session.labels(0).any()
    assert not view.layers.scribbles.data.any()


def test_a_layer_thrown_away_comes_back(qtbot, scribbled, open_view) -> None:
    session = scribbled()
    view = open_view(session)
    view.viewer.layers.remove("scribbles")
    click(qtbot, view, "undo")
    press(qtbot, view, "Key_1")
    assert np.array_equal(view.viewer.layers["scribbles"].data, session.labels(0))
    drag(qtbot, view, (10, 10), (10, 30))
    assert session.labels(0)[10, 12:29].all()


def test_spacing_and_colour(qtbot, open_view) -> None:
    from limsup_widgets.data.image import Image
    from limsup_widgets.session import Session
    from limsup_widgets.view.palette import class_palette

    rgb = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    image = Image.from_array(rgb, spacing=(0.5, 0.25))
    with Session(image, ("a", "b", "c")) as session:
        view = open_view(session)
        assert view.layers.image.rgb
        assert tuple(view.layers.scribbles.scale) == (0.5, 0.25)
        shown = view.layers.prediction.get_color(2)[:3] * 255
        assert np.allclose(shown, class_palette(3)[1], atol=1)
        drag(qtbot, view, (20, 10), (20, 40))
        assert session.labels(0)[20, 12:39].all()


def test_a_closed_window_is_held_by_nobody(qtbot, make_session) -> None:
    from limsup_widgets.view.napari_view import NapariView

    view = NapariView(make_session())
    settle(qtbot, view)
    viewer = weakref.ref(view.viewer)
    view.close()
    del view
    qtbot.wait(50)
    gc.collect()
    assert viewer() is None
