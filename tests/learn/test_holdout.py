import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limsup_widgets.data.history import History
from limsup_widgets.data.strokes import Stroke
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.holdout import balanced_accuracy, better, split_strokes

SHAPE = (6, 10)


def row(number, code, image=0, old=0):
    """A stroke over half a row."""
    start = 10 * number
    return Stroke.from_pixels(SHAPE, np.arange(start, start + 5), old, code, image)


def painted(strokes, images=1):
    history = History([SHAPE] * images)
    for stroke in strokes:
        history.push(stroke)
    return history


def test_values():
    strokes = [row(0, 1), row(1, 2), row(2, 1), row(3, 1), row(4, 1), row(5, 2)]
    split = split_strokes(strokes, [SHAPE], first=4)
    assert split.teach[0][:, 0].tolist() == [1, 2, 1, 1, 0, 2]
    assert split.test[0][:, 0].tolist() == [0, 0, 0, 0, 1, 0]
    assert split.strokes == 1 and not split.enough


def test_values_first_and_every():
    strokes = [row(n % 6, 1, n // 6) for n in range(18)]
    split = split_strokes(strokes, [SHAPE] * 3)
    marked = np.concatenate([y[:, 0] for y in split.test])
    assert np.flatnonzero(marked).tolist() == [7, 11, 15] and split.strokes == 3


def test_values_classes_and_images_of_one_case():
    """Classes are counted apart, images are not."""
    strokes = [row(n % 4, code, n // 4) for n in range(8) for code in (1,)]
    strokes += [row(4 + n % 2, 2, n // 2) for n in range(4)]
    split = split_strokes(strokes, [SHAPE] * 2, first=4)
    assert [y[:, 0].tolist() for y in split.test] == [[0, 0, 0, 1, 0, 0], [0, 0, 0, 1, 0, 2]]
    assert split.strokes == 3 and not split.enough
    more = [row(4, 1, 1), row(4, 2, 1, old=1)] + [row(5, 2, 0, old=2) for _ in range(3)]
    assert split_strokes([*strokes, *more], [SHAPE] * 2, first=4).enough


def test_values_enough_needs_two_classes():
    many = [row(n % 6, 1, n // 6) for n in range(24)]
    split = split_strokes(many, [SHAPE] * 4, first=4)
    assert split.strokes == 6 and not split.enough


def test_values_painted_over_and_erased():
    strokes = [row(n, 1) for n in range(4)]
    over = split_strokes([*strokes, row(3, 2, old=1)], [SHAPE], first=4)
    assert over.strokes == 0 and over.teach[0][3, 0] == 2
    erased = split_strokes([*strokes, row(3, 0, old=1)], [SHAPE], first=4)
    assert erased.strokes == 0 and erased.teach[0][3, 0] == erased.test[0][3, 0] == 0


def test_values_a_loaded_label_image():
    """One stroke of two classes counts for both."""
    both = Stroke.from_pixels(SHAPE, [0, 1, 2, 3], 0, [1, 1, 2, 2])
    rows = [row(n, code, old=0) for n, code in ((1, 1), (2, 1), (3, 2), (4, 2))]
    split = split_strokes([*rows, both], [SHAPE], first=3, every=3)
    assert split.test[0][0, :4].tolist() == [1, 1, 2, 2] and split.strokes == 2


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_laws(data):
    """The two parts make up the labels, and no stroke changes sides, whatever comes later."""
    history = History([SHAPE] * 2)
    splits = []
    for _ in range(data.draw(st.integers(1, 12))):
        image, first = data.draw(st.integers(0, 1)), data.draw(st.integers(0, 50))
        pixels = np.arange(first, first + data.draw(st.integers(1, 10)))
        old = history.labels[image].flat[pixels]
        history.push(Stroke.from_pixels(SHAPE, pixels, old, data.draw(st.integers(0, 3)), image))
        splits.append(split_strokes(history.done, [SHAPE] * 2, first=2, every=2))
        for y, teach, test in zip(history.labels, splits[-1].teach, splits[-1].test, strict=True):
            assert np.array_equal(teach + test, y) and not (teach & test).any()
    if len(splits) > 1:
        history.undo()
        again = split_strokes(history.done, [SHAPE] * 2, first=2, every=2)
        assert all(map(np.array_equal, again.test, splits[-2].test))
    touched = [{stroke.image * 60 + int(p) for p in stroke.pixels()} for stroke in history.done]
    for number, now in enumerate(splits[:-1]):
        later = set().union(*touched[number + 1 :]) if touched[number + 1 :] else set()
        kept = [p for p in range(120) if p not in later]
        before, after = (
            np.stack(s.test).ravel()[kept] for s in (now, splits[len(history.done) - 1])
        )
        assert np.array_equal(before, after)


def test_values_better():
    assert better(0.9, 0.8, 4) == "quick" and better(0.8, 0.8, 4) == "network"
    assert better(0.9, 0.8, 3) == "network" and better(0.9, 0.8, 3, enough=3) == "quick"
    assert better(float("nan"), 0.2, 9) == better(0.9, float("nan"), 9) == "network"


def test_values_balanced_accuracy():
    known = np.array([1] * 98 + [2] * 2)
    assert balanced_accuracy(np.ones(100), known) == 0.5
    assert balanced_accuracy(np.full(100, 3), known) == 0
    assert np.isnan(balanced_accuracy(np.empty(0), np.empty(0)))


def test_errors():
    with pytest.raises(LimsupError, match="every: got 1, expected at least 2"):
        split_strokes([], [], every=1)
    with pytest.raises(LimsupError, match="first: got 1, expected at least 2"):
        split_strokes([], [], first=1)
