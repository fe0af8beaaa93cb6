"""An image too large for memory: a session works on a window, with the whole image's numbers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from session_cases import CLASSES, QUICK, heard, tiny

from limsup_widgets.data.formats import tiff_lazy
from limsup_widgets.data.image import Image
from limsup_widgets.data.tiled_labels import TiledLabels
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.infer import codes
from limsup_widgets.learn.tiles import tile_plan
from limsup_widgets.session import Session, case, screen, watchable

WINDOW = (512, 512, 768, 768)


def pixels():
    """(1500, 1300, 3): left half dark, right half bright, in waves that make places differ."""
    rows, columns = np.mgrid[:1500, :1300]
    wave = 60 + 40 * np.sin(rows / 31) * np.cos(columns / 17) + 90 * (columns > 640)
    noise = np.random.default_rng(0).normal(0, 8, (1500, 1300, 3))
    return (wave[..., None] + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Windows of 256 pixels, in tiles of 128."""
    monkeypatch.setattr(screen, "TILE", 128)
    monkeypatch.setattr(screen, "START", 256)
    monkeypatch.setattr(screen, "MOST", 512**2)


def large(**options):
    options = {"model": tiny(), "settings": QUICK, "passes": 3} | options
    return Session(Image.lazy(pixels(), name="slide"), CLASSES, **options)


def eager(**options):
    options = {"model": tiny(), "settings": QUICK, "passes": 3} | options
    return Session(Image.from_array(pixels(), name="slide"), CLASSES, **options)


def scribble(session):
    """A stroke of each class, on two tiles of the window."""
    session.paint(([600] * 40, range(530, 570)), 1)
    session.paint(([700] * 40, range(700, 740)), 2)


def in_window(array, window=WINDOW):
    return array[..., window[0] : window[2], window[1] : window[3]]


def test_values_window_is_of_whole_tiles_and_remembered():
    with Session(
        [Image.lazy(pixels(), name=n) for n in "ab"], CLASSES, model=tiny(), settings=QUICK
    ) as session:
        moves = heard(session, "window")
        assert session.window == (640, 512, 896, 768)
        assert session.look_at((520, 530, 700, 760)) == session.window == WINDOW
        assert session.look_at((530, 540, 640, 700)) == (512, 512, 640, 768)
        session.current = 1
        assert session.window == (640, 512, 896, 768)
        session.current = 0
        assert session.window == (512, 512, 640, 768) and moves == [("window", 0)] * 2


def test_equivalence_tiles_are_those_of_the_plan():
    shape, window = (1500, 1300), (300, 500, 700, 901)
    for visible in (None, (400, 600, 500, 610)):
        plan = tile_plan(shape, visible or window, screen.TILE)
        expected = [box for box in plan if screen.touches(box, window)]
        assert screen.tiles(shape, window, visible) == expected


def test_values_window_of_any_other_image_is_all_of_it():
    with eager() as session:
        assert session.look_at((0, 0, 50, 50)) == session.window == (0, 0, 1500, 1300)


def test_errors_window():
    with large() as session:
        before = session.window
        with pytest.raises(LimsupError, match="zoom in"):
            session.look_at((0, 0, 1500, 1300))
        with pytest.raises(LimsupError, match="box in slide"):
            session.look_at((2000, 0, 2100, 100))
        assert session.window == before


def test_shapes_everything_lies_on_the_window():
    with large() as session:
        session.look_at((512, 512, 768, 640))
        scribble(session)
        assert session.labels(0).shape == session.codes(0).shape == (256, 128)
        assert session.prob(0).shape == session.moments(0).mean.shape == (2, 256, 128)
        assert session.pixels(0).shape == (256, 128, 3)
        assert session.labels(0, (600, 500, 601, 580)).sum() == 40
        assert session.counts().tolist() == [40, 40]
        session.tune(progress=False)
        assert session.compare(0).after.shape == (256, 128)


def test_equivalence_with_the_same_image_in_memory():
    with large() as session, eager() as reference:
        assert session.normalizer != reference.normalizer  # one of a sample, one of all pixels
    normalizer = session.normalizer
    with large(normalizer=normalizer) as session, eager(normalizer=normalizer) as reference:
        session.look_at(WINDOW)
        np.testing.assert_allclose(session.prob(0), in_window(reference.prob(0)), atol=1e-5)
        for kind in "AEV":
            np.testing.assert_allclose(
                session.uncertainty(0, kind), in_window(reference.uncertainty(0, kind)), atol=1e-5
            )
        for one in (session, reference):
            scribble(one)
            one.tune(progress=False)
        assert session.model_sha256 == reference.model_sha256
        np.testing.assert_allclose(session.prob(0), in_window(reference.prob(0)), atol=1e-5)


