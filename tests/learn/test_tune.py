import numpy as np
import pytest
import torch
from learn.toys import random_input, scribble, tiny_unet, toy_base, toy_case
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn import tune
from limsup_widgets.learn.folding import folded_norms
from limsup_widgets.learn.infer import codes, predict
from limsup_widgets.learn.metrics import dice_per_class, mean_dice
from limsup_widgets.learn.moments import mc_moments
from limsup_widgets.learn.tune import TuneSettings

FAST = TuneSettings(steps=3, crop=16, batch=2, lr=1e-2)


def case(seed=0, images=2, shape=(24, 32)):
    """Inputs and striped labels of three classes."""
    labels = np.zeros(shape, np.uint8)
    labels[4], labels[10, :20], labels[15, 5:9] = 1, 2, 3
    return [random_input(seed + i, (3, *shape)) for i in range(images)], [labels] * images


def settings(**options):
    return TuneSettings(**{"steps": 3, "crop": 16, "batch": 2, "lr": 1e-2} | options)


def parameters(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def tuned(net=None, options=None, **arguments):
    """Weights after tuning a copy."""
    inputs, labels = case()
    call = {"inputs": inputs, "labels": labels, "settings": options or FAST} | arguments
    return parameters(tune.fine_tune(net or tiny_unet(), **call))


def check_no_weight_is_no_label():
    """A class of weight 0 changes nothing: as if its scribbles were not there."""
    _, labels = case()
    weights = [((y > 0) & (y < 3)).astype(np.float32) for y in labels]
    erased = [np.where(y == 3, 0, y).astype(np.uint8) for y in labels]
    assert torch.equal(tuned(weights=weights), tuned(labels=erased))
    assert not torch.equal(tuned(weights=weights), tuned())


def test_equivalence_no_weight_is_no_label():
    check_no_weight_is_no_label()


def test_values_weights():
    _, labels = case()
    flat = tune.pixel_weights(labels, 3, settings())
    assert all(np.array_equal(w, y > 0) for w, y in zip(flat, labels, strict=True))
    balanced = tune.pixel_weights(labels, 3, settings(weighting="balanced", cap=5.0))
    assert [balanced[0][at].item() for at in ((4, 0), (10, 0), (15, 5), (0, 0))] == pytest.approx(
        [56 / 32, 56 / 20, 5, 0]
    )


def test_values_each_dial_counts():
    dials = {"weighting": "balanced", "bn": "train", "sampling": "uniform", "trainable": "head"}
    for name, value in (dials | {"seed": 1, "lr": 1e-3}).items():
        assert not torch.equal(tuned(options=settings(**{name: value})), tuned()), name


def test_shapes_steps():
    inputs, labels = case()
    steps = list(tune.tune_steps(tiny_unet(), inputs, labels, FAST))
    assert [(s.step, s.total) for s in steps] == [(1, 3), (2, 3), (3, 3)]
    assert all(np.isfinite(s.loss) and s.loss > 0 for s in steps)
    assert list(tune.tune_steps(tiny_unet(), inputs, labels, settings(steps=0))) == []


def test_values_decay():
    """The rate of each step; at one step there is nothing to fall."""
    rates = []
    hook = register_optimizer_step_pre_hook(lambda o, *_: rates.append(o.param_groups[0]["lr"]))
    for options in ({"steps": 4, "decay": True}, {"steps": 2}, {"steps": 0, "decay": True}):
        tuned(options=settings(**options))
    hook.remove()
    assert rates == pytest.approx([0.01, 0.0075, 0.005, 0.0025, 0.01, 0.01])
    one = {"steps": 1}
    assert torch.equal(tuned(options=settings(**one, decay=True)), tuned(options=settings(**one)))


def test_determinism():
    net, state = tiny_unet(p_drop=0.3), torch.get_rng_state()
    first = tuned(net)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(tuned(net), first)


def test_equivalence_loop_by_hand():
    (inputs, labels), net = case(), tiny_unet().to(memory_format=torch.channels_last)
    rng = np.random.default_rng(5)
    weights = tune.pixel_weights(labels, 3, settings())
    sampler = tune.CropSampler(inputs, labels, weights, 16, "class", rng)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2, fused=True)
    with folded_norms(net, sampler.stacks[0][None, :-2, :16, :16]):
        for _ in range(3):
            x, y, w = sampler.batch(2)
            loss = tune.partial_cross_entropy(net(x), y, w)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    assert torch.equal(parameters(net), tuned(options=settings(seed=5)))


def test_values_dropout_draws(monkeypatch):
    """No two crops of a tuning get the same masks, and the seed decides which."""
    draws, switch_on = [], tune.dropout_masks

    def recorded(model, seed, passes):
        draws.extend((seed, number) for number in passes)
        return switch_on(model, seed, passes)

    monkeypatch.setattr(tune, "dropout_masks", recorded)
    tuned(tiny_unet(p_drop=0.3), settings(seed=8))
    assert len(set(draws)) == 6 and {seed for seed, _ in draws} == {8}


def test_dropout_in_tuning():
    net = tiny_unet(p_drop=0.3)
    assert not torch.equal(tuned(net), tuned(net, settings(dropout=False)))
    assert torch.equal(tuned(net, settings(dropout=False)), tuned(tiny_unet()))


def test_input_model_is_left_alone():
    net = tiny_unet().train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    inputs, labels = case()
    tune.fine_tune(net, inputs, labels, FAST)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(m.training for m in net.modules())


