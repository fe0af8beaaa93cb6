"""What chapter ls01 teaches: each step against the package, and one fault at a time."""

import numpy as np
import pytest
import torch
from chapters.sabotage import broken
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.ndimage import gaussian_filter

from limsup_chapters import ls01
from limsup_widgets.data.kidney import DIALS, subject_parameters
from limsup_widgets.data.kidney.anatomy import draw_tissue
from limsup_widgets.data.kidney.render import stain
from limsup_widgets.learn.inputs import Normalizer
from limsup_widgets.learn.losses import class_weights
from limsup_widgets.learn.metrics import dice_per_class
from limsup_widgets.learn.train import augmented_batch, dense_loss, train_unet
from limsup_widgets.learn.unet import UNet
from limsup_widgets.learn.weights import load_u0
from limsup_widgets.teach import claim_true
from limsup_widgets.teach.chapters import SHARED_TAGS, chapter_path, load_cells

PATH = chapter_path("ls01")
SHAPE = (64, 80)
codes = arrays(np.uint8, (6, 5), elements=st.integers(1, 4))


def tissue_maps():
    """A subject and the two maps of dye of one small field."""
    p = subject_parameters("patient", 4, 0.5)
    tissue = draw_tissue(p, np.random.default_rng(2), SHAPE)
    return p, tissue, [gaussian_filter(m, p.blur) for m in (tissue.haematoxylin, tissue.pas)]


def batch():
    generator = torch.manual_seed(3)
    logits = torch.randn(2, 4, 8, 8, generator=generator)
    targets = torch.randint(-1, 4, (2, 8, 8), generator=generator)
    return logits, targets, torch.tensor([0.5, 0.7, 1.8, 1.0])


def images(n=3):
    """Normalised noise and blocks of all four classes."""
    rng = np.random.default_rng(1)
    y = np.kron(rng.integers(0, 4, (n, 8, 10)), np.ones((1, 12, 12)))
    x = rng.normal(size=(n, 3, 96, 120)).astype(np.float32)
    return torch.from_numpy(x), torch.from_numpy(y).float()


def renders_as_the_package(module):
    p, tissue, maps = tissue_maps()
    ours = module.photographed(module.transmitted(*maps, p), np.random.default_rng(1))
    theirs = stain(tissue.haematoxylin, tissue.pas, p, np.random.default_rng(1))
    np.testing.assert_allclose(ours.astype(int), theirs.astype(int), atol=1)


def unmixes_what_it_mixed(module):
    p, _, maps = tissue_maps()
    np.testing.assert_allclose(module.unmixed(module.transmitted(*maps, p), p), maps, atol=1e-4)


def turns_all_dials_as_the_package(module):
    for s in (0.0, 0.6):
        dials = DIALS if s else ()
        same = module.turned((5000, 1, 2), **dict.fromkeys(dials, s))
        assert same == subject_parameters("patient", (5000, 1, 2), s, dials)


def computes_as_the_package(module):
    torch.manual_seed(0)
    ours, theirs = module.SmallUNet((4, 6, 8, 8)).eval(), UNet(widths=(4, 6, 8, 8)).eval()
    theirs.load_state_dict(ours.state_dict())
    x = images(1)[0]
    torch.testing.assert_close(ours(x), theirs(x))


def agrees_with_the_packaged_loss(module):
    torch.testing.assert_close(module.u0_loss(*batch()), dense_loss(*batch()))


def is_silent_where_nothing_is_known(module):
    logits, targets, weights = batch()
    logits.requires_grad_()
    module.u0_loss(logits, targets, weights).backward()
    assert not logits.grad.abs().sum(1)[targets < 0].any()


def cuts_patches_as_the_package(module):
    ours = module.patches(*images(), np.random.default_rng(25), count=4, size=48)
    theirs = augmented_batch(*images(), np.random.default_rng(25), 4, 48)
    torch.testing.assert_close(ours, theirs)