def test_equivalence_screen_is_the_prediction_and_is_kept(monkeypatch):
    with large() as session:
        session.look_at(WINDOW)
        session.look(visible=(530, 530, 600, 700), unsure=True)
        assert session.settle(120) and session.screen.done == 1 and session.screen.note == ""
        monkeypatch.setattr(session._predictions, "_run", None)  # computed once, never again
        shown = session.codes(0) == session.screen.codes
        top = np.sort(session.prob(0), axis=0)
        assert shown[top[-1] - top[-2] > 1e-4].all()
        for kind in "AEV":
            expected = session.uncertainty(0, kind)
            np.testing.assert_allclose(session.screen.kinds[kind], expected, atol=1e-5)


def test_values_a_new_window_goes_on_showing_what_it_shares_with_the_old_one():
    with large() as session:
        session.look_at(WINDOW)
        session.look()
        session.settle(120)
        old = session.screen.codes
        assert old.all()
        session.look_at((640, 512, 896, 768))
        np.testing.assert_array_equal(session.screen.codes[:128], old[128:])
        assert not session.screen.codes[128:].any() and session.screen.done == 0
        session.settle(120)
        assert session.screen.codes.all() and session.screen.done == 1


def test_values_a_stroke_is_answered_in_the_window():
    with large() as session:
        session.look_at(WINDOW)
        session.look()
        session.settle(120)
        session.live = True
        answers = []
        session.events.screen.connect(lambda _: answers.append(session.screen.by))
        scribble(session)
        while not answers:
            session.pause(0.005)
        assert answers[0] == "quick"
        assert session.wait(120) and session.settle(120)
        assert session.screen.by == "network" and session.screen.done == 1


def test_values_quick_answer_with_more_scribbled_tiles_than_are_kept():
    with large(model=tiny(classes=3)) as session:
        session._tuner.start = lambda job: False  # only the quick answer
        session.look_at(WINDOW)
        scribble(session)
        session._quick = watchable.QuickAnswers(session._copy())
        session._quick.classifier.room = 1
        session.live = session._quick_stays = True
        session.look()
        assert session.settle(120) and session.screen.by == "quick" and session.screen.done == 1


def test_values_places_are_of_the_image():
    with large() as session:
        session.look_at(WINDOW)
        places = session.where_next(3)
        assert places
        for place in places:
            assert screen.inside(place.box, WINDOW)
            assert place.box[0] <= place.y < place.box[2]


def test_values_undo_redo_reset():
    with large() as session:
        session.look_at(WINDOW)
        scribble(session)
        drawn = session.labels(0)
        assert np.unique(drawn).tolist() == [0, 1, 2]
        session.undo()
        assert np.unique(session.labels(0)).tolist() == [0, 1]
        session.redo()
        np.testing.assert_array_equal(session.labels(0), drawn)
        session.look_at((0, 0, 20, 20))
        session.undo()
        assert screen.inside((700, 700, 701, 740), session.window)
        session.reset()
        assert not session.labels(0).any() and session.counts().tolist() == [0, 0]


def test_values_labels_from_elsewhere():
    tiled = TiledLabels((1500, 1300))
    tiled.put((10, 20, 12, 25), np.full((2, 5), 2, np.uint8))
    tiled.put((1400, 1200, 1401, 1202), np.ones((1, 2), np.uint8))
    with large() as session:
        session.import_tiled(tiled)
        assert session.counts().tolist() == [2, 10]
        np.testing.assert_array_equal(
            session.labels(0, (9, 19, 13, 26)), tiled.read((9, 19, 13, 26))
        )
        with pytest.raises(LimsupError, match="imported labels"):
            session.import_tiled(TiledLabels((64, 64)))


@pytest.fixture
def slide(tmp_path, monkeypatch):
    """A file that counts as a large one."""
    monkeypatch.setattr(tiff_lazy, "LAZY_PIXELS", 10**6)
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, pixels(), tile=(256, 256), compression="zlib", photometric="rgb")
    return path


def test_equivalence_reopened_from_its_file(slide, tmp_path):
    source = tiff_lazy.open_large(slide, "slide", 1)
    with Session(source, CLASSES, model=tiny(), settings=QUICK, folder=tmp_path / "s") as session:
        session.look_at(WINDOW)
        scribble(session)
        session.tune(progress=False)
        known = session.labels(0), session.prob(0), session.model_sha256
    moved = slide.rename(tmp_path / "moved.tif")
    with pytest.raises(LimsupError, match="no such file"):
        Session.open(tmp_path / "s")
    moved.rename(slide)
    for images in (None, [slide]):
        with Session.open(tmp_path / "s", images=images) as again:
            assert again.images[0].is_lazy and again.model_sha256 == known[2]
            again.look_at(WINDOW)
            np.testing.assert_array_equal(again.labels(0), known[0])
            np.testing.assert_array_equal(again.prob(0), known[1])


