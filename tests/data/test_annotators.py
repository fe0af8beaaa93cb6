import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from limsup_widgets.data.annotators import STYLES, Style, TimeCost, annotate, scribble_labels
from limsup_widgets.data.kidney import kidney_cohort
from limsup_widgets.errors import LimsupError

blocky = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.integers(0, 6)
)


@pytest.fixture(scope="module")
def truths():
    return [kidney_cohort().patients[k].truth(k) for k in range(4)]


def summary(truths, style, fraction=1.0):
    """Mean strokes, share of pixels scribbled, share of those wrong, seconds."""
    rows = []
    for image, truth in enumerate(truths):
        strokes = annotate(truth, style, fraction, seed=1, image=image)
        labels = scribble_labels(strokes, truth.shape)
        drawn = labels > 0
        wrong = (labels[drawn] != truth[drawn]).mean()
        rows.append((len(strokes), drawn.mean(), wrong, sum(s.seconds for s in strokes)))
    return np.mean(rows, axis=0)


def test_values_main(truths):
    strokes, share, wrong, seconds = summary(truths, "main")
    assert 28 <= strokes <= 38 and 0.025 < share < 0.045 and wrong == 0
    assert 60 < seconds < 300


def test_values_secondary(truths):
    strokes, share, wrong, _ = summary(truths, "secondary")
    assert 15 <= strokes <= 22 and 0.008 < share < 0.016 and 0.03 < wrong < 0.12


def test_values_fraction_keeps_whole_strokes(truths):
    for style in STYLES:
        full, half = annotate(truths[0], style), annotate(truths[0], style, 0.5)
        for code in range(1, 5):
            every = [s.pixels().tolist() for s in full if s.runs[0][3] == code]
            kept = [s.pixels().tolist() for s in half if s.runs[0][3] == code]
            assert kept == every[: int(np.ceil(len(every) / 2))]
    assert annotate(truths[0], fraction=0.0) == []


@settings(max_examples=25, deadline=None)
@given(blocky, st.integers(1, 5), st.integers(0, 100))
def test_values_careful_hand_is_never_wrong(blocks, zoom, seed):
    truth = np.kron(blocks, np.ones((zoom, zoom), np.uint8))
    strokes = annotate(truth, seed=seed, strokes_per_class=2)
    labels = scribble_labels(strokes, truth.shape)
    assert (labels[labels > 0] == truth[labels > 0]).all()
    assert set(np.unique(labels[labels > 0])) == set(np.unique(truth[truth > 0]))


@settings(max_examples=15, deadline=None)
@given(blocky, st.integers(1, 5), st.integers(0, 100))
def test_roundtrip(blocks, zoom, seed):
    truth = np.kron(blocks, np.ones((zoom, zoom), np.uint8))
    strokes = annotate(truth, "secondary", seed=seed, image=3)
    labels = scribble_labels(strokes, truth.shape)
    assert all(s.image == 3 and s.shape == truth.shape for s in strokes)
    for stroke in reversed(strokes):
        stroke.revert(labels)
    assert not labels.any()


def test_equivalence_same_seed(truths):
    assert annotate(truths[1], seed=4) == annotate(truths[1], seed=4)
    assert annotate(truths[1], seed=4) != annotate(truths[1], seed=5)
    assert annotate(truths[1], seed=4) != annotate(truths[1], seed=4, image=1)


def test_values_count_is_a_setting(truths):
    strokes = annotate(truths[0], strokes_per_class={1: 3, 2: 1, 3: 0, 4: 0})
    assert [s.runs[0][3] for s in strokes] == [1, 1, 1, 2]
    wide = Style({}, {}, other_classes=(1, 30), width=7, margin=4)
    thin = Style({}, {}, other_classes=(1, 30), width=1, margin=1)
    square = np.ones((60, 60), np.uint8)
    area = [annotate(square, style)[0].pixels().size for style in (wide, thin)]
    assert area[0] > 3 * area[1]


def test_values_time():
    cost = TimeCost(travel=2, speed=10, class_change=5)
    assert cost.seconds(30, changed=False) == 5
    assert cost.seconds(30, changed=True) == 10
    truth = np.ones((30, 30), np.uint8)
    slow = annotate(truth, cost=TimeCost(speed=1))
    fast = annotate(truth, cost=TimeCost(speed=100))
    assert sum(s.seconds for s in slow) > sum(s.seconds for s in fast)


def test_errors():
    with pytest.raises(LimsupError, match="float64 of shape"):
        annotate(np.zeros((4, 4)))
    with pytest.raises(LimsupError, match="fraction of strokes: got 50"):
        annotate(np.ones((4, 4), int), fraction=50)
    with pytest.raises(LimsupError, match="main or secondary"):
        annotate(np.ones((4, 4), int), "third")
