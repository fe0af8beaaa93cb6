"""Labels of large images: the same as an array holds, without the array."""

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from limsup_widgets.data import lazy, tiled_labels
from limsup_widgets.data.label_files import read_labels
from limsup_widgets.data.tiled_labels import TiledLabels, write_label_pyramid
from limsup_widgets.errors import LimsupError

SHAPE = (130, 97)
CODES = np.random.default_rng(0).integers(0, 5, SHAPE).astype(np.uint8)
CODES[:40] = 0


def boxes(side=50):
    return [
        (top, left, min(top + side, SHAPE[0]), min(left + side, SHAPE[1]))
        for top in range(0, SHAPE[0], side)
        for left in range(0, SHAPE[1], side)
    ]


def parts(seed=0):
    order = np.random.default_rng(seed).permutation(len(boxes()))
    for top, left, bottom, right in (boxes()[i] for i in order):
        yield (top, left, bottom, right), CODES[top:bottom, left:right]


def filled(tile=32):
    labels = TiledLabels(SHAPE, tile)
    for box, codes in parts():
        labels.put(box, codes)
    return labels


CORNERS = st.tuples(
    st.integers(0, SHAPE[0] - 1),
    st.integers(0, SHAPE[1] - 1),
    st.integers(1, 60),
    st.integers(1, 60),
).map(lambda b: (b[0], b[1], min(b[0] + b[2], SHAPE[0]), min(b[1] + b[3], SHAPE[1])))


@given(st.lists(st.tuples(CORNERS, st.integers(0, 4)), max_size=6), CORNERS)
def test_equivalence_with_an_array(puts, asked):
    labels, plain = TiledLabels(SHAPE, 32), np.zeros(SHAPE, np.uint8)
    for (top, left, bottom, right), code in puts:
        labels.put((top, left, bottom, right), np.full((bottom - top, right - left), code))
        plain[top:bottom, left:right] = code
    top, left, bottom, right = asked
    assert np.array_equal(labels.read(asked), plain[top:bottom, left:right])
    assert np.array_equal(labels.counts(4), np.bincount(plain.ravel(), minlength=5))
    assert np.array_equal(labels.as_array()[:], plain)


def test_values_empty_tiles_take_nothing():
    labels = TiledLabels((100_000, 100_000))
    assert labels.nbytes == 0 and labels.read((99_000, 5, 99_010, 9)).shape == (10, 4)
    labels.put((0, 0, 2000, 2000), np.ones((2000, 2000)))
    assert 0 < labels.nbytes < 20_000
    labels.put((0, 0, 2000, 2000), np.zeros((2000, 2000)))
    assert labels.nbytes == 0


def test_values_levels(monkeypatch):
    monkeypatch.setattr(tiled_labels, "COARSEST", 40)
    levels = filled().levels()
    assert [level.shape for level in levels] == [(130, 97), (65, 49), (33, 25)]
    for level, step in zip(levels, (1, 2, 4), strict=True):
        assert np.array_equal(level.as_array()[:], CODES[::step, ::step])
    assert [a.shape for a in filled().as_array().coarser] == [(65, 49), (33, 25)]


@pytest.mark.parametrize("seed", [0, 1])
def test_roundtrip(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(tiled_labels, "COARSEST", 40)
    path = write_label_pyramid(tmp_path / "a.tif", SHAPE, parts(seed))
    assert np.array_equal(read_labels(path, 4, SHAPE), CODES)
    assert np.array_equal(TiledLabels.from_file(path, 4, SHAPE).as_array()[:], CODES)
    assert np.array_equal(np.asarray(Pillow.open(path)), CODES), "libtiff reads it too"
    with tifffile.TiffFile(path) as file:
        levels = [level.asarray() for level in file.series[0].levels]
        assert file.pages[0].is_tiled
    assert all(np.array_equal(a, CODES[::s, ::s]) for a, s in zip(levels, (1, 2, 4), strict=True))
    assert list(tmp_path.iterdir()) == [path]


def test_roundtrip_any_label_image(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", CODES.astype(np.uint16))
    Pillow.fromarray(CODES).convert("P").save(tmp_path / "palette.tif")
    for name in ("a.tif", "palette.tif"):
        labels = TiledLabels.from_file(tmp_path / name, 4, SHAPE)
        assert np.array_equal(labels.as_array()[:], CODES)


def test_cancel_leaves_the_old_file(tmp_path):
    path = write_label_pyramid(tmp_path / "a.tif", SHAPE, parts())
    before = path.read_bytes()

    def stopped():
        yield next(parts())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_label_pyramid(path, SHAPE, stopped())
    assert path.read_bytes() == before


def test_values_of_a_giant_stay_small(tmp_path):
    """One stroke on 40,000 × 40,000 pixels."""
    stroke = ((20_000, 20_000, 20_100, 20_100), np.full((100, 100), 2))
    path = write_label_pyramid(tmp_path / "a.tif", (40_000, 40_000), [stroke])
    assert path.stat().st_size < 5_000_000
    labels = TiledLabels.from_file(path, 4, (40_000, 40_000))
    assert labels.counts(4).tolist() == [1_600_000_000 - 10_000, 0, 10_000, 0, 0]
    assert max(labels.levels()[-1].shape) <= lazy.COARSEST


def test_errors(tmp_path):
    labels = TiledLabels(SHAPE)
    for box in [(0, 0, 131, 9), (0, 0, 9, 98), (-1, 0, 9, 9), (5, 5, 5, 9)]:
        with pytest.raises(LimsupError, match=r"box: got .*pixels of labels \(130, 97\)"):
            labels.read(box)
        with pytest.raises(LimsupError, match="box: got"):
            labels.put(box, CODES)
    with pytest.raises(LimsupError, match=r"codes of .*: got \(2, 2\), expected \(3, 3\)"):
        labels.put((0, 0, 3, 3), np.zeros((2, 2)))
    for wrong in (-1, 0.5, 256):
        with pytest.raises(LimsupError, match=r"whole numbers 0…255"):
            labels.put((0, 0, 3, 3), np.full((3, 3), wrong))
    with pytest.raises(LimsupError, match="a multiple of 16"):
        TiledLabels(SHAPE, tile=100)
    path = write_label_pyramid(tmp_path / "a.tif", SHAPE, parts())
    with pytest.raises(LimsupError, match="value 3, 4, expected whole numbers 0 to 2"):
        TiledLabels.from_file(path, 2, SHAPE)
    with pytest.raises(LimsupError, match=r"labels of shape \(130, 97\)"):
        TiledLabels.from_file(path, 4, (97, 130))
    with pytest.raises(LimsupError, match="no such file"):
        TiledLabels.from_file(tmp_path / "b.tif", 4, SHAPE)
