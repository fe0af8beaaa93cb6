import numpy as np
import pytest

from limsup_widgets.learn.moments import Moments
from limsup_widgets.session.screen import WHOLE, Part, Screen, inside, overlap, pieces


def certain(code, size):
    """Probabilities (3, h, w) that leave no doubt."""
    prob = np.zeros((3, *size), np.float32)
    prob[code - 1] = 1
    return prob


def moments(value, size, passes):
    maps = [np.full((2, *size), value * k, np.float32) for k in (0.5, 0.1, 0.05)]
    return Moments(*maps, passes)


def test_values_a_part_fills_its_place():
    screen = Screen(0, (10, 10, 30, 30))
    screen.put(Part(1, (0, 0, 20, 20), "quick", certain(2, (20, 20))))
    assert (screen.codes[:10, :10] == 2).all() and screen.codes.sum() == 200
    assert screen.done == 0.25 and screen.by == "quick" and screen.passes == 0


def test_values_passes_are_those_of_the_least_certain_pixel():
    screen = Screen(0, (0, 0, 4, 4))
    screen.put(Part(1, (0, 0, 2, 4), "network", None, moments(1, (2, 4), 8)))
    assert screen.passes == 0
    screen.put(Part(1, (2, 0, 4, 4), "network", None, moments(2, (2, 4), 2)))
    assert screen.passes == 2
    np.testing.assert_allclose(screen.kinds["A"][[0, 3], 0], [0.2, 0.4])
    np.testing.assert_allclose(screen.kinds["E"][[0, 3], 0], [0.1, 0.2])


def test_values_the_old_stays_until_the_new_has_come_that_far():
    screen = Screen(0, (0, 0, 4, 4))
    screen.put(Part(1, (0, 0, 4, 4), "network", certain(1, (4, 4))))
    screen.forget()
    assert screen.done == 0 and (screen.codes == 1).all()
    screen.put(Part(2, (0, 0, 2, 4), "network", certain(3, (2, 4))))
    assert screen.done == 0.5 and screen.codes[:, 0].tolist() == [3, 3, 1, 1]


def test_values_nothing_in_common():
    here, there = overlap((0, 0, 4, 4), (8, 8, 9, 9))
    assert np.zeros((4, 4))[here].size == np.zeros((1, 1))[there].size == 0


@pytest.mark.parametrize("shape", [(1500, 900), (2000, 2100)])
@pytest.mark.parametrize("visible", [None, (100, 50, 700, 600), (0, 0, 1500, 900)])
def test_values_pieces_cover_the_window_with_what_is_visible_first(shape, visible):
    window = (64, 0, 1400, 800)
    boxes = pieces(shape, window, visible)
    covered = np.zeros(shape, bool)
    for top, left, bottom, right in boxes:
        covered[top:bottom, left:right] = True
    assert covered[window[0] : window[2], window[1] : window[3]].all()
    if visible == (100, 50, 700, 600):
        assert boxes[0] == visible and not any(inside(box, visible) for box in boxes[1:])


def test_values_a_small_image_is_one_piece():
    assert pieces((1024, WHOLE // 1024), (5, 5, 9, 9), (6, 6, 7, 7)) == [(0, 0, 1024, 1024)]
