"""Toy abdomens: what is drawn, what repeats, and what each dial does."""

import numpy as np
import pytest

from limsup_widgets.data.abdomen import CLASSES, GREY, ORGANS, abdomens
from limsup_widgets.errors import LimsupError

SPLEEN = CLASSES.index("spleen")


def test_shapes():
    some = abdomens(3, seed=1, size=48)
    assert some.images.shape == (3, 1, 48, 48) and some.images.dtype == np.float32
    assert some.masks.shape == some.bodies.shape == (3, 48, 48)
    assert len(some) == 3 and np.unique(some.masks).tolist() == [1, 2, 3, 4, 5, 6]


def test_values_a_longer_set_begins_with_the_shorter():
    short, long = abdomens(2, seed=3), abdomens(5, seed=3)
    np.testing.assert_array_equal(short.images, long.images[:2])
    assert not np.array_equal(long.masks[0], abdomens(1, seed=4).masks[0])


def test_values_shares():
    shares = abdomens(40).shares()
    np.testing.assert_allclose(shares.sum(1), 1)
    liver, spleen, kidneys, pancreas, aorta = shares.mean(0)[1:]
    assert liver > spleen > pancreas > aorta and 0.06 < liver < 0.12 and kidneys > pancreas


def test_values_grey_levels():
    some = abdomens(8, noise=0, bias=0)
    for code, organ in enumerate(ORGANS, start=2):
        np.testing.assert_allclose(some.images[:, 0][some.masks == code], GREY[organ], rtol=1e-6)
    assert some.bodies[some.masks > 1].all()


def test_values_megaly():
    usual, ill = abdomens(20), abdomens(20, megaly={"spleen": 1.8})
    ratio = ill.shares().mean(0) / usual.shares().mean(0)
    assert 1.4 < ratio[SPLEEN] < 1.9 and 0.9 < ratio[1] < 1.02


def test_values_a_narrow_field_shows_larger_organs():
    usual, narrow = abdomens(20), abdomens(20, fov=0.8)
    ratio = narrow.shares().mean(0)[1:] / usual.shares().mean(0)[1:]
    np.testing.assert_allclose(ratio, 1 / 0.8**2, rtol=0.08)


def test_values_spread():
    log = [np.log(abdomens(30, spread=s).shares()[:, 1]).std() for s in (0.0, 1.0)]
    assert log[0] < 0.25 < log[1]


@pytest.mark.parametrize("options", [{"n": 0}, {"size": 16}, {"fov": 0.1}, {"megaly": {"hip": 2}}])
def test_errors(options):
    with pytest.raises(LimsupError):
        abdomens(**{"n": 1, **options})