def norm_first():
    """Its norm is behind no convolution, so that none can do its work."""
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1))


def check_frozen_statistics():
    for make in (tiny_unet, norm_first):
        net, (inputs, labels) = make(), case()
        before = [b.clone() for b in net.buffers()]
        for _ in tune.tune_steps(net, inputs, labels, FAST):
            assert all(torch.equal(a, b) for a, b in zip(net.buffers(), before, strict=True))
        assert not torch.equal(parameters(net), parameters(make()))


def test_values_frozen_statistics():
    check_frozen_statistics()


def test_values_trained_statistics():
    net, (inputs, labels) = tiny_unet(), case()
    list(tune.tune_steps(net, inputs, labels, settings(bn="train")))
    moved = [
        not torch.equal(a, b) for a, b in zip(net.buffers(), tiny_unet().buffers(), strict=True)
    ]
    assert all(moved)


def test_values_head_only():
    net, (inputs, labels) = tiny_unet(), case()
    list(tune.tune_steps(net, inputs, labels, settings(trainable="head")))
    before = dict(tiny_unet().named_parameters())
    moved = {k for k, p in net.named_parameters() if not torch.equal(p, before[k])}
    assert moved == {"head.weight", "head.bias"}


@pytest.mark.parametrize("bn", ["frozen", "train"])
def test_preview_changes_nothing(bn):
    """Looking at the prediction between two steps leaves the tuning as it is."""
    inputs, labels = case()
    looked, plain = tiny_unet(p_drop=0.3), tiny_unet(p_drop=0.3)
    for _ in tune.tune_steps(looked, inputs, labels, settings(bn=bn)):
        predict(looked, inputs[0])
        mc_moments(looked, inputs[0], 2)
    list(tune.tune_steps(plain, inputs, labels, settings(bn=bn)))
    assert torch.equal(parameters(looked), parameters(plain))


def test_cancel():
    net, (inputs, labels) = tiny_unet(p_drop=0.3).train(), case()
    running = tune.tune_steps(net, inputs, labels, settings(bn="train", steps=9))
    next(running)
    assert net.encoder[0][1].training and not net.training
    running.close()
    assert not any(m.training or m._forward_hooks for m in net.modules())


def foreign(classes=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, classes, 1))


def test_foreign_network():
    net, (inputs, labels) = foreign(), case()
    assert tune.last_layer(net) is net[2]
    losses = [s.loss for s in tune.tune_steps(net, inputs, labels, settings(steps=30))]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def error(labels=None, weights=None, net=None, inputs=None, **options):
    inputs = case()[0] if inputs is None else inputs
    labels = case()[1] if labels is None else labels
    with pytest.raises(LimsupError) as caught:
        tune.fine_tune(net or tiny_unet(), inputs, labels, settings(**options), weights)
    return str(caught.value)


def test_errors_labels():
    blank, wrong = np.zeros((24, 32), np.uint8), np.full((24, 32), 4, np.uint8)
    assert "scribbles: got none. Do: paint" in error([blank, blank])
    assert error([blank, wrong]) == "labels of image 1: got 4, expected 0…3"
    assert error([blank, blank.T]) == "labels of image 1: got (32, 24), expected (24, 32)"
    assert error([blank]) == "labels: got 1 arrays, expected 2"
    assert "scribbles: got none" in error([], inputs=[])
    assert "scribbles: got none" in error([], inputs=[], net=foreign())


def test_errors_weights():
    assert "weights" in error(weighting="uncertainty") and "uncertainty_weights" in error(
        weighting="uncertainty"
    )
    few = [np.ones((24, 32), np.float32)]
    assert error(weights=few).startswith("weights: got shapes [(24, 32)], expected [(24, 32), ")


def test_errors_network():
    assert error(crop=20) == "crop: got 20, expected a multiple of 8"
    assert error(net=foreign(classes=2)) == "network: got 2 classes, expected 3"
    with pytest.raises(LimsupError, match="network: got no convolution"):
        tune.last_layer(nn.Sequential(nn.ReLU()))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("weighting", "balance", "'flat' or 'balanced' or 'uncertainty'"),
        ("bn", "eval", "'frozen' or 'train'"),
        ("sampling", "random", "'class' or 'uniform'"),
        ("trainable", "last", "'all' or 'head'"),
        ("steps", -1, "at least 0"),
        ("batch", 0, "at least 1"),
        ("crop", 0, "at least 1"),
    ],
)
def test_errors_settings(name, value, expected):
    with pytest.raises(LimsupError) as caught:
        TuneSettings(**{name: value})
    assert str(caught.value) == f"{name}: got {value!r}, expected {expected}"


def check_tuning_helps():
    """On a patient whose colours are swapped, from one stroke a class in three images."""
    net, normalizer = toy_base()
    arrays, truths = toy_case(seed=10, images=6, swapped=True)
    inputs = [normalizer(a) for a in arrays]
    labels = [scribble(y, seed=i) for i, y in enumerate(truths[:3])]
    options = TuneSettings(steps=40, lr=2e-3, crop=32)
    after = tune.fine_tune(net, inputs[:3], labels, options)
    before_dice, after_dice = (
        mean_dice(dice_per_class([codes(predict(m, x)) for x in inputs[3:]], truths[3:], 3))
        for m in (net, after)
    )
    assert before_dice < 0.5 and after_dice > before_dice + 0.3, (before_dice, after_dice)


@pytest.mark.slow
def test_values_tuning_helps():
    check_tuning_helps()
