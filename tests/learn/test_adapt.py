import numpy as np
import pytest
import torch
from learn.toys import random_input, scribble, tiny_unet, toy_base, toy_case
from torch import nn

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn import adapt as adapting
from limsup_widgets.learn.adapt import adapt, with_channels
from limsup_widgets.learn.infer import codes, predict
from limsup_widgets.learn.metrics import dice_per_class, mean_dice
from limsup_widgets.learn.tune import last_layer


def case(classes=3):
    """Inputs, scribbles and truths of other colours; with 2 classes the square is background."""
    arrays, truths = toy_case(seed=5, swapped=True)
    truths = [np.where(y > classes, 1, y).astype(np.uint8) for y in truths]
    inputs = [toy_base()[1](a) for a in arrays]
    return inputs, [scribble(y, i) for i, y in enumerate(truths)], truths


def fitted_dice(net, inputs, truths):
    predicted = [codes(predict(net, x)) for x in inputs]
    return mean_dice(dice_per_class(predicted, truths, int(max(y.max() for y in truths))))


def three_by_three():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, padding=1, bias=False)
    )


@pytest.mark.parametrize("make", [tiny_unet, three_by_three])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_values_grey_response(make, channels):
    net, grey = make().eval(), random_input(shape=(1, 32, 40))
    new = with_channels(net, channels)
    expected = predict(net, grey.expand(3, -1, -1))
    np.testing.assert_allclose(predict(new, grey.expand(channels, -1, -1)), expected, atol=1e-5)


def test_values_same_channels():
    net, x = tiny_unet(), random_input()
    assert (with_channels(net, 5).in_channels, net.in_channels) == (5, 3)
    same = with_channels(net, 3)
    assert same is not net and np.array_equal(predict(same, x), predict(net, x))


def check_head(classes=3):
    inputs, labels, truths = case(classes)
    net, _ = toy_base()
    new = adapt(net, 3, classes, inputs, labels, refit=classes == 3)
    assert predict(new, inputs[0]).shape[0] == new.classes == classes and net.classes == 3
    assert not any(m.training for m in new.modules())
    assert fitted_dice(new, inputs, truths) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 3])
def test_values_head(classes):
    check_head(classes)


def test_values_two_classes_are_one_sigmoid():
    inputs, labels, _ = case(classes=2)
    new = adapt(tiny_unet(classes=7), 3, 2, inputs, labels)
    with torch.no_grad():
        logits = new(inputs[0][None])
    torch.testing.assert_close(logits[:, 0], -logits[:, 1])


@pytest.mark.parametrize("make", [tiny_unet, three_by_three])
@pytest.mark.parametrize("classes", [2, 3])
def test_equivalence_logistic_regression(make, classes):
    """What the network predicts on the scribbles is what scikit-learn predicts there."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    inputs, labels, _ = case(classes)
    new = adapt(make(), 3, classes, inputs, labels, refit=True)
    head = last_layer(new)
    places = [np.nonzero(y) for y in labels]
    features = np.concatenate(
        [adapting._features_at(new, head, x, at) for x, at in zip(inputs, places, strict=True)]
    )
    codes_there = np.concatenate([y[at] for y, at in zip(labels, places, strict=True)])
    fit = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=300))
    expected = fit.fit(features, codes_there).predict_proba(features)
    found = np.concatenate(
        [predict(new, x)[:, *at].T for x, at in zip(inputs, places, strict=True)]
    )
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_values_missing_class_is_never_predicted(missing):
    inputs, labels, _ = case()
    kept = [np.where(y >= missing, y + 1, y).astype(np.uint8) for y in labels]
    new = adapt(tiny_unet(classes=7), 3, 4, inputs, kept)
    found = {
        int(c)
        for x in [*inputs, random_input(3), 30 * random_input(4)]
        for c in np.unique(codes(predict(new, x)))
    }
    assert found == {1, 2, 3, 4} - {missing}


def test_values_thin_class_is_not_lost(monkeypatch):
    monkeypatch.setattr(adapting, "FIT_PIXELS", 60)
    inputs, _, truths = case()
    labels = [np.where(y == 2, 0, y).astype(np.uint8) for y in truths]
    labels[0][truths[0] == 2] = 2 * (np.cumsum(truths[0] == 2)[truths[0].ravel() == 2] <= 2)
    new = adapt(tiny_unet(classes=7), 3, 3, inputs, labels)
    assert new.head.weight[1].abs().max() > 0


@pytest.mark.slow
def test_values_refit():
    inputs, labels, truths = case()
    net, _ = toy_base()
    same = adapt(net, 3, 3, inputs, labels)
    assert same is not net and np.array_equal(predict(same, inputs[0]), predict(net, inputs[0]))
    again = adapt(net, 3, 3, inputs, labels, refit=True)
    assert fitted_dice(net, inputs, truths) < 0.5 < 0.9 < fitted_dice(again, inputs, truths)


@pytest.mark.slow
def test_values_channels_and_head_at_once():
    inputs, labels, truths = case()
    grey = [x[:1] for x in inputs]
    new = adapt(toy_base()[0], 1, 3, grey, labels, refit=True)
    assert new.in_channels == 1 and fitted_dice(new, grey, truths) > 0.6


def check_features_in_eval_mode():
    """On a stain unlike the training's, where single images have other batch statistics."""
    inputs, labels, truths = case()
    stained = [x + torch.tensor([2.0, -2.0, 0.0])[:, None, None] for x in inputs]
    new = adapting.adapt(toy_base()[0], 3, 3, stained, labels, refit=True)
    dice = fitted_dice(new, stained, truths)
    assert dice > 0.9, dice


