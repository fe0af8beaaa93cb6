"""Toy images: what the dials promise."""

import numpy as np
import pytest

from limsup_widgets.data.blobs import BACKGROUND, OBJECT, SECOND, blobs
from limsup_widgets.errors import LimsupError


def test_shapes():
    toy = blobs(4, seed=0, size=32)
    assert toy.images.shape == (4, 1, 32, 32) and toy.images.dtype == np.float32
    assert toy.masks.shape == (4, 32, 32) and toy.masks.dtype == np.uint8
    assert len(toy) == 4 and toy.classes == 2


def test_values_a_longer_set_begins_with_the_shorter():
    short, long = blobs(3, seed=5, distractors=1), blobs(6, seed=5, distractors=1)
    np.testing.assert_array_equal(short.images, long.images[:3])
    np.testing.assert_array_equal(short.masks, long.masks[:3])
    assert not np.array_equal(blobs(3, seed=6).masks, blobs(3, seed=5).masks)


def test_values_the_object_is_brighter_by_the_contrast():
    toy = blobs(30, seed=0, noise=0.0, ramp=0.0, contrast=0.25)
    for image, mask in zip(toy.images[:, 0], toy.masks, strict=True):
        assert np.ptp(image[mask == OBJECT]) < 1e-6
        gap = image[mask == OBJECT].mean() - image[mask == BACKGROUND].mean()
        assert gap == pytest.approx(0.25, abs=1e-6)
    assert 0.1 < (toy.masks == OBJECT).mean() < 0.25


def test_values_distractors_are_background_of_the_objects_grey():
    plain, hard = (blobs(20, seed=3, noise=0.0, ramp=0.0, distractors=d) for d in (0, 2))
    np.testing.assert_array_equal(plain.masks, hard.masks)
    bright = (hard.images[:, 0] > 0.5) & (hard.masks == BACKGROUND)
    assert bright.any() and not ((plain.images[:, 0] > 0.5) & (plain.masks == BACKGROUND)).any()


def test_values_hole_second_organ_and_empty_images():
    holes = blobs(10, seed=0, noise=0.0, ramp=0.0, hole=True)
    pairs = zip(holes.images[:, 0], holes.masks, strict=True)
    assert all(np.ptp(image[mask == OBJECT]) > 0.3 for image, mask in pairs)
    two = blobs(10, seed=0, second=True)
    assert two.classes == 3 and (two.masks == SECOND).any((1, 2)).all()
    assert (blobs(10, seed=0, empty=1.0).masks == BACKGROUND).all()
    share = (blobs(200, seed=0, size=24, empty=0.3).masks == OBJECT).any((1, 2)).mean()
    assert 0.6 < share < 0.8


def test_values_hetero_moves_whole_images():
    means = blobs(40, seed=0, hetero=0.2).images.mean((1, 2, 3))
    assert means.std() > 2 * blobs(40, seed=0).images.mean((1, 2, 3)).std()


@pytest.mark.parametrize("bad", [{"n": 0}, {"n": 2, "size": 8}, {"n": 2, "empty": 1.5}])
def test_errors(bad):
    with pytest.raises(LimsupError, match="blobs"):
        blobs(**bad)
