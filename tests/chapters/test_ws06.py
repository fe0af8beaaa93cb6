"""Chapter ws06: its penalties against the package's and closed forms, and faults that must show."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from chapters.sabotage import broken, claim_words

from limsup_chapters import ws06
from limsup_widgets.learn import sizes
from limsup_widgets.learn.losses import partial_cross_entropy

BELOW, INSIDE, ABOVE = 0.03, 0.08, 0.5
RANGE = (0.05, 0.1)


def shares(*values):
    return torch.tensor(values, dtype=torch.double, requires_grad=True)


def bounds(p, low=RANGE[0], high=RANGE[1]):
    return torch.full_like(p, low), torch.full_like(p, high)


def logits(seed=0, n=5):
    return torch.randn(n, 2, 7, 6, generator=torch.Generator().manual_seed(seed)).double()


def the_share_is_the_packaged_one(module):
    expected = sizes.proportions(logits())[:, 1]
    torch.testing.assert_close(module.share(logits()), expected)


def the_share_has_a_gradient(module):
    z = logits().requires_grad_()
    module.share(z).sum().backward()
    assert z.grad is not None and (z.grad != 0).all()


def squared_in_closed_form(module):
    p = shares(BELOW, INSIDE, ABOVE)
    found = module.squared(p, *bounds(p))
    assert found.tolist() == pytest.approx([0.4**2, 0, 4.0**2])
    zero = torch.zeros_like(p)
    assert module.squared(p, zero, zero).tolist() == pytest.approx([BELOW**2, INSIDE**2, 0.25])


def penalties_are_the_packaged_ones(module):
    p = shares(0.0, BELOW, INSIDE, ABOVE, 1.0)
    for low, high in (RANGE, (0.2, 0.2), (0.0, 0.1), (0.05, 1.0)):
        pairs = (
            (module.squared(p, *bounds(p, low, high)), {"kind": "l2"}),
            (module.bernoulli_kl(p, *bounds(p, low, high)), {"kind": "kl"}),
            (module.barrier(p, *bounds(p, low, high), t=7), {"kind": "barrier", "t": 7}),
        )
        for ours, kind in pairs:
            theirs = sizes.size_penalty(p, low, high, relative=True, **kind)
            torch.testing.assert_close(ours, theirs)


def gradients_are_finite(module):
    p = shares(0.0, BELOW, INSIDE, ABOVE, 1.0)
    loss = module.squared(p, *bounds(p)) + module.bernoulli_kl(p, *bounds(p))
    (slope,) = torch.autograd.grad((loss + module.barrier(p, *bounds(p), 5)).sum(), p)
    assert torch.isfinite(slope).all()


def barrier_slopes_of_the_brief(module):
    z = shares(-0.1, 0.0, 0.1)
    for t, expected in ((5, [2, 5, 5]), (50, [0.2, 50, 50])):
        (slope,) = torch.autograd.grad(module.log_barrier(z, t).sum(), z)
        assert slope.tolist() == pytest.approx(expected)
    edge = shares(-0.04 - 1e-9, -0.04 + 1e-9)
    assert module.log_barrier(edge, 5).diff().abs().item() < 1e-6


def tags_become_bounds(module):
    low, high = module.tag_bounds([1, 0], 100)
    assert low.tolist() == [0.01, 0] and high.tolist() == [1, 0]


def batch_of(seed=1, progress=0.5):
    targets = torch.full((2, 7, 6), -1)
    targets[:, 0] = 1
    return SimpleNamespace(targets=targets, index=torch.tensor([3, 0]), progress=progress)


def the_objective_adds_up(module):
    z, seen = logits(n=2), batch_of()
    low, high = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.2, 0.3, 0.4, 0.45])
    p, pick = sizes.proportions(z)[:, 1], [3, 0]
    a, b = torch.tensor(low)[pick], torch.tensor(high)[pick]
    for kind, name in (("squared", "l2"), ("kl", "kl"), ("barrier", "barrier")):
        penalty = sizes.size_penalty(p, a, b, name, t=15, relative=True).mean()
        expected = partial_cross_entropy(z, seen.targets) + 3 * penalty
        found = module.size_objective(low, high, kind, 3)(z, seen)
        torch.testing.assert_close(found, expected, check_dtype=False, rtol=1e-5, atol=1e-6)


def discs_have_their_pixels(module):
    assert [module.disc(101, (50, 50), r).sum() for r in (1, 10, 50)] == [5, 317, 7845]


def the_toy_is_what_it_says(module):
    images, masks = module.disc_toy(6, seed=3)
    more, _ = module.disc_toy(8, seed=3)
    np.testing.assert_array_equal(images, more[:6])
    radii = np.sqrt((masks == 2).sum((1, 2)) / np.pi)
    assert radii.min() > 4 and radii.max() < 9.3 and radii.std() > 0.3
    bright = [image[0][mask == 2].mean() for image, mask in zip(images, masks, strict=True)]
    np.testing.assert_allclose(bright, 200 / 255, atol=0.08)
    _, none = module.disc_toy(40, seed=3, empty=0.5)
    assert 8 < (none == 2).any((1, 2)).sum() < 32


def a_distractor_is_bright_background(module):
    plain, masks = module.disc_toy(6, seed=3)
    images, same = module.disc_toy(6, seed=3, distractor=True)
    np.testing.assert_array_equal(masks, same)
    spot = (images - plain)[:, 0] > 0.4
    assert spot.any((1, 2)).all() and not spot[masks == 2].any()


def networks_see_single_pixels(module):
    x = np.random.default_rng(0).normal(size=(1, 8, 4, 5)).astype(np.float32)
    net = module.PixelNet(3)
    turned = net(torch.from_numpy(x[..., ::-1].copy()))
    torch.testing.assert_close(turned.flip(-1), net(torch.from_numpy(x)))
    torch.testing.assert_close(module.PixelNet(3)[0].weight, net[0].weight)


def blurs_keep_the_mean(module):
    images, _ = module.disc_toy(2, seed=0)
    maps = module.blurred(images) * 0.25 + 0.2
    assert maps.shape == (2, 8, 48, 48)
    np.testing.assert_allclose(maps[:, 0], images[:, 0], atol=1e-6)
    for part, source in ((maps[:, :6], images), (maps[:, 6:], images**2)):
        off = part.mean((2, 3)) - source.mean((2, 3))
        assert np.abs(off).max() < 0.02


class Fixed(torch.nn.Module):
    """A network that answers given probabilities."""

    def forward(self, x):
        return torch.stack([torch.zeros_like(x[:, 0]), torch.logit(x[:, 0])], 1)


def scores_in_closed_form(module):
    s = np.array([[[[0.9, 0.6, 0.4, 0.1]]]], np.float32)
    found = module.judge(Fixed(), s, np.array([[[2, 1, 2, 2]]]))
    assert found["dice"] == pytest.approx(2 / 5) and found["hard"] == pytest.approx(2 / 3)
    assert found["soft"] == pytest.approx(2 / 3)
    assert found["doubt"] == pytest.approx((0.09 + 0.24 + 0.24 + 0.09) / 4)


def sizes_are_regressed(module):
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(30, 4))
    shares = np.exp(numbers @ [0.3, -0.2, 0.1, 0.0] - 2)
    predict = module.fit_sizes(numbers[:20], shares[:20], ridge=1e-9)
    np.testing.assert_allclose(predict(numbers[20:]), shares[20:], rtol=1e-5)
    few, off = shares[:6], []
    for k in range(6):
        rest = [i for i in range(6) if i != k]
        off.append(module.fit_sizes(numbers[rest], few[rest])(numbers[k]) / few[k] - 1)
    assert module.left_out_error(numbers[:6], few) == pytest.approx(np.abs(off).mean())


def an_image_is_four_numbers(module):
    found = module.global_numbers(np.full((3, 1, 20, 20), 0.7, np.float32))
    np.testing.assert_allclose(found, np.full((3, 4), 0.7), rtol=1e-5)


CHECKS = (
    the_share_is_the_packaged_one,
    the_share_has_a_gradient,
    squared_in_closed_form,
    penalties_are_the_packaged_ones,
    gradients_are_finite,
    barrier_slopes_of_the_brief,
    tags_become_bounds,
    the_objective_adds_up,
    discs_have_their_pixels,
    the_toy_is_what_it_says,
    a_distractor_is_bright_background,
    networks_see_single_pixels,
    blurs_keep_the_mean,
    scores_in_closed_form,
    sizes_are_regressed,
    an_image_is_four_numbers,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_values(check):
    check(ws06)


SIGN = ("+ weight * penalty.mean()", "- weight * penalty.mean()")
NO_LOWER = ("return below**2 + above**2", "return above**2")
HARD = (
    "return logits.softmax(1)[:, 1].mean((1, 2))",
    "return (logits[:, 1] > logits[:, 0]).float().mean((1, 2)).to(logits)",
)
FAULTS = {
    "sign flipped": (*SIGN, the_objective_adds_up),
    "lower bound dropped": (*NO_LOWER, squared_in_closed_form),
    "hard sizes": (*HARD, the_share_is_the_packaged_one),
    "background's size": ("logits.softmax(1)[:, 1]", "logits.softmax(1)[:, 0]",
                          the_share_is_the_packaged_one),
    "size detached": (HARD[0],
                      "return logits.detach().softmax(1)[:, 1].mean((1, 2)).requires_grad_()",
                      the_share_has_a_gradient),
    "not relative": ("torch.relu(p - b) / torch.where(b > 0, b, 1.0)", "torch.relu(p - b)",
                     squared_in_closed_form),
    "foreground term only": (" + (1 - q) * (log(1 - q) - log(1 - p))", "",
                             penalties_are_the_packaged_ones),
    "arguments of the KL swapped": ("q * (log(q) - log(p))", "p * (log(p) - log(q))",
                                    penalties_are_the_packaged_ones),
    "logarithms without a floor": ("v.clamp_min(floor).log()", "v.log()",
                                   penalties_are_the_packaged_ones),
    "barrier's constant": ("2 * np.log(t) / t + 1 / t", "1 / t", barrier_slopes_of_the_brief),
    "line too flat": ("line = t * z", "line = z", barrier_slopes_of_the_brief),
    "no bound taken for one": ("torch.where(b < 1, above, 0.0)", "above",
                               penalties_are_the_packaged_ones),
    "tags exchanged": ("tags == 1, 1 / pixels", "tags == 0, 1 / pixels", tags_become_bounds),
    "bounds of other images": ("v[batch.index]", "v[: len(p)]", the_objective_adds_up),
    "t stands still": ("5 + 20 * batch.progress", "5", the_objective_adds_up),
    "same noise everywhere": ("default_rng([seed, i])", "default_rng(seed)",
                              the_toy_is_what_it_says),
    "distractor labelled": ("image[disc(size, beside, 0.7 * r)] = 200 / 255",
                            "image[disc(size, beside, 0.7 * r)] = 200 / 255\n"
                            "        mask[disc(size, beside, 0.7 * r)] = 2",
                            a_distractor_is_bright_background),
    "soft size taken for hard": ("float(hard.sum() / truth.sum())", "float(s.sum() / truth.mean())",
                                 scores_in_closed_form),
    "nothing left out": ("np.delete(np.arange(len(shares)), k)", "np.arange(len(shares))",
                         sizes_are_regressed),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "check"), FAULTS.values(), ids=FAULTS)
def test_values_a_fault_is_seen(old, new, check):
    module = broken("ws06", old, new)
    with pytest.raises((AssertionError, RuntimeError)):
        check(module)


ZERO_INSIDE = "0 between the bounds, positive on either side"
TOWARDS = "a step moves the size towards the range"
SMALLEST = "in the smallest case, too: bounds add .3 Dice to clicks"
FLAT = "a flat map satisfies the size with an empty mask"


@pytest.fixture(scope="module")
def sound():
    return claim_words("ws06")


def test_claims_hold(sound):
    assert {sound[name] for name in (ZERO_INSIDE, TOWARDS, SMALLEST, FLAT)} == {"holds"}


@pytest.mark.parametrize(
    ("fault", "fall"),
    [(SIGN, (TOWARDS, SMALLEST)), (NO_LOWER, (ZERO_INSIDE, TOWARDS)), (HARD, (TOWARDS, SMALLEST))],
    ids=["sign flipped", "lower bound dropped", "hard sizes"],
)
def test_sabotage_flips_the_claims(fault, fall):
    words = claim_words("ws06", faults=dict([fault]))
    assert {words[name] for name in fall} == {"does not hold"}
