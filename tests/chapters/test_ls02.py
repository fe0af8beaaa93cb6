"""Chapter ls02: its method against the package's, the talk's tables, and faults that must show."""

import numpy as np
import pytest
import torch
from chapters.sabotage import broken
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from limsup_chapters import ls02
from limsup_widgets.learn.losses import partial_cross_entropy, scribble_weights
from limsup_widgets.learn.rivals import adabn
from limsup_widgets.learn.tune import TuneSettings, fine_tune
from limsup_widgets.learn.unet import UNet
from limsup_widgets.teach import claim
from limsup_widgets.teach.chapters import SHARED_TAGS, chapter_path, load_cells

PATH = chapter_path("ls02")
codes = arrays(np.uint8, (6, 5), elements=st.integers(0, 4))


def small_net():
    torch.manual_seed(0)
    return UNet(widths=(4, 6, 8, 8)).eval()


def case(images=2, side=104):
    """Noise with a few strokes of three classes, some of them rare."""
    rng = np.random.default_rng(1)
    labels = [np.zeros((96, side), np.uint8) for _ in range(images)]
    for k, y in enumerate(labels):
        y[10:14, 5:60], y[50:52, 20 : 30 + k], y[80, 90:93] = 1, 2, 4
    xs = [torch.from_numpy(rng.normal(size=(3, 96, side)).astype(np.float32)) for _ in labels]
    return xs, labels


def batch():
    generator = torch.manual_seed(3)
    logits = torch.randn(2, 4, 8, 8, generator=generator)
    targets = torch.randint(-1, 4, (2, 8, 8), generator=generator)
    return logits, targets, torch.rand(2, 8, 8, generator=generator)


@given(st.lists(codes, min_size=1, max_size=3), st.floats(1, 20))
def test_equivalence_weights(labels, cap):
    np.testing.assert_allclose(
        ls02.stroke_weights(labels, 4, cap), scribble_weights(labels, 4, cap), rtol=1e-6
    )


@given(codes)
@settings(max_examples=30)
def test_values_weight_map_is_zero_off_the_strokes(labels):
    weights = ls02.weight_map(labels, np.array([1, 2, 3, 4], np.float32))
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, labels)


def agrees_with_the_packaged_loss(module):
    torch.testing.assert_close(module.scribble_loss(*batch()), partial_cross_entropy(*batch()))


def is_silent_off_the_strokes(module):
    logits, targets, weights = batch()
    logits.requires_grad_()
    module.scribble_loss(logits, targets, weights).backward()
    assert not logits.grad.abs().sum(1)[targets < 0].any()
    assert logits.grad.abs().sum(1)[targets >= 0].all()


def ignores_the_scale_of_weights(module):
    logits, targets, weights = batch()
    losses = [module.scribble_loss(logits, targets, scale * weights) for scale in (1, 7)]
    torch.testing.assert_close(*losses)


def caps_weights_and_survives_a_missing_class(module):
    labels = [np.repeat(np.arange(1, 5), [900, 80, 20, 0]).astype(np.uint8)[None]]
    np.testing.assert_allclose(module.stroke_weights(labels), [1000 / 900, 10, 10, 0], rtol=1e-6)


def tunes_as_the_package_does(module):
    xs, labels = case()
    weights = [module.weight_map(y, module.stroke_weights(labels)) for y in labels]
    ours = module.tuned(small_net(), xs, labels, weights, steps=2)
    how = TuneSettings(steps=2, weighting="balanced")
    torch.testing.assert_close(
        ours.state_dict(), fine_tune(small_net(), xs, labels, how).state_dict()
    )


def crops_hold_the_rare_class(module):
    xs, labels = case()
    pairs = zip(xs, labels, strict=True)
    stacks = [torch.cat([x, torch.from_numpy(np.stack([y, y]))]) for x, y in pairs]
    places, rng = module.stroke_places(labels), np.random.default_rng(0)
    targets = module.draw_batch(rng, stacks, places, count=60, size=48)[1]
    share = (targets == 3).flatten(1).any(1).float().mean()
    assert 0.2 < share < 0.6