def ignores_what_lies_outside(module):
    x, y = images()
    targets = module.patches(x, torch.full_like(y, 2), np.random.default_rng(0), 20, 96)[1]
    assert set(targets.unique().tolist()) == {-1, 2}


def trains_as_the_package_does(module):
    x, y = images()
    raw = [np.moveaxis(image.numpy(), 0, -1) for image in x]
    truths = [target.numpy().astype(np.uint8) + 1 for target in y]
    torch.manual_seed(0)
    ours, theirs, losses = UNet(widths=(4, 6, 8, 8)), UNet(widths=(4, 6, 8, 8)), []
    theirs.load_state_dict(ours.state_dict())
    weights = module.rarity_weights(truths)
    mine = module.trained(ours, x, y, weights, steps=3, batch=2)
    plain = Normalizer((0.0,) * 3, (1.0,) * 3)
    pairs = list(zip(raw, truths, strict=True))
    train_unet(pairs, theirs, plain, 3, batch=2, progress=lambda _, loss: losses.append(loss))
    np.testing.assert_allclose(mine, losses, rtol=1e-3)


CHECKS = (
    renders_as_the_package,
    unmixes_what_it_mixed,
    turns_all_dials_as_the_package,
    computes_as_the_package,
    agrees_with_the_packaged_loss,
    is_silent_where_nothing_is_known,
    cuts_patches_as_the_package,
    ignores_what_lies_outside,
    trains_as_the_package_does,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_equivalence(check):
    check(ls01)


FAULTS = {
    "stains add instead of multiplying": (
        "glass * np.exp(-density * absorbed)",
        "glass * (1 - density * absorbed)",
        renders_as_the_package,
    ),
    "one dye is forgotten": (
        "absorbed = absorbed + q[..., None]",
        "absorbed = absorbed + 0 * q[..., None]",
        unmixes_what_it_mixed,
    ),
    "a dial at full severity": (
        'subject_parameters("patient", key, s, (dial,))',
        'subject_parameters("patient", key, 1.0, (dial,))',
        turns_all_dials_as_the_package,
    ),
    "skips are left out": (
        "torch.cat([skip, x], dim=1)",
        "torch.cat([x, x], dim=1)",
        computes_as_the_package,
    ),
    "class weights ignored": (
        "of_pixel = (truth * weights[:, None, None]).sum(1)",
        "of_pixel = truth.sum(1)",
        agrees_with_the_packaged_loss,
    ),
    "unknown pixels count in Dice": (
        "soft_dice(logits.softmax(1) * known, truth, gamma)",
        "soft_dice(logits.softmax(1), truth, gamma)",
        is_silent_where_nothing_is_known,
    ),
    "labels are interpolated": ('mode="nearest"', 'mode="bilinear"', cuts_patches_as_the_package),
    "outside is class 0": (
        "codes[:, 0].round().long() - 1",
        "(codes[:, 0].round().long() - 1).clamp_min(0)",
        ignores_what_lies_outside,
    ),
    "no Dice in the loss": (
        "return entropy + 1 - soft_dice",
        "return entropy + 1 - 0 * soft_dice",
        trains_as_the_package_does,
    ),
}


@pytest.mark.parametrize(("old", "new", "check"), FAULTS.values(), ids=FAULTS)
def test_values_a_fault_is_seen(old, new, check):
    module = broken("ls01", old, new)
    with pytest.raises(AssertionError):
        check(module)


@torch.no_grad()
def change_behind_a_cut(left):
    """Largest change of a probability, 56 columns behind a cut at ``left``."""
    u0 = load_u0()
    x = torch.randn(1, 3, 96, 256, generator=torch.manual_seed(0))
    full = u0(x)[..., left : left + 128].softmax(1)
    part = u0(x[..., left : left + 184])[..., :128].softmax(1)
    return float((full - part).abs()[..., 56:].max())


@pytest.mark.parametrize(("left", "words"), [(64, "holds"), (60, "does not hold")])
def test_values_a_cut_off_the_grid_turns_the_claim(left, words, capsys):
    assert claim_true("patch = whole", change_behind_a_cut(left) < 1e-4).words == words
    capsys.readouterr()


@given(codes, codes)
@settings(max_examples=30, deadline=None)
def test_equivalence_overlap(predicted, truth):
    ours = ls01.overlap([predicted, truth], [truth, truth])
    theirs = dice_per_class([predicted, truth], [truth, truth], 4)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_values_per_image_skips_or_punishes_an_absent_class():
    truth = [np.array([[1, 1, 2, 2]]), np.array([[1, 1, 1, 1]])]
    seen = [np.array([[1, 1, 2, 1]]), np.array([[1, 1, 1, 2]])]
    np.testing.assert_allclose(ls01.overlap(seen, truth)[:2], [5 / 6, 0.5])
    np.testing.assert_allclose(ls01.per_image(seen, truth)[1], 2 / 3)
    np.testing.assert_allclose(ls01.per_image(seen, truth, strict=True)[1:], [1 / 3, 1, 1])


def test_values_area_is_false_minus_missed():
    truth, seen = np.repeat([[1, 2]], [40, 60], axis=1), np.repeat([[1, 2]], [55, 45], axis=1)
    assert ls01.area([seen]) - ls01.area([truth]) == pytest.approx(0.15)


def test_values_with_area():
    prob = np.random.default_rng(0).dirichlet([1] * 4, (40, 50)).transpose(2, 0, 1)
    forced = ls01.with_area(prob, 0.3)
    assert ls01.area([forced]) == pytest.approx(0.3, abs=1e-3)
    lead = prob[0] / prob[1:].max(0)
    assert lead[forced == 1].min() > lead[forced != 1].max()
    others = prob[1:].argmax(0) + 2
    np.testing.assert_array_equal(forced[forced != 1], others[forced != 1])


def test_values_rank_correlation():
    a = np.arange(20.0)
    assert ls01.rank_correlation(a, a**3) == pytest.approx((1, 1, 1))
    noisy = a + np.random.default_rng(0).normal(0, 8, 20)
    rho, low, high = ls01.rank_correlation(a, noisy)
    assert low < rho < high
    assert rho == pytest.approx(stats.spearmanr(a, noisy).statistic)


def test_values_weights_count_the_rare_class_more():
    truth = np.repeat(np.arange(1, 5), [64, 16, 4, 16]).astype(np.uint8)[None]
    weights = ls01.rarity_weights([truth])
    torch.testing.assert_close(weights, class_weights([truth], 4))
    torch.testing.assert_close(weights[2] / weights[0], torch.tensor(4.0))


def test_values_a_power_forgives_small_errors():
    prob = torch.full((1, 2, 4, 4), 0.5)
    truth = torch.zeros_like(prob)
    truth[:, 0] = 1
    assert (ls01.soft_dice(prob, truth, gamma=2) > ls01.soft_dice(prob, truth))[0]


def test_values_colour_names_the_patient():
    rng = np.random.default_rng(0)
    tints = rng.uniform(60, 200, (4, 1, 1, 1, 3))
    pictures = np.clip(tints + rng.normal(0, 5, (4, 3, 8, 8, 3)), 0, 255).astype(np.uint8)
    marks = np.array([ls01.fingerprint(image) for image in pictures.reshape(-1, 8, 8, 3)])
    assert ls01.recognised(marks, np.repeat(np.arange(4), 3)).all()


def test_values_first_columns_of_the_talk():
    talk = load_cells(PATH, (*SHARED_TAGS, "talk"))
    assert (np.median(talk.every), np.median(talk.tissue_only)) == (768.5, 788)
    assert (talk.every.argmin(), talk.every.argmax()) == (4, 12)
    assert stats.spearmanr(talk.every, talk.tissue_only).statistic == pytest.approx(
        -0.549, abs=1e-3
    )
