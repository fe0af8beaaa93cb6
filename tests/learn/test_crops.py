import numpy as np
import pytest
import torch
from learn.toys import random_input

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn import crops


def sampler(inputs, labels, weights=None, size=16, sampling="class", seed=0):
    weights = weights or [(y > 0).astype(np.float32) for y in labels]
    return crops.CropSampler(inputs, labels, weights, size, sampling, np.random.default_rng(seed))


def mapped_case(shapes):
    """Images whose channels are 0, 1 and each pixel's own label and weight."""
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 4, shape, np.uint8) for shape in shapes]
    weights = [rng.uniform(0.5, 2, y.shape).astype(np.float32) * (y > 0) for y in labels]
    inputs = [
        torch.from_numpy(np.stack([np.zeros_like(w), np.ones_like(w), y, w]).astype(np.float32))
        for y, w in zip(labels, weights, strict=True)
    ]
    return inputs, labels, weights


def check_alignment(make=sampler):
    """Gain and offset are read off the constant channels; then image, label and weight agree."""
    x, y, w = make(*mapped_case([(40, 30), (24, 50)])).batch(32)
    offset, gain = x[:, :1], x[:, 1:2] - x[:, :1]
    restored = (x - offset) / gain
    torch.testing.assert_close(restored[:, 2], y + 1.0, atol=1e-5, rtol=0)
    torch.testing.assert_close(restored[:, 3], w, atol=1e-5, rtol=0)
    spread = [f"{v.min():.2f} {v.max():.2f}" for v in (gain, offset)]
    assert all(0.95 <= v <= 1.05 for v in gain.flatten()), spread
    assert all(-0.1 <= v <= 0.1 for v in offset.flatten()), spread
    assert gain.std() > 0.02 and offset.std() > 0.03, spread


def test_alignment():
    check_alignment()


def test_shapes():
    x, y, w = sampler([random_input()], [np.ones((40, 56), np.uint8)], size=24).batch(5)
    assert x.shape == (5, 3, 24, 24) and y.shape == w.shape == (5, 24, 24)
    assert (x.dtype, y.dtype, w.dtype) == (torch.float32, torch.int64, torch.float32)


def check_rare_class_is_met():
    """A class of one pixel in a corner is the centre of about every third crop."""
    labels = [np.zeros((60, 80), np.uint8), np.zeros((60, 80), np.uint8)]
    labels[0][:, :20], labels[1][20:, 50:], labels[1][0, 79] = 1, 2, 3
    _, y, _ = sampler([random_input(shape=(3, 60, 80))] * 2, labels).batch(300)
    share = [(y == c).flatten(1).any(1).float().mean().item() for c in range(3)]
    assert min(share) > 0.25, share
    assert sum((t >= 0).any() for t in y) == 300


def test_values_rare_class_is_met():
    check_rare_class_is_met()


def test_values_uniform_is_blind():
    labels = [np.zeros((60, 80), np.uint8)]
    labels[0][0, 79] = 1
    _, y, _ = sampler([random_input(shape=(3, 60, 80))], labels, sampling="uniform").batch(50)
    assert (y >= 0).flatten(1).any(1).float().mean() < 0.2


def test_values_padding():
    labels = np.full((5, 7), 2, np.uint8)
    x, y, w = sampler([random_input(shape=(3, 5, 7))], [labels]).batch(8)
    assert x.shape[-2:] == (16, 16)
    assert ((y == 1).flatten(1).sum(1) == 35).all() and ((y == -1) | (y == 1)).all()
    assert torch.equal(w, (y == 1).float())


def test_values_centred():
    labels = np.zeros((60, 80), np.uint8)
    labels[25, 40] = 2
    _, y, _ = sampler([random_input(shape=(3, 60, 80))], [labels]).batch(50)
    at = (y == 1).nonzero()[:, 1:]
    assert len(at) == 50 and set(at.flatten().tolist()) == {7, 8}


def test_values_all_eight_orientations():
    corner = np.zeros((16, 16), np.uint8)
    corner[0, 0], corner[0, 1] = 1, 2
    _, y, _ = sampler([random_input(shape=(3, 16, 16))], [corner]).batch(200)
    assert (
        len(
            {
                tuple((t >= 0).flatten().nonzero().flatten().tolist()) + tuple(t[t >= 0].tolist())
                for t in y
            }
        )
        == 8
    )


def test_values_pixels_of_no_weight_are_no_centres():
    labels, weights = np.zeros((60, 80), np.uint8), np.zeros((60, 80), np.float32)
    labels[5, 5], labels[50, 70], weights[5, 5] = 1, 2, 1
    _, y, w = sampler([random_input(shape=(3, 60, 80))], [labels], [weights]).batch(20)
    assert (y == 0).flatten(1).any(1).all() and (y < 1).all() and (w.flatten(1).sum(1) == 1).all()


def test_determinism():
    case, state = mapped_case([(40, 30)]), torch.get_rng_state()
    one, two = (sampler(*case, seed=3) for _ in range(2))
    for _ in range(3):
        assert all(torch.equal(a, b) for a, b in zip(one.batch(4), two.batch(4), strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    other = sampler(*case, seed=4).batch(4)
    assert not torch.equal(other[0], sampler(*case, seed=3).batch(4)[0])


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_errors(weight):
    labels = np.full((40, 56), 1 - int(weight), np.uint8)
    with pytest.raises(LimsupError, match=r"scribbles: got none\. Do: paint a stroke"):
        sampler([random_input()], [labels], [np.full((40, 56), weight, np.float32)])
