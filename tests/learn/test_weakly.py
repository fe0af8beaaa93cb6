"""One loop for all arms: same batches, same start, whatever the loss."""

import numpy as np
import pytest
import torch

from limsup_widgets.data.blobs import blobs
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.weakly import (
    dice_of,
    posterior,
    segment,
    tiny_net,
    train_weakly,
)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_shapes():
    toy = blobs(2, seed=0, size=24)
    net = tiny_net(classes=3)
    assert posterior(net, toy.images).shape == (2, 3, 24, 24)
    assert segment(net, toy.images).shape == (2, 24, 24)
    assert set(np.unique(segment(net, toy.images))) <= {1, 2, 3}


def test_values_a_pixel_sees_fifteen_by_fifteen():
    net = tiny_net()
    x = torch.zeros(1, 1, 41, 41, requires_grad=True)
    net(x + 0.7)[0, 1, 20, 20].backward()
    rows, cols = np.nonzero(x.grad[0, 0].numpy())
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (13, 27, 13, 27)


def test_values_the_start_depends_on_the_seed_and_leaves_torch_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert same(tiny_net(3), tiny_net(3)) and not same(tiny_net(3), tiny_net(4))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_values_learns_the_blob():
    train, test = blobs(12, seed=0), blobs(10, seed=1)
    net = train_weakly(tiny_net(), train.images, train.masks, steps=80)
    assert dice_of(net, test.images, test.masks) > 0.9
    assert not net.training


def batches(pool=(), labelled=None, **options):
    """Which images each step saw, and at which progress."""
    seen = []

    def spy(logits, batch):
        seen.append((batch.index.tolist(), batch.progress))
        return logits.mean() * 0

    toy = blobs(6, seed=0, size=24)
    train_weakly(
        tiny_net(), toy.images, toy.masks, spy, pool=pool, labelled=labelled, steps=5, **options
    )
    return seen


def test_values_every_image_once_before_any_comes_again():
    index = [i for step, _ in batches(batch=2) for i in step]
    assert sorted(index[:6]) == list(range(6)) and [p for _, p in batches()] == [
        0,
        0.2,
        0.4,
        0.6,
        0.8,
    ]


def test_values_a_pool_leaves_the_labelled_draws_alone():
    alone = [i[:2] for i, _ in batches(labelled=[0, 1, 2], batch=2)]
    pooled = batches(labelled=[0, 1, 2], pool=[3, 4, 5], batch=2)
    assert [i[:2] for i, _ in pooled] == alone
    assert all(set(i[2:]) <= {3, 4, 5} and len(i) == 4 for i, _ in pooled)
    assert all(set(i[2:]) <= {4, 5} for i, _ in batches(pool=[4, 5], batch=2))


def test_errors():
    toy = blobs(2, seed=0, size=24)
    with pytest.raises(LimsupError, match="training images"):
        train_weakly(tiny_net(), toy.images, toy.masks[:1])
    with pytest.raises(LimsupError, match="labelled images"):
        train_weakly(tiny_net(), toy.images, toy.masks, pool=[0, 1])
    with pytest.raises(LimsupError, match="at step 0"):
        train_weakly(tiny_net(), toy.images, toy.masks, lambda z, b: z.mean() * float("nan"))


def test_cancel():
    class Stop(Exception):
        pass

    def stop(step, loss):
        if step == 2:
            raise Stop

    toy = blobs(2, seed=0, size=24)
    with pytest.raises(Stop):
        train_weakly(tiny_net(), toy.images, toy.masks, progress=stop)
