"""Weak labels made from dense masks: what holds for every mask, and a few by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from limsup_widgets.data.weak import (
    box_labels,
    boxes,
    extreme_points,
    flip_tags,
    image_tags,
    missing_objects,
    noisy_boundaries,
    objects,
    partial_classes,
    pixel_counts,
    points,
    region_sizes,
    scribbles,
    sparse_slices,
)
from limsup_widgets.data.weak.boxes import box_slices
from limsup_widgets.data.weak.objects import depth_inside
from limsup_widgets.errors import LimsupError

K = 4
SHAPES = st.one_of(
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=16),
    array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6),
)


def patchy(shape, seed):
    """Random codes in blocks, so that objects have an inside."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(1, K + 1, tuple(-(-side // 3) for side in shape))
    for axis in range(len(shape)):
        coarse = coarse.repeat(3, axis)
    return coarse[tuple(slice(side) for side in shape)].astype(np.uint8)


MASKS = st.one_of(
    SHAPES.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(1, K))),
    st.builds(patchy, SHAPES, st.integers(0, 99)),
)
SEEDS = st.integers(0, 2**16)
QUICK = settings(max_examples=40, deadline=None)

LABELLERS = {
    "points": lambda mask, seed: points(mask, per_object=2, seed=seed),
    "scribbles": lambda mask, seed: scribbles(mask, seed=seed),
    "core": lambda mask, seed: scribbles(mask, placement="centre", seed=seed),
    "rim": lambda mask, seed: scribbles(mask, placement="border", pixels=5, seed=seed),
    "boxes": lambda mask, seed: box_labels(mask, margin=seed % 3, seed=seed),
    "extremes": lambda mask, seed: extreme_points(mask, seed=seed),
    "partial": lambda mask, seed: partial_classes(mask, {1 + seed % K}),
}


@pytest.mark.parametrize("name", LABELLERS)
@QUICK
@given(mask=MASKS, seed=SEEDS)
def test_never_contradicts_the_mask(name, mask, seed):
    before = mask.copy()
    labels = LABELLERS[name](mask, seed)
    assert labels.dtype == np.uint8 and labels.shape == mask.shape
    np.testing.assert_array_equal(labels[labels > 0], mask[labels > 0])
    np.testing.assert_array_equal(labels, LABELLERS[name](mask, seed))
    np.testing.assert_array_equal(mask, before)


@QUICK
@given(mask=MASKS, seed=SEEDS, known=st.integers(1, K))
def test_unknown_pixels_stay_unlabelled(mask, seed, known):
    mask = np.where(mask == known, 0, mask)
    for name, labeller in LABELLERS.items():
        assert not labeller(mask, seed)[mask == 0].any(), name


@QUICK
@given(mask=MASKS, seed=SEEDS, number=st.integers(1, 3))
def test_points_hit_every_object(mask, seed, number):
    clicks = points(mask, per_object=number, background=3, seed=seed)
    for code, where in objects(mask):
        assert (clicks[where] == code).sum() == min(number, where.sum())
    assert (clicks == 1).sum() == min(3, (mask == 1).sum())


@QUICK
@given(mask=MASKS, margin=st.floats(0, 2), seed=SEEDS)
def test_bounds_contain_the_truth(mask, margin, seed):
    exact = region_sizes(mask, K)
    low, high = region_sizes(mask, K, "bounds", margin, seed).T
    assert (low >= 0).all() and (low <= exact).all()
    assert (exact <= high).all() and (high <= 1).all()
    noisy = region_sizes(mask, K, "noisy", margin, seed)
    assert (noisy[exact == 0] == 0).all() and (noisy <= 1).all()
    np.testing.assert_allclose(exact.sum(), 1)


@QUICK
@given(mask=MASKS)
def test_boxes_are_tight(mask):
    found = boxes(mask)
    assert len(found) == sum(1 for _ in objects(mask))
    for row, (code, where) in zip(found, objects(mask), strict=True):
        inside = where[box_slices(row)]
        assert row[0] == code and inside.sum() == where.sum()
        for axis in range(mask.ndim):
            rest = tuple(a for a in range(mask.ndim) if a != axis)
            along = inside.any(axis=rest)
            assert along[0] and along[-1]


@QUICK
@given(mask=MASKS, seed=SEEDS)
def test_extreme_points_fix_the_boxes(mask, seed):
    clicks = extreme_points(mask, seed=seed)
    for row, (code, where) in zip(boxes(mask), objects(mask), strict=True):
        clicked = np.argwhere(where & (clicks == code))
        assert 1 <= len(clicked) <= 2 * mask.ndim
        np.testing.assert_array_equal(clicked.min(0), row[1 : 1 + mask.ndim])
        np.testing.assert_array_equal(clicked.max(0) + 1, row[1 + mask.ndim :])


@QUICK
@given(mask=MASKS, seed=SEEDS, jitter=st.integers(0, 4))
def test_jittered_boxes_stay_boxes(mask, seed, jitter):
    moved, tight = boxes(mask, jitter=jitter, seed=seed), boxes(mask)
    start, stop = moved[:, 1 : 1 + mask.ndim], moved[:, 1 + mask.ndim :]
    assert (start >= 0).all() and (start < stop).all() and (stop <= mask.shape).all()
    assert (abs(moved - tight) <= max(jitter, 1)).all()


@QUICK
@given(mask=MASKS, seed=SEEDS, radius=st.floats(0, 4))
def test_boundaries_wander_within_the_radius(mask, seed, radius):
    wandered = noisy_boundaries(mask, radius, seed=seed)
    for code in range(1, K + 1):
        near = np.zeros(mask.shape, bool)
        if (mask == code).any():
            near = _distance_to(mask == code) <= radius + 1e-9
        assert near[wandered == code].all()
    if radius < 1:
        np.testing.assert_array_equal(wandered, mask)


