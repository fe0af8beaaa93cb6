import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learn.toys import random_input, tiny_unet

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn import biomarker, moments
from limsup_widgets.learn.biomarker import area_fractions, mc_fractions

coverages = st.floats(0.05, 0.95)


def test_values_area():
    codes = np.array([[0, 1, 1], [2, 2, 2]], np.uint8)
    assert area_fractions(codes, 3).tolist() == [0.4, 0.6, 0.0]
    assert area_fractions(np.zeros((2, 2), np.uint8), 2).tolist() == [0, 0]


def test_values_fractions_of_passes():
    net, x = tiny_unet(p_drop=0.4), random_input(shape=(3, 21, 30))
    stack = np.stack([p.numpy() for p in moments.mc_passes(net, x, 4, seed=3)])
    soft, hard = (mc_fractions(net, x, 4, seed=3, soft=soft) for soft in (True, False))
    assert soft.shape == hard.shape == (4, 3)
    np.testing.assert_allclose(soft, stack.mean((2, 3)), atol=1e-6)
    counted = [[(p.argmax(0) == c).mean() for c in range(3)] for p in stack]
    np.testing.assert_allclose(hard, counted, atol=1e-12)
    np.testing.assert_allclose(np.stack([soft, hard]).sum(-1), 1, atol=1e-6)


def check_coverage(residuals, coverage):
    """Each subject left out in turn: the law of exchangeable residuals, without a sample."""
    covered = sum(
        abs(r) <= biomarker.conformal_halfwidth(residuals[:i] + residuals[i + 1 :], coverage)
        for i, r in enumerate(residuals)
    )
    assert covered >= coverage * len(residuals) - 1e-9


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=40), coverages)
def test_coverage(residuals, coverage):
    check_coverage(residuals, coverage)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), coverages)
def test_values_halfwidth(residuals, coverage):
    width, sizes = biomarker.conformal_halfwidth(residuals, coverage), sorted(map(abs, residuals))
    rank = math.ceil((len(sizes) + 1) * coverage - 1e-9)
    assert width == (sizes[rank - 1] if rank <= len(sizes) else math.inf)


def test_values_coverage_of_new_subjects():
    rng = np.random.default_rng(0)
    draws = rng.standard_t(3, (4000, 20))
    hit = [abs(row[0]) <= biomarker.conformal_halfwidth(row[1:], 0.9) for row in draws]
    assert 0.9 - 3 * math.sqrt(0.09 / 4000) < np.mean(hit) < 0.97


@pytest.mark.parametrize("coverage", [0.0, 1.0, 90, -0.1])
def test_errors(coverage):
    with pytest.raises(LimsupError, match=f"coverage: got {coverage}, expected between 0 and 1"):
        biomarker.conformal_halfwidth([0.1], coverage)
