import numpy as np
import pytest
import torch
from learn.test_levels import basic_unet, stacked
from learn.toys import random_input, scribble, tiny_unet, toy_base, toy_case

from limsup_widgets.data.annotators import annotate, scribble_labels
from limsup_widgets.data.kidney import kidney_cohort
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn import logistic
from limsup_widgets.learn import quick as quick_module
from limsup_widgets.learn.infer import codes, predict
from limsup_widgets.learn.levels import levels_of
from limsup_widgets.learn.quick import QuickClassifier
from limsup_widgets.learn.weights import load_u0


def case(seed=5, images=3):
    """Inputs of other colours than the network knows, a stroke a class in each, and the truths."""
    arrays, truths = toy_case(seed=seed, images=images, swapped=True)
    inputs = dict(enumerate(map(toy_base()[1], arrays)))
    return inputs, {i: scribble(y, i) for i, y in enumerate(truths)}, truths


def fitted(net, inputs, labels, classes=3, **options):
    quick = QuickClassifier(net, **options)
    for key, x in inputs.items():
        quick.features(key, x)
    quick.fit(labels, classes)
    return quick


def naive(net, inputs, labels):
    """Upsample, stack, standardise and fit as one would write it; probabilities ``(H, W, K)``."""
    from sklearn.linear_model import LogisticRegression

    levels = {key: levels_of(net, x, filters=True) for key, x in inputs.items()}
    same = zip(*(v.maps for v in levels.values()), strict=True)
    pools = [torch.cat([f.flatten(2)[0] for f in maps], 1) for maps in same]
    mean = torch.cat([pool.mean(1) for pool in pools]).numpy()
    std = torch.cat([pool.std(1, correction=0) for pool in pools]).numpy()
    std = np.where(std > 1e-6, std, 1)
    std[:-60] /= quick_module.DEEP
    maps = {key: (stacked(v).numpy() - mean) / std for key, v in levels.items()}
    xs = np.concatenate([maps[key][y > 0] for key, y in labels.items()])
    ys = np.concatenate([y[y > 0] for y in labels.values()])
    # Two rows with a ridge each are one with half the ridge.
    strength = (1 if len(np.unique(ys)) > 2 else 2) / logistic.FREE_RIDGE
    fit = LogisticRegression(C=strength, max_iter=1000, tol=1e-6).fit(xs, ys)
    return {
        key: fit.predict_proba(f.reshape(-1, f.shape[-1])).reshape(*f.shape[:2], -1)
        for key, f in maps.items()
    }


@pytest.mark.parametrize("make", [tiny_unet, basic_unet])
@pytest.mark.parametrize("drop", [0, 2], ids=["three classes", "two classes"])
def test_equivalence_naive_route(make, drop, monkeypatch):
    """A network that does not know the classes, against scikit-learn."""
    monkeypatch.setattr(logistic, "TOLERANCE", 1e-8)
    monkeypatch.setattr(logistic, "ITERATIONS", 1000)
    inputs, labels, _ = case()
    labels = {key: np.where(y == drop, 0, y).astype(np.uint8) for key, y in labels.items()}
    quick = fitted(make(), inputs, labels, knows=False)
    expected, kept = naive(make(), inputs, labels), [0, 2] if drop else [0, 1, 2]
    for key in inputs:
        found = quick.predict(key)
        np.testing.assert_allclose(np.moveaxis(found[kept], 0, -1), expected[key], atol=1e-3)
        np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
        assert not drop or not found[1].any()


def test_values_without_news_the_network_answers(monkeypatch):
    """Strokes that say what it says anyway change little, also for a class without strokes."""
    monkeypatch.setattr(logistic, "RIDGE", 1e9)
    monkeypatch.setattr(logistic, "BIAS_RIDGE", 1e9)
    inputs, labels, _ = case()
    net = tiny_unet()
    quick = fitted(net, inputs, {0: np.where(labels[0] == 3, 0, labels[0])})
    np.testing.assert_allclose(quick.predict(1), predict(net, inputs[1]), atol=1e-4)