@pytest.mark.slow
def test_values_features_in_eval_mode():
    check_features_in_eval_mode()


def basic_unet():
    from monai.networks.nets import BasicUNet

    torch.manual_seed(0)
    return BasicUNet(2, 3, 6, features=(8, 8, 8, 8, 8, 8))


@pytest.mark.parametrize("make", [three_by_three, basic_unet])
def test_foreign_network(make):
    inputs, labels, truths = case()
    net = make().eval()
    before = predict(net, inputs[0])
    new = adapt(net, 3, 3, inputs, labels)
    assert fitted_dice(new, inputs, truths) > 0.5
    assert np.array_equal(predict(net, inputs[0]), before)
    assert with_channels(net, 1)(torch.zeros(1, 1, 32, 32)).shape[1] == 6


def monai_unet(residual, classes=6):
    from monai.networks.nets import UNet

    torch.manual_seed(0)
    return UNet(2, 3, classes, (4, 8, 8), (2, 2), num_res_units=residual)


@pytest.mark.parametrize("residual", [0, 2])
def test_errors_monai_unet(residual):
    """Its logits come from a transposed convolution, or from a sum: the rule does not apply."""
    inputs, labels, _ = case()
    with pytest.raises(
        LimsupError, match=r"does not make the logits alone.* Do: replace the first"
    ):
        adapt(monai_unet(residual), 3, 3, inputs, labels)
    net = monai_unet(residual, classes=3).eval()
    assert np.array_equal(
        predict(adapt(net, 3, 3, inputs, labels), inputs[0]), predict(net, inputs[0])
    )


def test_errors_network():
    inputs, labels, _ = case()
    with pytest.raises(LimsupError, match=r"UNet: got .*channels"):
        adapt(monai_unet(2), 1, 3, [x[:1] for x in inputs], labels)
    with pytest.raises(LimsupError, match="Sequential: got Conv2d as last layer"):
        adapt(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Softmax(1)), 3, 3, inputs, labels)
    with pytest.raises(LimsupError, match="Sequential: got Conv2d as last layer"):
        small = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 4, 1))
        adapt(small, 3, 3, inputs, labels)
    with pytest.raises(LimsupError, match="first layer: got 3 groups"):
        with_channels(nn.Conv2d(3, 6, 1, groups=3), 4)
    with pytest.raises(LimsupError, match="network: got no Conv2d"):
        with_channels(nn.Linear(3, 3), 4)


def test_errors_labels():
    inputs, labels, _ = case()
    net = tiny_unet(classes=7)
    one_class = [np.where(y == 2, y, 0).astype(np.uint8) for y in labels]
    with pytest.raises(LimsupError, match="scribbles: got fewer than two classes"):
        adapt(net, 3, 3, inputs, one_class)
    with pytest.raises(LimsupError, match="labels of image 0: got 3, expected 0…2"):
        adapt(net, 3, 2, inputs, labels)
    with pytest.raises(LimsupError, match="images: got none"):
        adapt(net, 3, 3, [], [])
