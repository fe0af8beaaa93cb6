"""The sheet of weak labels: what each panel states."""

import numpy as np
import pytest

from limsup_widgets.errors import LimsupError
from limsup_widgets.view.weak_figure import weak_label_sheet


def square():
    mask = np.ones((40, 40), np.uint8)
    mask[10:30, 8:28] = 2
    return mask


def test_values():
    figure = weak_label_sheet(square() / 2.0, square(), names=("rest", "organ"))
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[0] == "dense: 240 s" and titles[-1] == "image: 0 s"
    written = [text.get_text() for text in figure.axes[6].texts]
    assert written == ["organ: yes"]
    box = figure.axes[4].patches[0]
    assert box.get_xy() == (7.5, 9.5) and (box.get_width(), box.get_height()) == (20, 20)


def test_an_image_without_object():
    figure = weak_label_sheet(np.zeros((30, 30)), np.ones((30, 30), int))
    assert [text.get_text() for text in figure.axes[6].texts] == ["class 2: no"]


def test_errors():
    with pytest.raises(LimsupError):
        weak_label_sheet(np.zeros((4, 30, 30)), np.ones((4, 30, 30), int))
