import copy

import numpy as np
import pytest
import torch
from learn.toys import random_input, scribble, tiny_unet, toy_base, toy_case
from torch.nn import functional as F

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn import stopping, tune
from limsup_widgets.learn.crops import CropStore
from limsup_widgets.learn.infer import codes, predict
from limsup_widgets.learn.metrics import dice_per_class, mean_dice
from limsup_widgets.learn.stopping import Watch, watched_crops
from limsup_widgets.learn.tune import TuneSettings


def case(shape=(24, 32)):
    labels, other = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    labels[4], labels[10, :20], labels[15, 5:9] = 1, 2, 3
    other[6, :10], other[20, 12:20] = 1, 2
    return [random_input(i, (3, *shape)) for i in range(2)], [labels] * 2, [other] * 2


def settings(**options):
    return TuneSettings(**{"steps": 8, "crop": 16, "batch": 2, "lr": 1e-2, "look": 2} | options)


def weights(net):
    return torch.cat([v.flatten().double() for v in net.state_dict().values()])


def test_values_crops():
    inputs, _, other = case()
    images, targets = watched_crops(inputs, other, 16)
    assert images.shape == (4, 3, 16, 16) and targets.shape == (4, 16, 16)
    assert torch.equal(images[0], inputs[0][:, :16, :16])
    assert torch.equal(images[1], inputs[1][:, :16, :16])
    assert torch.equal(images[2], inputs[0][:, 8:, 4:20])
    assert [(t >= 0).sum().item() for t in targets] == [10, 10, 8, 8]
    assert watched_crops(inputs, [np.zeros((24, 32), np.uint8)] * 2, 16) is None


def test_values_crops_are_few():
    labels = np.zeros((300, 300), np.uint8)
    labels[::30, ::30] = 1
    images, _ = watched_crops([random_input(shape=(3, 300, 300))], [labels], 16)
    assert len(images) == stopping.WINDOWS


def test_values_loss():
    """By hand: the mean over classes of the mean over pixels of each."""
    net, (inputs, *_) = tiny_unet(), case()
    other = [np.zeros((24, 32), np.uint8) for _ in range(2)]
    other[0][6, :10], other[1][6, :10], other[1][9, 3] = 1, 1, 2
    watch = Watch(net, watched_crops(inputs, other, 16), 2)
    with torch.no_grad():
        first, second = (net(x[None, :, :16, :16])[0] for x in inputs)
    one = [F.cross_entropy(z[:, 6, :10].T, torch.zeros(10).long()) for z in (first, second)]
    two = F.cross_entropy(second[:, 9, 3][None], torch.tensor([1]))
    assert watch.best == pytest.approx(float((sum(one) / 2 + two) / 2), rel=1e-5)


def check_best_weights_are_kept():
    """Whatever came after the best look is gone at the end."""
    net, (inputs, labels, other) = tiny_unet(), case()
    states, losses = [], []
    for step in tune.tune_steps(net, inputs, labels, settings(), held_out=other):
        if step.held_out is not None:
            states.append(weights(net))
            losses.append(step.held_out)
    first = Watch(tiny_unet(), watched_crops(inputs, other, 16), 1).best
    at = int(np.argmin(losses))
    expected = states[at] if losses[at] < first else weights(tiny_unet())
    assert torch.equal(weights(net), expected)


def test_values_best_weights_are_kept():
    check_best_weights_are_kept()


def check_stops(monkeypatch):
    """Losses 5, 4, 6, 7, 3: with a patience of two the last one is never seen."""
    told = iter([5.0, 4.0, 6.0, 7.0, 3.0])
    monkeypatch.setattr(Watch, "_loss", lambda self: next(told))
    net, (inputs, labels, other) = tiny_unet(), case()
    seen = []
    for step in tune.tune_steps(net, inputs, labels, settings(steps=20), held_out=other):
        seen.append((step.step, step.total, step.held_out))
        if step.step == 2:
            best = weights(net)
    assert seen == [
        (1, 20, None), (2, 20, 4.0), (3, 20, None), (4, 20, 6.0), (5, 20, None), (6, 20, 7.0)
    ]  # fmt: skip
    assert torch.equal(weights(net), best) and not any(m.training for m in net.modules())