def check_correction_is_cautious():
    """One stroke a class, on tissue that the network knows: plain regression forgets the rest."""
    net, losses = load_u0(), []
    for subject in kidney_cohort(5000, 3, 0, shape=(96, 128)).controls:
        truth = subject.truth(0)
        labels = scribble_labels(annotate(truth, strokes_per_class=1), truth.shape)
        inputs = {0: net.card.normalizer(subject.image(0))}
        answers = [fitted(net, inputs, {0: labels}, classes=4, knows=k).predict for k in (1, 0)]
        right = [(codes(predict_one(0)) == truth).mean() for predict_one in answers]
        untuned = (codes(predict(net, inputs[0])) == truth).mean()
        losses.append((right[0] - right[1], right[0] - untuned))
    assert np.mean(losses, 0)[0] > 0.05 and np.mean(losses, 0)[1] > -0.05, losses


@pytest.mark.slow
def test_values_correction_is_cautious():
    check_correction_is_cautious()


def test_values_other_channels_and_classes():
    """A network for three channels and classes, on a grey image with five."""
    inputs, labels, _ = case()
    grey = {key: x[:1] for key, x in inputs.items()}
    quick = fitted(tiny_unet(), grey, labels, classes=5, knows=False)
    assert quick.predict(0).shape == (5, 48, 64) and not quick.predict(0)[3:].any()


def check_beats_untuned_network():
    """Where two colours have swapped their meaning, from six strokes a class in three images."""
    net, gains = toy_base()[0], []
    for seed in range(5, 9):
        inputs, _, truths = case(seed)
        labels = {
            i: np.max([scribble(y, 9 * i + n) for n in range(6)], 0) for i, y in enumerate(truths)
        }
        quick = fitted(net, inputs, labels)
        right = [
            [(codes(prob) == truths[key]).mean() for prob in (quick.predict(key), predict(net, x))]
            for key, x in inputs.items()
        ]
        gains.append(np.subtract(*np.mean(right, 0)))
    assert np.mean(gains) > 0.1, gains


@pytest.mark.slow
def test_values_beats_untuned_network():
    check_beats_untuned_network()


def test_values_score():
    inputs, labels, truths = case()
    quick = fitted(tiny_unet(), inputs, labels)
    dense = dict(enumerate(truths))
    found = [codes(quick.predict(key)) for key in inputs]
    recalls = [
        np.mean(np.concatenate([f[y == c] for f, y in zip(found, truths, strict=True)]) == c)
        for c in (1, 2, 3)
    ]
    assert quick.score(dense) == pytest.approx(np.mean(recalls), abs=1e-6)
    assert quick.score(labels) > quick.score(dense) > 1 / 3
    assert np.isnan(quick.score({0: np.zeros_like(truths[0])}))


def test_values_missing_classes():
    inputs, labels, _ = case()
    quick = fitted(tiny_unet(), inputs, labels, classes=6)
    prob = quick.predict(0)
    assert prob.shape == (6, 48, 64) and not prob[3:].any() and prob.dtype == np.float32


def test_values_thin_class_is_not_lost(monkeypatch):
    monkeypatch.setattr(quick_module, "MOST", 20)
    inputs, _, truths = case()
    labels = {i: np.where(y == 2, 0, y).astype(np.uint8) for i, y in enumerate(truths)}
    labels[0][tuple(np.argwhere(truths[0] == 2)[:2].T)] = 2
    seen, real = [], quick_module.fit_logistic
    monkeypatch.setattr(
        quick_module,
        "fit_logistic",
        lambda *a, **o: seen.append(np.bincount(a[1])) or real(*a, **o),
    )
    fitted(tiny_unet(), inputs, labels)
    assert seen[0].tolist() == [0, 20, 2, 20]


