import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from limsup_widgets.data.strokes import Stroke
from limsup_widgets.errors import LimsupError

label_pairs = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9).flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.uint8, shape, elements=st.integers(0, 3)),
        hnp.arrays(np.uint8, shape, elements=st.integers(0, 3)),
    )
)


@given(label_pairs)
def test_roundtrip(pair):
    before, after = pair
    changed = np.flatnonzero(before != after)
    stroke = Stroke.from_pixels(
        before.shape, changed, before.flat[changed], after.flat[changed], image=2, seconds=1.5
    )
    stroke = Stroke.from_event(json.loads(json.dumps(stroke.as_event())))
    labels = before.copy()
    stroke.apply(labels)
    assert (labels == after).all()
    stroke.revert(labels)
    assert (labels == before).all()
    assert (stroke.pixels() == changed).all()
    assert stroke.image == 2 and stroke.seconds == 1.5


def test_values():
    stroke = Stroke.from_pixels((3, 4), [5, 0, 1, 4, 1], [0, 0, 0, 2, 0], 3)
    assert stroke.runs == ((0, 2, 0, 3), (4, 1, 2, 3), (5, 1, 0, 3))
    assert Stroke.from_pixels((3, 4), [], 0, 1).runs == ()


def test_values_strided_labels():
    labels = np.zeros((4, 3), np.uint8, order="F")
    Stroke.from_pixels((4, 3), [0, 1, 5], 0, 1).apply(labels)
    assert labels.ravel().tolist() == [1, 1, 0, 0, 0, 1] + [0] * 6


def test_errors():
    with pytest.raises(LimsupError, match="got 12"):
        Stroke.from_pixels((3, 4), [12], 0, 1)
    with pytest.raises(LimsupError, match="expected \\(3, 4\\)"):
        Stroke.from_pixels((3, 4), [1], 0, 1).apply(np.zeros((4, 3), np.uint8))
    with pytest.raises(LimsupError, match="no runs"):
        Stroke.from_event({"image": 0, "shape": [1, 1]})
