import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.metrics import agreement, dice_per_class, mean_dice

code_images = hnp.arrays(np.uint8, (2, 3, 4), elements=st.integers(0, 4))


def oracle(predicted, truth, classes):
    """Dice counted pixel by pixel where the truth is known."""
    known = truth > 0
    p, t = predicted[known], truth[known]
    sizes = [
        (((p == c) & (t == c)).sum(), (p == c).sum() + (t == c).sum())
        for c in range(1, classes + 1)
    ]
    return [
        2 * both / total if (t == c).any() else math.nan for c, (both, total) in enumerate(sizes, 1)
    ]


@given(code_images, code_images)
def test_values(predicted, truth):
    found = dice_per_class(list(predicted), list(truth), 5)
    np.testing.assert_allclose(found, oracle(predicted, truth, 5), rtol=1e-6)


def test_values_pooled_over_sizes():
    truth = [np.full((2, 3), 1), np.array([[1, 2, 2, 0]])]
    predicted = [np.full((2, 3), 1), np.array([[2, 2, 2, 1]])]
    found = dice_per_class(predicted, truth, 3)
    np.testing.assert_allclose(found, [12 / 13, 4 / 5, math.nan], rtol=1e-6)
    assert mean_dice(found) == pytest.approx((12 / 13 + 4 / 5) / 2)


def test_values_nothing_known():
    nothing = dice_per_class([np.ones((2, 2), int)], [np.zeros((2, 2), int)], 2)
    assert np.isnan(nothing).all() and math.isnan(mean_dice(nothing))


def test_values_agreement():
    a, b = np.array([[1, 2, 3, 4]]), np.array([[1, 2, 4, 4]])
    assert agreement(a, b) == 0.75
    assert agreement(a, b, where=np.array([[False, True, True, False]])) == 0.5


def test_errors():
    with pytest.raises(LimsupError, match="expected a prediction for every truth"):
        dice_per_class([np.ones((2, 2))], [np.ones((2, 3))], 2)
    with pytest.raises(LimsupError, match=r"Dice: got shapes \[\] and \[\]"):
        dice_per_class([], [], 2)
    with pytest.raises(LimsupError, match=r"Dice"):
        dice_per_class([np.ones((2, 2))] * 2, [np.ones((2, 2))], 2)
