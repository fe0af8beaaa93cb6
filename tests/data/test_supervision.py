"""The dial: what minutes buy, and that labels follow from one view of the image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limsup_widgets.data.blobs import blobs
from limsup_widgets.data.supervision import supervise
from limsup_widgets.data.weak import AnnotationCost
from limsup_widgets.data.weak.costs import KINDS
from limsup_widgets.errors import LimsupError

MASKS = blobs(12, seed=0, size=32).masks
FLAT = [kind for kind in KINDS if kind != "slice"]


@pytest.mark.parametrize("kind", FLAT)
def test_values_never_contradict_the_mask(kind):
    seen = supervise(MASKS, kind, minutes=20, unlabelled=3)
    known = seen.labels > 0
    np.testing.assert_array_equal(seen.labels[known], MASKS[known])
    assert known.any() == (kind not in ("tag", "size"))
    assert not (seen.labels[seen.pool] > 0).any()
    assert (seen.tags[seen.labelled] >= 0).all() and (seen.tags[seen.pool] == -1).all()


def test_values_minutes_buy_whole_images():
    assert len(supervise(MASKS, "dense", 11.9).labelled) == 2
    assert supervise(MASKS, "dense", 11.9).minutes == pytest.approx(8)
    assert len(supervise(MASKS, "point", 0.5).labelled) == 6
    assert len(supervise(MASKS, "point+size", 0.5).labelled) == 2
    assert len(supervise(MASKS, "point", 60).labelled) == len(MASKS)


def test_values_an_empty_image_costs_a_tag():
    masks = np.ones((10, 16, 16), np.uint8)
    assert len(supervise(masks, "dense", 10 / 60).labelled) == 10
    dear = AnnotationCost("no tag known", dense=60)
    assert len(supervise(masks, "dense", 3, cost=dear).labelled) == 3


def test_values_more_minutes_keep_what_fewer_bought():
    few, many = supervise(MASKS, "scribble", 1, seed=4), supervise(MASKS, "scribble", 3, seed=4)
    np.testing.assert_array_equal(many.labelled[: len(few.labelled)], few.labelled)
    np.testing.assert_array_equal(many.labels[few.labelled], few.labels[few.labelled])
    assert not np.array_equal(supervise(MASKS, "scribble", 1, seed=5).labelled, few.labelled)


def test_values_sizes_and_boxes_come_with_their_kinds():
    sized = supervise(MASKS, "size", 2)
    i = sized.labelled[0]
    np.testing.assert_allclose(sized.sizes[i], [(MASKS[i] == c).mean() for c in (1, 2)])
    assert np.isnan(np.delete(sized.sizes, sized.labelled, axis=0)).all()
    boxed = supervise(MASKS, "box", 2)
    assert all((boxed.boxes[i] is not None) == (i in boxed.labelled) for i in range(len(MASKS)))


def test_values_noise_spoils_all_kinds_together():
    seen = supervise(MASKS, "dense+size", 60, noise=0.3, seed=1)
    assert 0.005 < (seen.labels != MASKS).mean() < 0.2
    for i in seen.labelled:
        assert seen.tags[i, 1] == (seen.labels[i] == 2).any()
        assert seen.sizes[i, 1] == pytest.approx((seen.labels[i] == 2).mean())
    assert (supervise(MASKS, "tag", 60, noise=1.0).tags == 0).any()


def test_values_volumes():
    volume = np.repeat(MASKS[:3, None], 4, axis=1)
    sparse = supervise(volume, "slice", 12)
    planes = (sparse.labels > 0).any((2, 3)).sum(1)
    assert planes.tolist() == [1, 1, 1]
    assert len(supervise(volume, "dense", 16).labelled) == 1
    assert len(supervise(volume, "slice", 16, number=2).labelled) == 2


def test_values_options_reach_the_generator():
    few, many = (supervise(MASKS, "scribble", 2, strokes=n).share for n in (1, 4))
    assert many > 1.5 * few
    assert supervise(MASKS, "point+size", 2, background=0).labels.max() == 2


@given(st.sampled_from(FLAT), st.floats(0.2, 30), st.integers(0, 20), st.integers(0, 9))
def test_values_is_deterministic_and_within_budget(kind, minutes, unlabelled, seed):
    masks = MASKS[:5]
    try:
        one, two = (supervise(masks, kind, minutes, unlabelled, seed=seed) for _ in range(2))
    except LimsupError as error:
        assert "minutes" in str(error)
        return
    np.testing.assert_array_equal(one.labels, two.labels)
    assert one.minutes <= minutes + 1e-6
    assert not set(one.labelled) & set(one.pool)
    assert len(one.labelled) + len(one.pool) <= len(masks)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "caption"}, "caption"),
        ({"kind": "slice"}, "slice"),
        ({"kind": "dense", "minutes": 1}, "at least 4"),
        ({"noise": 2.0}, "noise"),
        ({"mask": np.ones((4, 4))}, "float64 of shape"),
        ({"kind": "tag", "strokes": 2}, "options"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(LimsupError, match=message):
        supervise(**({"mask": MASKS} | arguments))
