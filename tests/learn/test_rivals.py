import numpy as np
import pytest
import torch
from learn.toys import random_input, scribble, tiny_unet, toy_base, toy_case

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn import rivals
from limsup_widgets.learn.infer import predict
from limsup_widgets.learn.metrics import dice_per_class

ARRAYS, TRUTHS = toy_case(seed=4, images=3)
LABELS = [
    np.max([scribble(y, seed=n) for n in range(i, i + 4)], axis=0) for i, y in enumerate(TRUTHS)
]


def check_rival(predict_codes, least):
    predicted = predict_codes(ARRAYS[:2], LABELS[:2], ARRAYS[2:])
    assert predicted[0].dtype == np.uint8 and predicted[0].shape == TRUTHS[2].shape
    dice = dice_per_class(predicted, TRUTHS[2:], 3)
    assert dice.min() > least, dice


def test_values_nearest_class_mean():
    check_rival(rivals.nearest_class_mean, 0.9)


def test_values_nearest_class_mean_by_hand():
    image = np.array([[10, 20, 200, 110, 100]], np.uint8)
    labels = np.array([[1, 1, 3, 0, 0]], np.uint8)
    assert rivals.nearest_class_mean([image], [labels], [image])[0].tolist() == [[1, 1, 3, 3, 1]]


def test_values_random_forest():
    check_rival(rivals.random_forest, 0.7)
    one, two = (rivals.random_forest(ARRAYS[:1], LABELS[:1], ARRAYS[1:2]) for _ in range(2))
    assert np.array_equal(one[0], two[0])


@pytest.mark.slow
def test_values_logistic_head():
    net, normalizer = toy_base()
    check_rival(
        lambda train, labels, test: rivals.logistic_head(
            net, list(map(normalizer, train)), labels, list(map(normalizer, test))
        ),
        0.7,
    )


def test_shapes_features():
    net = tiny_unet().train()
    deep = rivals.deep_features(net)(random_input(shape=(3, 21, 30)))
    assert deep.shape == (21, 30, 10 + 8 + 6 + 4) and all(m.training for m in net.modules())
    assert rivals.multiscale(ARRAYS[0]).shape[:2] == rivals.multiscale(ARRAYS[0][..., 0]).shape[:2]
    assert rivals.colour(ARRAYS[0][..., 0]).shape == (48, 64, 1)


def test_equivalence_finest_features():
    net, x = tiny_unet(), random_input(shape=(3, 24, 32))
    deep = torch.from_numpy(rivals.deep_features(net)(x)).movedim(-1, 0)
    with torch.no_grad():
        torch.testing.assert_close(net.head(deep[None, -4:]), net(x[None]))


def test_values_adabn():
    net, inputs = tiny_unet(), [random_input(i) for i in range(3)]
    net.encoder[0][1].num_batches_tracked += 7  # as after training
    before = [b.clone() for b in net.buffers()]
    adapted = rivals.adabn(net, inputs)
    assert all(torch.equal(a, b) for a, b in zip(net.buffers(), before, strict=True))
    with torch.no_grad():
        seen = [net.encoder[0][0](x[None]) for x in inputs]
    norm = adapted.encoder[0][1]
    torch.testing.assert_close(norm.running_mean, torch.cat(seen).mean((0, 2, 3)))
    per_image = torch.stack([s.var((0, 2, 3)) for s in seen])
    torch.testing.assert_close(norm.running_var, per_image.mean(0))
    assert norm.momentum == 0.1 and not any(m.training for m in adapted.modules())


def test_invariance_adabn_to_gain():
    net, x = tiny_unet(), random_input()
    plain, brighter = (predict(rivals.adabn(net, [x * g]), x * g) for g in (1, 5))
    np.testing.assert_allclose(plain, brighter, atol=1e-3)
    assert np.abs(predict(net, x) - predict(net, 5 * x)).max() > 0.1


def test_errors():
    one_class = [np.where(y == 2, y, 0).astype(np.uint8) for y in LABELS]
    with pytest.raises(LimsupError, match=r"got fewer than two classes\. Do: scribble a second"):
        rivals.nearest_class_mean(ARRAYS, one_class, ARRAYS)