def test_input_model_is_left_alone():
    net = tiny_unet().train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    inputs, labels, _ = case()
    fitted(net, inputs, labels).predict(0)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(m.training for m in net.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_features_are_computed_once(monkeypatch):
    made = []
    real = quick_module.levels_of
    monkeypatch.setattr(quick_module, "levels_of", lambda *a, **o: made.append(1) or real(*a, **o))
    quick = QuickClassifier(tiny_unet())
    for _ in range(3):
        quick.features(("image", 0), random_input())
    assert len(made) == 1 and quick.has(("image", 0)) and not quick.has(0)
    quick.forget(("image", 0))
    quick.forget("never seen")
    assert not quick.has(("image", 0))


def check_memory_bound():
    """The least recently used go first; labels that have not changed need no features."""
    inputs, labels, _ = case()
    room = 2 * levels_of(tiny_unet(), inputs[0]).nbytes
    quick = QuickClassifier(tiny_unet(), room=room)
    quick.features(0, inputs[0])
    quick.fit({0: labels[0]}, 3)
    quick.features(1, inputs[1])
    quick.predict(0)
    quick.features(2, inputs[2])
    assert [quick.has(i) for i in range(3)] == [True, False, True]
    quick.features(1, inputs[1])
    assert [quick.has(i) for i in range(3)] == [False, True, True]
    quick.fit(labels, 3)
    with pytest.raises(LimsupError, match=r"features of 0: got none\. Do: features"):
        quick.fit({0: np.where(labels[0] == 1, 0, labels[0])}, 3)


def test_memory_bound():
    check_memory_bound()


def test_memory_those_preferred_stay():
    inputs, _, _ = case()
    quick = QuickClassifier(tiny_unet(), room=2 * levels_of(tiny_unet(), inputs[0]).nbytes)
    quick.features("of before", inputs[0])
    quick.prefer([0, 1, 2, 0])
    assert not quick.full
    quick.features(0, inputs[0])
    assert quick.has("of before") and not quick.full
    quick.features(1, inputs[1])
    assert not quick.has("of before") and quick.full
    quick.features(2, inputs[2])
    assert [quick.has(i) for i in range(3)] == [True, False, True]
    quick.features(1, inputs[1])
    assert [quick.has(i) for i in range(3)] == [True, True, False]


def test_memory_of_one_image_is_kept():
    quick = QuickClassifier(tiny_unet(), room=1)
    quick.features("a", random_input())
    quick.features("b", random_input(1))
    assert quick.has("b") and not quick.has("a")


def test_equivalence_warm_start():
    """Fitting stroke by stroke ends where one fit on all strokes ends."""
    inputs, labels, _ = case()
    step_by_step = fitted(tiny_unet(), inputs, {0: labels[0]})
    step_by_step.fit({0: labels[0], 1: labels[1]}, 3)
    step_by_step.fit(labels, 3)
    at_once = fitted(tiny_unet(), inputs, labels)
    np.testing.assert_allclose(step_by_step.predict(2), at_once.predict(2), atol=0.02)


def test_values_a_new_class_later():
    inputs, labels, _ = case()
    quick = fitted(tiny_unet(), inputs, {0: np.where(labels[0] == 3, 0, labels[0])})
    before = quick.predict(0)[2]
    quick.fit(labels, 3)
    at = labels[0] == 3
    assert quick.predict(0)[2][at].mean() > before[at].mean()


def error(call):
    with pytest.raises(LimsupError) as caught:
        call()
    return str(caught.value)


def test_errors():
    inputs, labels, _ = case()
    quick = QuickClassifier(tiny_unet())
    assert not quick.ready
    assert "quick answer: got no fit yet" in error(lambda: quick.score(labels))
    assert "features of 0: got none" in error(lambda: quick.predict(0))
    quick.features(0, inputs[0])
    assert "quick answer: got no fit yet" in error(lambda: quick.predict(0))
    one = np.where(labels[0] == 2, 2, 0).astype(np.uint8)
    assert "scribbles: got fewer than two classes" in error(lambda: quick.fit({0: one}, 3))
    assert "scribbles: got fewer than two classes" in error(lambda: quick.fit({}, 3))
    assert "labels of 0: got 3, expected 0…2" in error(lambda: quick.fit({0: labels[0]}, 2))
    turned = labels[0].T.copy()
    assert "got (64, 48), expected (48, 64)" in error(lambda: quick.fit({0: turned}, 3))
    assert "features of 1: got none" in error(lambda: quick.fit(labels, 3))
    quick.fit({0: labels[0]}, 3)
    assert quick.ready
