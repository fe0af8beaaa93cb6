"""Large images in the views: all of them in small, and the window that is worked on."""

import numpy as np
import pytest

from limsup_widgets.data.image import Image
from limsup_widgets.session import Session, screen
from limsup_widgets.view import pyramid
from limsup_widgets.view.figures import as_rgb
from limsup_widgets.view.panel import NotebookPanel
from limsup_widgets.view.pyramid import Pyramids, known_levels, known_overview
from limsup_widgets.view.static import static_html

LONG = 240_000
SIDE = 6000


class Slide:
    """(6000, 6000), dark above and bright below, and a count of what was read."""

    shape, dtype = (SIDE, SIDE), np.dtype(np.uint8)

    def __init__(self):
        self.read = 0

    def __getitem__(self, key):
        rows, columns = np.ogrid[key[0], key[1]]
        found = (60 + 100 * (rows > SIDE // 2) + (columns // 100) % 40).astype(np.uint8)
        self.read += found.size
        return found


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Windows of 256 pixels, in tiles of 128."""
    monkeypatch.setattr(screen, "TILE", 128)
    monkeypatch.setattr(screen, "START", 256)
    monkeypatch.setattr(screen, "MOST", 1024**2)


@pytest.fixture
def open_session(small_network):
    made = []

    def make(image=None):
        image = image or Image.lazy(Slide(), name="slide")
        made.append(Session(image, ("dark", "bright"), model=small_network, passes=2))
        return made[-1]

    yield make
    for session in made:
        session.close()


@pytest.fixture
def small_network():
    from torch import nn

    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))


def test_values_levels_come_from_one_reading_in_a_thread(open_session):
    slide = Slide()
    session = open_session(Image.lazy(slide, name="slide"))
    (image,), ready, said = session.images, [], []
    before = slide.read
    pyramids = Pyramids(ready.append, said.append)
    first = pyramids.levels(image)
    assert [level.shape for level in first] == [level.shape for level in image.levels]
    assert known_levels(image) is None and known_overview(image) is None
    assert "no small copy" in said[0]
    assert session.pump.until(lambda: bool(ready), 60) and ready == [image]
    for shown, expected in zip(pyramids.levels(image), image.levels, strict=True):
        np.testing.assert_array_equal(shown[::64], expected[::64])
    assert pyramids.levels(image) is known_levels(image)
    assert known_overview(image, 512).shape == (500, 500)
    assert slide.read - before >= SIDE * SIDE / 4


def test_values_levels_of_a_file_that_has_them_are_its_own():
    image = Image.lazy(Slide(), [np.zeros((1500, 1500), np.uint8)], name="slide")
    assert Pyramids(print, print).levels(image) == image.levels


def test_cancel_reading(open_session, monkeypatch):
    session = open_session()
    pyramids = Pyramids(pytest.fail, lambda line: None)
    pyramids.levels(session.images[0])
    pyramids.close()
    (reader,) = pyramids._readers.values()
    assert reader.join(60) and known_levels(session.images[0]) is None


def test_values_a_large_image_is_drawn_in_small():
    image = Image.lazy(np.broadcast_to(np.uint8(9), (9000, 9000)), name="flat")
    assert as_rgb(image).shape == (1125, 1125, 3)


def test_values_panel_paints_where_the_window_lies(open_session):
    session = open_session()
    panel = NotebookPanel(session)
    top, left, bottom, right = session.window
    assert (panel.canvas.height, panel.canvas.width) == (bottom - top, right - left)
    panel.paint(np.array([0, 1, panel.canvas.width]), 2, 0.1)
    assert session.labels(0, (top, left, top + 2, left + 2)).tolist() == [[2, 2], [2, 0]]
    assert session.pump.until(lambda: known_levels(session.images[0]) is not None, 60)
    overview = panel.parts.overview
    assert panel.parts.overview_box.layout.display == "" and overview.height <= 512
    place = overview.height // 4 * overview.width + overview.width // 2
    panel.look_around(np.array([place]))
    row = overview.height // 4 * SIDE // overview.height
    assert session.window[0] < row < session.window[2]
    assert not session.labels(0).any()
    marked = np.array(overview.box) * SIDE / overview.height
    np.testing.assert_allclose(marked, session.window)
    panel.close()


def test_values_panel_of_small_images_has_no_overview(make_session):
    panel = NotebookPanel(make_session())
    assert panel.parts.overview_box.layout.display == "none"
    panel.close()


def test_values_places_are_marked_in_the_window(open_session):
    session = open_session()
    panel = NotebookPanel(session)
    panel.next_region()
    assert not panel.controls.regions and "press again" in panel.parts.message.value
    assert session.settle(60)
    panel.next_region()
    top, left = session.window[:2]
    expected = np.array(panel.controls.regions[0].box) - (top, left, top, left)
    assert panel.canvas.box == expected.tolist() and (expected >= 0).all()
    panel.close()


def test_values_static_page_reads_no_more_than_the_window(open_session):
    slide = Slide()
    session = open_session(Image.lazy(slide, name="slide"))
    before = slide.read
    page = static_html(session)
    assert page.count("<img") == 2 and slide.read - before < 2_000_000
    pyramid._MADE[session.images[0]] = [np.zeros((600, 600), np.uint8)]
    assert static_html(session).count("<img") == 3


@pytest.mark.display
def test_window_follows_the_camera_and_a_stroke_lands_where_it_was_drawn(qtbot, open_session):
    from limsup_widgets.view import status
    from limsup_widgets.view.napari_view import NapariView

    session = open_session()
    first = session.window
    view = NapariView(session)
    try:
        qtbot.waitUntil(lambda: known_levels(session.images[0]) is not None, timeout=LONG)
        assert view.layers.image.multiscale and len(view.layers.image.data) == 3
        far = lambda: view.dock.answer.value == status.FAR  # noqa: E731
        qtbot.waitUntil(far, timeout=LONG)
        assert session.window == first
        np.testing.assert_array_equal(view.layers.scribbles.translate, first[:2])
        camera = view.viewer.scene.camera
        camera.center, camera.zoom = (1500, 4200), 4.0
        qtbot.waitUntil(lambda: session.window != first, timeout=LONG)
        qtbot.waitUntil(lambda: not far(), timeout=LONG)
        top, left, bottom, right = session.window
        assert top < 1500 < bottom and left < 4200 < right
        np.testing.assert_array_equal(view.layers.scribbles.translate, (top, left))
        np.testing.assert_allclose(view.layers.edge.data[0].min(0), (top - 0.5, left - 0.5))
        qtbot.waitUntil(lambda: session.at_rest and session.screen.done == 1, timeout=LONG)
        view.choose(2)
        view.layers.scribbles.paint((1510 - top, 4190 - left), 2)
        labels = session.labels(0, (1500, 4180, 1520, 4200))
        assert labels[10, 10] == 2 and session.counts()[1] == (labels == 2).sum() > 0
        qtbot.wait(400)
        assert session.window == (top, left, bottom, right)  # at rest, nothing moves
        session.look_at((5000, 300, 5050, 350))
        qtbot.waitUntil(lambda: view.layers.visible()[0] > 4000, timeout=LONG)
    finally:
        view.close()
        qtbot.wait(50)
