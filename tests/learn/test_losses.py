import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from limsup_widgets.learn import losses

seeds = st.integers(0, 2**31)


def drawn(seed, n=2, k=3, shape=(4, 5)):
    """Logits, targets with about half of them −1, and weights."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 3, (n, k, *shape)))
    targets = rng.integers(0, k, (n, *shape)) * (mask := rng.random((n, *shape)) < 0.5) - ~mask
    return logits, torch.from_numpy(targets), torch.from_numpy(rng.uniform(0.1, 5, (n, *shape)))


def check_weighted_cross_entropy(seed=0):
    logits, targets, weights = drawn(seed)
    p, y, w = (t.numpy() for t in (logits.softmax(1).movedim(1, -1), targets, weights))
    known = y >= 0
    terms = -np.log(p[known][np.arange(known.sum()), y[known]])
    expected = (w[known] * terms).sum() / max(w[known].sum(), 1e-12)
    np.testing.assert_allclose(losses.partial_cross_entropy(logits, targets, weights), expected)


@given(seeds)
@settings(deadline=None, max_examples=30)
def test_values_cross_entropy(seed):
    check_weighted_cross_entropy(seed)


def test_values_no_weights_is_weight_one():
    logits, targets, weights = drawn(0)
    one = losses.partial_cross_entropy(logits, targets, torch.ones_like(weights))
    assert torch.equal(losses.partial_cross_entropy(logits, targets), one)


@given(seeds, st.floats(0.01, 100))
@settings(deadline=None, max_examples=30)
def test_invariance(seed, factor):
    logits, targets, weights = drawn(seed)
    loss = losses.partial_cross_entropy(logits, targets, weights)
    scaled = losses.partial_cross_entropy(logits, targets, factor * weights)
    twice = losses.partial_cross_entropy(*(torch.cat([t, t]) for t in (logits, targets, weights)))
    elsewhere = torch.where((targets < 0)[:, None], 50 * logits, logits)
    other = losses.partial_cross_entropy(elsewhere, targets, weights)
    torch.testing.assert_close(torch.stack([scaled, twice, other]), loss.expand(3))


def test_gradient_on_the_scribbles_only():
    logits, targets, weights = drawn(1)
    logits.requires_grad_()
    losses.partial_cross_entropy(logits, targets, weights).backward()
    off = (targets < 0)[:, None].expand_as(logits)
    assert (logits.grad[off] == 0).all() and (logits.grad[~off] != 0).all()


@pytest.mark.parametrize("nothing", ["labels", "weight"])
def test_values_nothing_known(nothing):
    logits, targets, weights = drawn(2)
    logits.requires_grad_()
    targets = torch.full_like(targets, -1) if nothing == "labels" else targets
    loss = losses.partial_cross_entropy(logits, targets, weights * (nothing == "labels"))
    loss.backward()
    assert loss == 0 and (logits.grad == 0).all()


def test_values_soft_dice():
    _, targets, _ = drawn(3)
    sure = 50.0 * torch.nn.functional.one_hot(targets.clamp_min(0), 3).movedim(-1, 1)
    assert losses.soft_dice_loss(sure, targets) < 1e-6
    off = torch.where((targets < 0)[:, None], sure.flip(1), sure)
    assert torch.equal(losses.soft_dice_loss(off, targets), losses.soft_dice_loss(sure, targets))
    p, t = torch.zeros(1, 2, 1, 4), torch.tensor([[[0, 0, 0, 1]]])
    expected = 1 - ((2 * 1.5 + 1) / (2 + 3 + 1) + (2 * 0.5 + 1) / (2 + 1 + 1)) / 2
    assert losses.soft_dice_loss(p, t).item() == pytest.approx(expected)


def check_balancing_weights(labels, classes, cap):
    counts = [sum((y == c).sum() for y in labels) for c in range(1, classes + 1)]
    expected = [min(sum(counts) / c, cap) if c else 0 for c in counts]
    weights = losses.scribble_weights(labels, classes, cap)
    np.testing.assert_allclose(weights, np.array(expected, np.float32), rtol=1e-6)


@given(st.lists(hnp.arrays(np.uint8, (3, 7), elements=st.integers(0, 4)), min_size=1, max_size=3))
def test_values_scribble_weights(labels):
    check_balancing_weights(labels, classes=4, cap=3.0)


SCARCE = [np.array([[1] * 99 + [2]], np.uint8)]


def test_values_scribble_weights_cap():
    labels = SCARCE
    check_balancing_weights(labels, 3, 10.0)
    weights = losses.scribble_weights(labels, 3)
    np.testing.assert_allclose(weights, [100 / 99, 10, 0], rtol=1e-6)
    assert losses.scribble_weights(labels, 3, cap=1000).tolist()[1:] == [100, 0]


def check_uncertainty_weights():
    p = np.array([0.5, 0.9, 0.2, 0.02, 0.5])
    mean, labels = np.stack([p, 0.9 * (1 - p), 0.1 * (1 - p)])[:, None], np.uint8([[1, 1, 2, 3, 0]])
    weights = losses.uncertainty_weights(mean, labels)
    np.testing.assert_allclose(weights, [[1, 0.36, 1, 4 * 0.098 * 0.902, 0]], rtol=1e-6)
    assert weights.dtype == np.float32 and weights.shape == labels.shape


def test_values_uncertainty_weights():
    check_uncertainty_weights()


@given(hnp.arrays(np.float64, (1, 6), elements=st.floats(0, 1)))
def test_values_printed_rule_never_clips(p):
    labels = np.ones((1, 6), np.uint8)
    weights = losses.uncertainty_weights(np.stack([p, 1 - p]), labels, scale=1.0)
    assert weights.max() <= 0.25
    np.testing.assert_allclose(weights, p * (1 - p), atol=1e-7)


def test_values_class_weights():
    weights = losses.class_weights([np.array([[1] * 16 + [2] * 4, [1] * 16 + [3] * 4])], 3)
    assert weights.mean().item() == pytest.approx(1)
    np.testing.assert_allclose(weights / weights[0], np.sqrt([1, 8, 8]), rtol=1e-6)
