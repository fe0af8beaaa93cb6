import numpy as np
import pytest

from limsup_widgets.data.blobs import blobs
from limsup_widgets.data.shift import shift_intensity, smooth_field
from limsup_widgets.errors import LimsupError

IMAGES = blobs(3, seed=5).images


def test_values():
    grey = np.clip(IMAGES, 0, None)
    np.testing.assert_allclose(shift_intensity(IMAGES), grey)
    curved = shift_intensity(IMAGES, gamma=1.7, gain=0.8)
    np.testing.assert_allclose(curved, 0.8 * grey**1.7, rtol=1e-5)
    dark = shift_intensity(IMAGES, invert=True)
    np.testing.assert_allclose(dark, np.clip(1 - IMAGES, 0, None), rtol=1e-6)


def test_values_order_of_grey_levels():
    order = np.argsort(np.clip(IMAGES[0].ravel(), 0, None), kind="stable")
    assert (np.diff(shift_intensity(IMAGES, gamma=2.5)[0].ravel()[order]) >= 0).all()
    assert (np.diff(shift_intensity(IMAGES, invert=True)[0].ravel()[order]) <= 0).all()


def test_values_bias_is_smooth_and_bounded():
    added = shift_intensity(IMAGES, bias=0.2) - shift_intensity(IMAGES)
    assert np.abs(added).max(axis=(1, 2, 3)) == pytest.approx(np.full(3, 0.2), abs=1e-5)
    assert np.abs(np.diff(added, axis=-1)).max() < 0.05
    assert np.abs(added[0] - added[1]).max() > 0.05
    assert smooth_field(np.random.default_rng(0), (5, 7)).shape == (5, 7)


def test_values_noise():
    added = shift_intensity(IMAGES, noise=0.1) - shift_intensity(IMAGES)
    assert added.std() == pytest.approx(0.1, rel=0.05)


def test_equivalence_longer_set_begins_with_the_shorter():
    dials = {"gamma": 1.3, "bias": 0.1, "noise": 0.05, "seed": 4}
    both = [shift_intensity(images, **dials) for images in (IMAGES, IMAGES[:2])]
    np.testing.assert_array_equal(both[0][:2], both[1])
    assert np.abs(shift_intensity(IMAGES, **dials | {"seed": 5}) - both[0]).max() > 0.01


def test_shapes():
    given = IMAGES.copy()
    for images in (given, given[:, 0], given.repeat(2, 1)):
        shifted = shift_intensity(images, bias=0.1, noise=0.1)
        assert shifted.shape == images.shape and shifted.dtype == np.float32
    np.testing.assert_array_equal(given, IMAGES)


def test_errors():
    with pytest.raises(LimsupError, match=r"images: got shape \(48, 48\)"):
        shift_intensity(IMAGES[0, 0])
    for dials in ({"gamma": 0}, {"bias": -1}, {"noise": -1}):
        with pytest.raises(LimsupError, match="shift: got gamma="):
            shift_intensity(IMAGES, **dials)