CHECKS = (
    agrees_with_the_packaged_loss,
    is_silent_off_the_strokes,
    ignores_the_scale_of_weights,
    caps_weights_and_survives_a_missing_class,
    tunes_as_the_package_does,
    crops_hold_the_rare_class,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_values(check):
    check(ls02)


FAULTS = {
    "weights ignored in the loss": (
        "weights = weights * (targets >= 0)",
        "weights = (targets >= 0).float()",
        agrees_with_the_packaged_loss,
    ),
    "unscribbled pixels count": (
        "weights = weights * (targets >= 0)",
        "weights = weights * 1",
        is_silent_off_the_strokes,
    ),
    "mean over all pixels": (
        "/ weights.sum().clamp_min(1e-12)",
        "/ weights.numel()",
        ignores_the_scale_of_weights,
    ),
    "no cap": (
        "np.minimum(counts.sum() / counts[seen], cap)",
        "counts.sum() / counts[seen]",
        caps_weights_and_survives_a_missing_class,
    ),
    "weights ignored in tuning": ("np.stack([y, w])", "np.stack([y, y > 0])", None),
    "batch statistics move": ("deepcopy(model).eval()", "deepcopy(model).train()", None),
    "crops anywhere": (
        "image, *centre = of_class[rng.integers(len(of_class))].tolist()",
        "image, centre = 0, [int(rng.integers(n)) for n in shape]",
        crops_hold_the_rare_class,
    ),
}


@pytest.mark.parametrize(("old", "new", "check"), FAULTS.values(), ids=FAULTS)
def test_values_a_fault_is_seen(old, new, check):
    with pytest.raises(AssertionError):
        (check or tunes_as_the_package_does)(broken("ls02", old, new))


def test_values_the_base_network_stays():
    xs, labels = case()
    net = small_net()
    ls02.tuned(net, xs, labels, [np.ones_like(y, np.float32) for y in labels], steps=1)
    ls02.new_statistics(net, xs)
    torch.testing.assert_close(net.state_dict(), small_net().state_dict())


def test_equivalence_new_statistics():
    xs, _ = case()
    ours, packaged = ls02.new_statistics(small_net(), xs), adabn(small_net(), xs)
    torch.testing.assert_close(ours.state_dict(), packaged.state_dict())


def test_values_paired():
    told = ls02.paired([3.0, 2.0, 5.0, 9.0, 7.0], [1.0, 1.5, 4.0, 4.0, 8.5])
    assert (told["n"], told["wins"], told["median"], told["mean"]) == (5, 4, 1.0, 1.4)
    assert told["low"] < 1.4 < told["high"]
    assert told["two-sided"] == pytest.approx(2 * told["one-sided"])


def toy_patient(k):
    """Two tissues whose colours are this patient's own; one image."""
    colours = np.array([[2, -1, -1], [-1, 2, -1], [-1, -1, 2]], np.float32)
    rng = np.random.default_rng(k)
    truth = np.ones((96, 96), np.uint8)
    truth[:, 40:70] = 2
    painted = np.stack([colours[k % 3], colours[(k + 1) % 3]])[truth - 1].transpose(2, 0, 1)
    x = torch.from_numpy(painted + rng.normal(0, 0.3, painted.shape).astype(np.float32))
    strokes = np.zeros_like(truth)
    strokes[20:23, 5:35], strokes[60:63, 45:65] = 1, 2
    return x, strokes, truth


def tuned_accuracy(k, donor):
    x, strokes, _ = toy_patient(donor)
    weights = [(strokes > 0).astype(np.float32)]
    torch.manual_seed(0)
    by_colour = torch.nn.Conv2d(3, 4, 1)
    net = ls02.tuned(by_colour, [x], [strokes], weights, steps=30, rate=5e-2)
    x, _, truth = toy_patient(k)
    with torch.no_grad():
        return float((net(x[None])[0].argmax(0).numpy() + 1 == truth).mean())


def test_values_another_patients_strokes_turn_the_claim(capsys):
    own = [tuned_accuracy(k, k) for k in range(5)]
    wrong = [tuned_accuracy(k, k + 1) for k in range(5)]
    assert claim("own strokes", own, wrong, at_least=0.2).words == "holds"
    assert claim("own strokes, swapped", wrong, own, at_least=0.2).words == "does not hold"
    capsys.readouterr()


@pytest.fixture(scope="module")
def talk():
    return load_cells(PATH, (*SHARED_TAGS, "talk")).talk


TESTS = {
    ("2M", "2U"): (14, 0.067, 0.034),
    ("3M", "3U"): (15, 0.0095, 0.0047),
    ("2X", "2U"): (9, 0.245, 0.885),
    ("4M", "4U"): (16, 0.0028, 0.0014),
    ("5M", "5U"): (19, 0.0003, 0.0002),
    ("4A", "4U"): (0, 0.0, 1.0),
    ("4M", "2M"): (6, 0.073, 0.963),
    ("5M", "3M"): (9, 0.81, 0.404),
}


@pytest.mark.parametrize(("arms", "expected"), TESTS.items(), ids=str)
def test_values_tests_of_the_talk(arms, expected, talk):
    told = ls02.paired(*(talk[arm] for arm in arms))
    assert told["wins"] == expected[0]
    assert told["two-sided"] == pytest.approx(expected[1], abs=2e-3)
    assert told["one-sided"] == pytest.approx(expected[2], abs=2e-3)


def test_values_medians_of_the_talk(talk):
    printed = {"2U": 769, "2M": 791, "2H": 705, "2X": 681, "3U": 788, "3M": 819, "4A": 429}
    assert {k: np.floor(np.median(talk[k]) + 0.5) for k in printed} == printed
