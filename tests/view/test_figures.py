from __future__ import annotations

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limsup_widgets.data.image import Image
from limsup_widgets.errors import LimsupError
from limsup_widgets.view.figures import (
    as_rgb,
    difference,
    figure_loop,
    outline,
    overlay,
    uncertainty_rgb,
)
from limsup_widgets.view.palette import class_palette

codes_of_three = hnp.arrays(np.uint8, (5, 7), elements=st.integers(0, 3))
grey = np.linspace(0, 1, 35, dtype=np.float32).reshape(5, 7)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 2), (4, 6, 3), (4, 6, 4)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.uint16])
def test_shapes(shape, kind) -> None:
    array = (np.arange(np.prod(shape)) % 200).reshape(shape).astype(kind)
    assert as_rgb(array).shape == (4, 6, 3)
    assert as_rgb(array).dtype == np.uint8


def test_image_and_its_array_look_alike() -> None:
    image = Image.from_array(np.arange(24, dtype=np.uint8).reshape(4, 6))
    assert np.array_equal(as_rgb(image), as_rgb(image.array))


@given(codes_of_three)
def test_overlay_touches_only_labelled_pixels(codes) -> None:
    picture = overlay(grey, codes, class_palette(3), alpha=0.5)
    assert np.array_equal(picture[codes == 0], as_rgb(grey)[codes == 0])
    full = overlay(grey, codes, class_palette(3), alpha=1.0)
    for code in (1, 2, 3):
        assert (full[codes == code] == class_palette(3)[code - 1]).all()


def test_overlay_values() -> None:
    picture = overlay(np.full((1, 1), 100, np.uint8), np.ones((1, 1), int), [[200, 0, 50]], 0.5)
    assert picture.tolist() == [[[150, 50, 75]]]


def test_outline_leaves_the_inside() -> None:
    codes = np.zeros((9, 9), np.uint8)
    codes[2:7, 2:7] = 1
    picture = outline(np.zeros((9, 9), np.uint8), codes)
    assert picture[2, 4].tolist() == class_palette(1)[0].tolist()
    assert picture[4, 4].tolist() == [0, 0, 0]
    assert picture[0, 0].tolist() == [0, 0, 0]


@given(codes_of_three, codes_of_three)
def test_difference_colours_exactly_the_changed_pixels(before, after) -> None:
    picture = difference(grey, before, after, class_palette(3))
    same = difference(grey, before, before, class_palette(3))
    changed = (picture != same).any(axis=-1)
    assert np.array_equal(changed, before != after)


def test_uncertainty_is_comparable_and_marks_the_unknown() -> None:
    values = np.array([[0.0, 0.1, np.nan]])
    low, high = uncertainty_rgb(values, vmax=0.25), uncertainty_rgb(values, vmax=0.1)
    assert low[0, 2].tolist() == [128, 128, 128]
    assert low[0, 0].tolist() == high[0, 0].tolist()
    assert low[0, 1].sum() < high[0, 1].sum()
    assert uncertainty_rgb(np.zeros((2, 2))).shape == (2, 2, 3)


def test_errors() -> None:
    with pytest.raises(LimsupError, match="got 3"):
        overlay(grey, np.full((5, 7), 3), class_palette(2))
    with pytest.raises(LimsupError, match=r"\(5, 6\)"):
        overlay(grey, np.ones((5, 6), int))
    with pytest.raises(LimsupError, match="shape"):
        as_rgb(np.zeros(3))


def test_figure_loop_names_its_pictures() -> None:
    codes = np.ones((5, 7), np.uint8)
    figure = figure_loop(grey, codes, codes, codes, ("a", "b"), uncertainty=grey / 4, truth=codes)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:4] == ["image and strokes", "before", "after", "what changed"]
    assert {"truth", "uncertainty"} <= set(titles)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
