"""Curves over stored rows."""

import numpy as np
import pytest
from scipy import stats

from limsup_widgets.teach.curves import curve, levels, select

ROWS = [
    {"method": m, "minutes": x, "seed": s, "dice": 0.1 * x + 0.01 * s + (m == "b")}
    for m in "ab"
    for x in (8, 2)
    for s in range(5)
]


def test_values():
    made = curve(ROWS, "first", method="a")
    assert made.name == "first" and made.x.tolist() == [2, 8]
    np.testing.assert_allclose(made.mean, [0.22, 0.82])
    values = [0.2 + 0.01 * s for s in range(5)]
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (made.low[0], made.high[0]) == pytest.approx((low, high))


def test_values_a_single_row_is_its_own_interval():
    made = curve(ROWS, method="b", seed=0)
    np.testing.assert_array_equal(made.low, made.mean)
    np.testing.assert_array_equal(made.high, made.mean)


def test_values_nothing_selected_is_an_empty_curve():
    assert len(curve(ROWS, method="c").x) == 0
    assert select(ROWS, method="c") == []


def test_values_levels():
    assert levels(ROWS, "method") == ["a", "b"]
    assert levels(ROWS, "minutes") == [2, 8]
    assert levels(ROWS, "absent") == []
