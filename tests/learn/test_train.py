import numpy as np
import pytest
import torch
from learn.toys import fresh_unet, toy_case

from limsup_widgets.learn import train
from limsup_widgets.learn.infer import codes, predict
from limsup_widgets.learn.inputs import Normalizer
from limsup_widgets.learn.metrics import dice_per_class, mean_dice


def check_grid(seed=0, crop=33, side=(50, 80)):
    """In pixels each grid is a turn, perhaps mirrored, with one zoom: no shear, no stretch."""
    grid = train.random_grid(np.random.default_rng(seed), 40, crop, side).numpy()
    height, width = side
    pixels = (grid + 1) * [width, height] / 2 - 0.5
    across, down = pixels[:, 0, 1] - pixels[:, 0, 0], pixels[:, 1, 0] - pixels[:, 0, 0]
    steps = [np.hypot(*v.T) for v in (across, down)]
    np.testing.assert_allclose(steps[0], steps[1], rtol=1e-3)
    np.testing.assert_allclose((across * down).sum(1), 0, atol=1e-3)
    assert steps[0].min() > 1 / 1.26 and steps[0].max() < 1 / 0.79
    assert steps[0].min() < 0.85 and steps[0].max() > 1.18
    handed = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
    assert 5 < (handed > 0).sum() < 35
    angles = np.arctan2(across[:, 1], across[:, 0])
    assert np.histogram(angles, 4, (-np.pi, np.pi))[0].min() > 2
    centres = pixels[:, crop // 2, crop // 2]
    assert (centres > 0).all() and (centres < [width, height]).all()
    free = np.maximum(0, np.array([width, height]) - crop)
    reach = np.maximum(0, [width, height] - crop * steps[0][:, None]) / 2
    assert (abs(centres + 0.5 - np.array([width, height]) / 2) <= reach + 0.01).all()
    assert (np.ptp(centres, axis=0) > 0.5 * free).all()


@pytest.mark.parametrize("side", [(50, 80), (80, 50), (64, 64), (30, 90)])
def test_values_grid(side):
    check_grid(side=side)


def check_augmentation():
    """Image and targets stay aligned; −1 outside the image and nowhere else."""
    rng = np.random.default_rng(0)
    y = torch.from_numpy(np.kron(rng.integers(0, 4, (3, 6, 8)), np.ones((9, 9)))).float()
    x = torch.stack([torch.zeros_like(y), torch.ones_like(y), y], dim=1)
    images, targets = train.augmented_batch(x, y, np.random.default_rng(1), 24, 40)
    assert images.shape == (24, 3, 40, 40) and targets.shape == (24, 40, 40)
    restored = (images[:, 2] - images[:, 0]) / (images[:, 1] - images[:, 0])
    inside = targets >= 0
    assert ((restored - targets).abs()[inside] < 0.51).float().mean() > 0.9
    assert (restored.round() == targets)[inside].float().mean() > 0.85
    assert inside.flatten(1).all(1).any() and not inside.all()
    assert set(targets.unique().tolist()) == {-1, 0, 1, 2, 3}


def test_values_augmentation():
    check_augmentation()


@pytest.mark.parametrize(("colour", "gain", "offset"), [(False, 0.1, 0.2), (True, 0.3, 0.6)])
def test_values_colour(colour, gain, offset):
    """Flat images of value 0 and 1 show the offset, and the gain on top of it."""
    flat = torch.stack([torch.zeros(2, 24, 24), torch.ones(2, 24, 24)])
    x, _ = train.augmented_batch(flat, flat[:, 0], np.random.default_rng(0), 400, 8, colour)
    level = x[:, :, 0, 0]
    assert torch.allclose(x, level[..., None, None].expand_as(x), atol=1e-6)
    assert torch.equal(level[:, 0], level[:, 1]) != colour
    assert -offset <= level.min() < -0.8 * offset
    assert 1 + 0.8 * offset < level.max() <= 1 + gain + offset


def test_values_outside_is_ignored():
    y = torch.full((1, 20, 30), 2.0)
    _, targets = train.augmented_batch(y[:, None], y, np.random.default_rng(0), 50, 20)
    assert set(targets.unique().tolist()) == {-1, 2}
    grid = train.random_grid(np.random.default_rng(0), 1, 20, (20, 30))
    assert train.random_grid(np.random.default_rng(0), 1, 20, (20, 30)).equal(grid)


def toy_pairs(seed=1, images=4):
    return list(zip(*toy_case(seed, images), strict=True))


def check_recipe_learns():
    """In 40 steps the loss falls clearly, and unseen images beat the majority class."""
    pairs, losses = toy_pairs(), []
    normalizer = Normalizer.fit([a for a, _ in pairs])
    net = fresh_unet()
    options = {"batch": 4, "crop": 48, "lr": 1e-2, "progress": lambda _, loss: losses.append(loss)}
    train.train_unet(pairs, net, normalizer, steps=40, **options)
    assert net.encoder[0][1].num_batches_tracked == 40
    assert len(losses) == 40 and np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5]), losses
    arrays, truths = toy_case(seed=2)
    learned = [codes(predict(net, normalizer(a))) for a in arrays]
    majority = [np.ones_like(t) for t in truths]
    dice, control = (mean_dice(dice_per_class(p, truths, 3)) for p in (learned, majority))
    assert dice > control + 0.3, (dice, control)


@pytest.mark.slow
def test_values_recipe_learns():
    check_recipe_learns()


@pytest.mark.slow
def test_determinism():
    nets = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        nets.append(train.train_u0(toy_pairs(), p_drop=0.2, steps=7, batch=1, crop=16))
    (one, fitted), (two, again) = nets
    assert fitted == again and one.dropout_at == ("quarter", "half") and not one.training
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_values_loss_ignores_the_unknown():
    torch.manual_seed(0)
    logits, targets = torch.randn(1, 3, 6, 6), torch.randint(-1, 3, (1, 6, 6))
    elsewhere = torch.where((targets < 0)[:, None], logits + 9 * torch.randn(1, 3, 6, 6), logits)
    weights = torch.tensor([1.0, 2.0, 3.0])
    losses = [train.dense_loss(z, targets, weights) for z in (logits, elsewhere)]
    torch.testing.assert_close(*losses)