def _distance_to(region):
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~region)


@QUICK
@given(mask=MASKS, seed=SEEDS, share=st.floats(0, 1))
def test_missing_objects_are_whole(mask, seed, share):
    left = missing_objects(mask, share, seed=seed)
    for code, where in objects(mask):
        assert set(np.unique(left[where])) in ({code}, {1})
    np.testing.assert_array_equal(left[mask == 1], 1)


@QUICK
@given(
    mask=arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.just(2)),
    seed=SEEDS,
    axis=st.integers(0, 2),
    number=st.integers(1, 4),
)
def test_slices_are_whole(mask, seed, axis, number):
    others = tuple(a for a in range(3) if a != axis)
    share = (sparse_slices(mask, number, axis=axis, seed=seed) > 0).mean(axis=others)
    assert set(share.tolist()) <= {0.0, 1.0}
    assert share.sum() == min(number, mask.shape[axis])
    apart = np.flatnonzero(sparse_slices(mask, every=number, axis=axis, seed=seed).max(axis=others))
    assert len(apart) and (np.diff(apart) == number).all()


@pytest.mark.parametrize("placement", ["anywhere", "centre", "border"])
def test_placement(placement):
    y, x = np.mgrid[:60, :60]
    mask = np.where((y - 30) ** 2 + (x - 30) ** 2 < 20**2, 2, 1)
    drawn = np.stack(
        [scribbles(mask, 4, placement=placement, pixels=15, seed=seed) for seed in range(8)]
    )
    assert ((drawn == 2).sum(axis=(1, 2)) == 15).all()
    depth = np.broadcast_to(depth_inside(mask == 2), drawn.shape)[drawn == 2]
    if placement == "centre":
        assert depth.min() >= 0.6 * 20 - 2
    if placement == "border":
        assert depth.max() <= 3
    if placement == "anywhere":
        assert depth.min() >= 1 and depth.max() > 5


def test_scribbles_in_a_volume():
    mask = np.ones((4, 30, 30), np.uint8)
    mask[:, 5:20, 5:25] = 3
    drawn = scribbles(mask, seed=3)
    assert all({1, 3} <= set(np.unique(plane)) for plane in drawn)
    assert (drawn[0] != drawn[1]).any()
    thin = scribbles(sparse_slices(mask, number=1, seed=1), seed=3)
    assert (thin.max(axis=(1, 2)) > 0).sum() == 1


def test_values():
    mask = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [3, 1, 1, 1]])
    assert pixel_counts(mask, K).tolist() == [7, 4, 1, 0]
    assert image_tags(mask, K).tolist() == [True, True, True, False]
    np.testing.assert_allclose(region_sizes(mask, K), np.array([7, 4, 1, 0]) / 12)
    assert boxes(mask).tolist() == [[2, 0, 2, 2, 4], [3, 2, 0, 3, 1]]
    assert boxes(mask, margin=1).tolist() == [[2, 0, 1, 3, 4], [3, 1, 0, 3, 2]]
    assert boxes(np.ones((3, 3), int)).shape == (0, 5)
    assert box_labels(mask).tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 1]]
    assert box_labels(mask, filled=True).tolist() == mask.tolist()
    assert partial_classes(mask, [2], as_background=True).max() == 2


def test_a_filled_box_keeps_the_small_one_on_top():
    mask = np.ones((9, 9), int)
    mask[0], mask[:, 0], mask[4, 4] = 2, 2, 3
    assert box_labels(mask, filled=True)[4, 4] == 3
    assert set(np.unique(box_labels(mask, filled=True))) == {2, 3}


def test_middle_of_the_bounds_gives_nothing_away():
    mask = np.repeat([[1, 2]], 50, axis=0)
    middles = [region_sizes(mask, 2, "bounds", seed=s)[1].mean() for s in range(200)]
    assert np.std(middles) > 0.02 and abs(np.mean(middles) - 0.5) < 0.01


def test_noise_has_its_share():
    mask = np.ones((60, 60), np.uint8)
    mask[::2, ::2] = np.where(np.eye(30) > 0, 2, 1)
    lost = [1 - (missing_objects(mask, 0.3, seed=s) == 2).sum() / 30 for s in range(20)]
    assert 0.22 < np.mean(lost) < 0.38
    assert 0.08 < flip_tags(np.zeros(2000, bool), 0.1, seed=0).mean() < 0.12


def test_classes_do_not_disturb_each_other():
    mask = np.ones((12, 12), np.uint8)
    mask[1:5, 1:5], mask[7:11, 7:11] = 2, 3
    alone = np.where(mask == 3, 1, mask)
    np.testing.assert_array_equal(points(mask, seed=4) == 2, points(alone, seed=4) == 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: image_tags(m, 1),
        lambda m: region_sizes(m, 2, "rough"),
        lambda m: region_sizes(m, 2, margin=-1),
        lambda m: points(m, per_object=-1),
        lambda m: points(m / 2),
        lambda m: points(m - 2),
        lambda m: scribbles(m, placement="middle"),
        lambda m: scribbles(m, width=5),
        lambda m: boxes(m, margin=-1),
        lambda m: sparse_slices(m, number=1),
        lambda m: sparse_slices(np.stack([m, m])),
        lambda m: sparse_slices(np.stack([m, m]), number=1, every=1),
        lambda m: sparse_slices(np.stack([m, m]), number=1, axis=3),
        lambda m: noisy_boundaries(m, -1),
        lambda m: missing_objects(m, 1.5),
        lambda m: flip_tags([True], -0.1),
    ],
)
def test_errors(call):
    with pytest.raises(LimsupError):
        call(np.array([[1, 2], [2, 1]]))
