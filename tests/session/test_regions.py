"""Where to scribble next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limsup_widgets.errors import LimsupError
from limsup_widgets.session.regions import find_regions, uncovered

EMPTY = np.zeros((60, 80), np.uint8)


def spots(*places: tuple[int, int, float]) -> np.ndarray:
    unsure = np.zeros(EMPTY.shape)
    for y, x, value in places:
        unsure[y - 1 : y + 2, x - 1 : x + 2] = value
    return unsure


def test_values_best_first() -> None:
    unsure = spots((10, 10, 0.1), (45, 60, 0.3), (45, 15, 0.2))
    found = find_regions(unsure, EMPTY, size=12)
    assert [(r.y, r.x) for r in found] == [(45, 60), (45, 15), (10, 10)]
    assert [round(r.score, 3) for r in found] == [2.7, 1.8, 0.9]
    assert len(find_regions(unsure, EMPTY, n=2, size=12)) == 2


def test_values_strokes_cover_their_neighbourhood() -> None:
    unsure = spots((10, 10, 0.3), (45, 60, 0.1))
    labels = EMPTY.copy()
    labels[10, 10] = 2
    assert [(r.y, r.x) for r in find_regions(unsure, labels, size=12)] == [(45, 60)]
    assert not find_regions(spots((10, 10, 0.3)), labels, size=12)


def test_values_of_cover() -> None:
    labels = np.zeros((1, 30), np.uint8)
    labels[0, 0] = 1
    left = uncovered(np.ones((1, 30)), labels, reach=4)
    assert left[0, :5].max() == 0 and left[0, 6] == pytest.approx(0.5)
    assert left[0, 8:].min() == 1
    assert uncovered(np.ones((2, 2)), np.zeros((2, 2)), 4).min() == 1


@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 100))
def test_values_boxes(seed: int, n: int, size: int) -> None:
    """Boxes lie inside, hold their centre, keep their distance and are sorted."""
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(EMPTY.shape) > 0.995, 1, 0).astype(np.uint8)
    found = find_regions(rng.random(EMPTY.shape), labels, n, size)
    side = min(size, 60)
    assert len(found) <= n and [r.score for r in found] == sorted(r.score for r in found)[::-1]
    for region in found:
        top, left, bottom, right = region.box
        assert 0 <= top < bottom <= 60 and 0 <= left < right <= 80
        assert (bottom - top, right - left) == (side, side)
        assert top <= region.y < bottom and left <= region.x < right and region.score > 0
    for i, one in enumerate(found):
        for two in found[:i]:
            assert max(abs(one.y - two.y), abs(one.x - two.x)) >= side


def test_errors() -> None:
    with pytest.raises(LimsupError, match="scribbles: got"):
        find_regions(np.zeros((3, 3)), EMPTY)
    for n, size in ((0, 8), (3, 0)):
        with pytest.raises(LimsupError, match="expected at least 1"):
            find_regions(np.zeros(EMPTY.shape), EMPTY, n, size)
    assert find_regions(np.zeros(EMPTY.shape), EMPTY) == []
