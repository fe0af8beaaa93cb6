from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import label
from skimage.draw import disk

from limsup_widgets.view.raster import stroke_pixels

SHAPE = (24, 30)
inside = st.tuples(st.floats(0, 23), st.floats(0, 29))
anywhere = st.tuples(st.floats(-40, 60), st.floats(-40, 60))


@pytest.mark.parametrize("radius", [1, 3, 6.5])
def test_a_dab_is_a_disk(radius) -> None:
    rows, columns = disk((11, 14), radius + 1e-6, shape=SHAPE)
    assert set(stroke_pixels([(11, 14)], radius, SHAPE)) == set(rows * SHAPE[1] + columns)


@given(st.lists(inside, min_size=1, max_size=6), st.floats(0, 5))
def test_a_stroke_has_no_gap(points, radius) -> None:
    mask = np.zeros(SHAPE, bool)
    mask.flat[stroke_pixels(points, max(radius, 0.75), SHAPE)] = True
    assert label(mask, np.ones((3, 3)))[1] == 1


@given(st.lists(anywhere, min_size=1, max_size=6), st.floats(0, 8))
def test_equivalence(points, radius) -> None:
    """Against the distance of every pixel to every segment."""
    found = stroke_pixels(points, radius, SHAPE)
    yx = np.stack(np.mgrid[: SHAPE[0], : SHAPE[1]], -1).reshape(-1, 2)
    reach = np.full(len(yx), np.inf)
    path = np.array(points, float)
    for a, b in zip(path, path[1:] if len(path) > 1 else path, strict=False):
        along = (b - a) @ (b - a)
        t = np.clip((yx - a) @ (b - a) / along, 0, 1) if along else np.zeros(len(yx))
        reach = np.minimum(reach, np.linalg.norm(yx - a - t[:, None] * (b - a), axis=1))
    r = max(radius, 0.5)
    assert set(np.flatnonzero(reach < r - 1e-6)) <= set(found)
    assert set(found) <= set(np.flatnonzero(reach < r + 1e-6))


def test_nothing_outside() -> None:
    assert stroke_pixels([(-50, -50), (-40, 90)], 3, SHAPE).size == 0
    assert stroke_pixels(np.empty((0, 2)), 3, SHAPE).size == 0