def test_errors_reopened_without_a_file(tmp_path):
    with large(folder=tmp_path / "s") as session:
        scribble(session)
    assert not list((tmp_path / "s").rglob("*.npy"))
    with pytest.raises(LimsupError, match=r"name it: Session.open\(folder, images="):
        Session.open(tmp_path / "s")
    source = Image.lazy(pixels(), name="slide")
    with Session.open(tmp_path / "s", images=[source]) as again:
        assert again.counts().tolist() == [40, 40]


def test_errors_no_truth_for_a_large_image():
    with pytest.raises(LimsupError, match="stays on the disk"):
        large(truths=[np.ones((1500, 1300), np.uint8)])


def test_values_whatever_can_be_sliced_stays_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr(case, "LAZY_PIXELS", 10**6)
    stored = np.memmap(tmp_path / "raw", np.uint8, "w+", shape=(1500, 1300, 3))
    stored[:] = pixels()
    zarr = pytest.importorskip("zarr")
    chunked = zarr.array(stored, chunks=(256, 256, 3))
    for source in (stored, chunked):
        made = case.make_case(source, CLASSES)
        assert made.images[0].is_lazy and made.shapes == [(1500, 1300)]
        np.testing.assert_array_equal(made.images[0].read(WINDOW), stored[512:768, 512:768])
    assert not case.make_case(np.zeros((64, 64)), CLASSES).images[0].is_lazy
    assert not case.make_case(np.zeros((80, 128, 128)), CLASSES).images[0].is_lazy


def boxes_of(path):
    lines = path.read_text().splitlines()
    assert lines[0] == "image,top,left,bottom,right,share"
    return [tuple(map(int, line.split(",")[1:5])) for line in lines[1:]]


def test_values_accept_what_was_seen_and_scribbled(tmp_path):
    with large(folder=tmp_path / "s") as session:
        session.look_at((512, 512, 640, 640))
        session.look()
        session.settle(120)
        session.look_at((512, 640, 640, 768))
        session.paint(([1300] * 30, range(90, 120)), 2)
        prob = session.prob(0)
        folder = session.accept()
        assert "% of the image, 3 tiles" in session.events.said[-1]
    written = tifffile.imread(folder / "slide.labels.tif")
    tiles = boxes_of(folder / "covered.csv")
    assert tiles == [(512, 512, 640, 640), (512, 640, 640, 768), (1280, 0, 1408, 128)]
    assert written.shape == (1500, 1300)
    np.testing.assert_array_equal(written[512:640, 640:768], codes(prob))
    assert (written[1300, 90:120] == 2).all()
    inside = np.zeros(written.shape, bool)
    for top, left, bottom, right in tiles:
        inside[top:bottom, left:right] = True
    assert written[inside].all() and not written[~inside].any()
    rows = [line.split(",") for line in (folder / "fractions.csv").read_text().splitlines()[1:]]
    for row, code in zip(rows, (1, 2), strict=True):
        count = int((written == code).sum())
        assert int(row[3]) == count and float(row[4]) == pytest.approx(
            count / inside.sum(), abs=1e-6
        )


@pytest.mark.slow
def test_equivalence_accept_all_of_it(tmp_path):
    options = {"normalizer": large().normalizer}
    with large(folder=tmp_path / "s", **options) as session, eager(**options) as reference:
        folder = session.accept(whole=True)
        expected, prob = codes(reference.prob(0)), np.sort(reference.prob(0), axis=0)
    written = tifffile.imread(folder / "slide.labels.tif")
    sure = prob[-1] - prob[-2] > 1e-4
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(written[sure], expected[sure])


GIANT = """
import sys
from pathlib import Path
import numpy as np
from limsup_widgets import Session
from limsup_widgets.learn.tune import TuneSettings

class Slide:
    shape, dtype = (20_000, 20_000, 3), np.dtype(np.uint8)
    def __getitem__(self, key):
        rows, columns = np.ogrid[key[0], key[1]]
        grey = (rows.astype(np.uint8) // 2 ^ columns.astype(np.uint8) // 3)
        return np.stack([grey, grey // 2, 255 - grey], -1)

settings = TuneSettings(steps=3, batch=2)
with Session(Slide(), list("abcd"), folder=sys.argv[1], settings=settings, passes=2) as session:
    session.look_at((9000, 9000, 9500, 9500))
    session.look(unsure=True)
    session.settle()
    session.live = True
    session.paint(([9100] * 60, range(9100, 9160)), 1)
    session.paint(([9300] * 60, range(9300, 9360)), 2)
    session.settle(), session.wait()
    session.tune(progress=False)
    session.settle()
    assert session.screen.done == 1 and session.screen.passes == 2, session.screen.done
    assert session.where_next(2)
    session.undo()
    session.reset()
    session.paint(([9100] * 60, range(9100, 9160)), 1)
    print(session.window, session.accept())
# Not ru_maxrss, in which the memory of the process that started this one would count.
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's own figures")
def test_values_twenty_thousand_squared_in_two_gigabytes(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", GIANT, str(tmp_path / "s")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 2048
    assert (tmp_path / "s" / "accepted" / "image0.labels.tif").is_file()