def test_values_stops(monkeypatch):
    check_stops(monkeypatch)


def test_equivalence_held_out_strokes_teach_nothing():
    """With a patience that never ends the steps are those of a tune without them."""
    (inputs, labels, other), plain, watched = case(), tiny_unet(p_drop=0.3), tiny_unet(p_drop=0.3)
    one = [s.loss for s in tune.tune_steps(plain, inputs, labels, settings())]
    steps = tune.tune_steps(watched, inputs, labels, settings(patience=99), held_out=other)
    assert [s.loss for s in steps] == one
    blank = [np.zeros_like(y) for y in other]
    again = tiny_unet(p_drop=0.3)
    list(tune.tune_steps(again, inputs, labels, settings(patience=1), held_out=blank))
    assert torch.equal(weights(again), weights(plain)), "nothing held out: fixed steps"


def test_equivalence_store():
    """Round after round with a store ends where rounds without one end."""
    inputs, labels, other = case()
    store, kept, fresh = CropStore(), tiny_unet(), tiny_unet()
    both = [np.maximum(a, b) for a, b in zip(labels, other, strict=True)]
    for number, painted in enumerate([labels, other, both]):
        options = settings(steps=2, seed=number, sampling="uniform" if number == 1 else "class")
        list(tune.tune_steps(kept, inputs, painted, options, classes=3, store=store))
        list(tune.tune_steps(fresh, inputs, painted, options, classes=3))
        assert torch.equal(weights(kept), weights(fresh))
    planes = [stack.data_ptr() for stack in store.sampler.stacks]
    more = [*inputs, random_input(9, (3, 24, 32))]
    list(tune.tune_steps(kept, more, [*labels, labels[0]], settings(steps=1), store=store))
    assert [stack.data_ptr() for stack in store.sampler.stacks][:2] == planes
    list(tune.tune_steps(kept, more, [*labels, labels[0]], settings(steps=1, crop=8), store=store))
    assert store.sampler.size == 8 and store.sampler.stacks[0].data_ptr() != planes[0]


def test_errors():
    inputs, labels, other = case()
    with pytest.raises(LimsupError, match="labels: got 1 arrays, expected 2"):
        list(tune.tune_steps(tiny_unet(), inputs, labels, settings(), held_out=other[:1]))
    for name in ("look", "patience"):
        with pytest.raises(LimsupError, match=f"{name}: got 0, expected at least 1"):
            TuneSettings(**{name: 0})


def check_rounds_end_no_worse():
    """Five rounds of a stroke a class, each from where the last ended, against one from scratch."""
    net, normalizer = toy_base()
    gaps = []
    for seed in range(10, 14):
        arrays, truths = toy_case(seed=seed, images=5, swapped=True)
        inputs = [normalizer(a) for a in arrays]
        strokes = [scribble(truths[n % 2], seed=seed + n) for n in range(5)]
        labels = [np.zeros_like(truths[0]) for _ in range(2)]
        options = TuneSettings(steps=20, lr=2e-3, crop=32, batch=2)
        rounds, store = copy.deepcopy(net), CropStore()
        for n, stroke in enumerate(strokes):
            labels[n % 2] = np.where(stroke > 0, stroke, labels[n % 2])
            list(tune.tune_steps(rounds, inputs[:2], labels, options, store=store))
        once = tune.fine_tune(net, inputs[:2], labels, options)
        dice = [
            mean_dice(dice_per_class([codes(predict(m, x)) for x in inputs[2:]], truths[2:], 3))
            for m in (rounds, once)
        ]
        gaps.append(dice[0] - dice[1])
    assert np.mean(gaps) > -0.02, gaps


@pytest.mark.slow
def test_values_rounds_end_no_worse():
    check_rounds_end_no_worse()
