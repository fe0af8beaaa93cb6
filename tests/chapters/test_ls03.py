"""Chapter ls03: its method against the package's, the talk's tables, and faults that must show."""

import numpy as np
import pytest
import torch
from chapters.sabotage import broken
from hypothesis import given, settings
from hypothesis import strategies as st

from limsup_chapters import ls03
from limsup_widgets.learn.biomarker import conformal_halfwidth, mc_fractions
from limsup_widgets.learn.losses import uncertainty_weights
from limsup_widgets.learn.moments import mc_moments, mc_passes
from limsup_widgets.learn.unet import UNet
from limsup_widgets.teach.chapters import SHARED_TAGS, chapter_path, load_cells

PATH = chapter_path("ls03")


def small_net():
    """Random weights, but batch statistics that fit, so that a dropped channel makes a change."""
    torch.manual_seed(0)
    net = UNet(widths=(4, 6, 8, 8), p_drop=0.3).train()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        net(torch.randn(4, 3, 32, 40))
    return net.eval()


def noise(seed=1):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(3, 32, 40)).astype(np.float32))


def stack_of(module, passes=4):
    return torch.stack(list(module.shared_passes(small_net(), noise(), passes)))


def passes_are_the_packaged_ones(module):
    expected = torch.stack(list(mc_passes(small_net(), noise(), 4)))
    torch.testing.assert_close(module.naive_passes(small_net(), noise(), 4), expected)


def shared_passes_are_the_naive_ones(module):
    naive = module.naive_passes(small_net(), noise(), 4)
    torch.testing.assert_close(stack_of(module), naive)


def passes_differ(module):
    stack = stack_of(module)
    assert (stack[0] - stack[1]).abs().max() > 1e-3


def the_network_stays(module):
    net = small_net()
    module.naive_passes(net, noise(), 2)
    list(module.shared_passes(net, noise(), 2))
    torch.testing.assert_close(net.state_dict(), small_net().state_dict())
    with torch.no_grad():
        torch.testing.assert_close(net(noise()[None]), small_net()(noise()[None]))


def streamed_parts_are_the_stored_ones(module):
    stack = stack_of(module)
    for streamed, stored in zip(
        module.streamed_parts(iter(stack)), module.stored_parts(stack), strict=True
    ):
        torch.testing.assert_close(streamed, stored, atol=1e-12, rtol=0)


def parts_are_the_packaged_ones(module):
    packaged = mc_moments(small_net(), noise(), 4)
    ours = module.streamed_parts(module.shared_passes(small_net(), noise(), 4))
    theirs = (packaged.mean, packaged.aleatoric, packaged.epistemic)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.float(), torch.from_numpy(other))


def parts_add_up_below_the_ceilings(module):
    p = torch.from_numpy(np.random.default_rng(0).dirichlet([0.3] * 4, (6, 50, 1)))
    mean, a, e = module.streamed_parts(iter(p.permute(0, 3, 1, 2)))
    total = mean * (1 - mean)
    torch.testing.assert_close(a + e, total)
    assert e.min() >= 0 and total.max() <= 0.25 and total.sum(0).max() <= 0.75


def weights_are_the_packaged_ones(module):
    rng = np.random.default_rng(0)
    mean = rng.dirichlet(np.ones(4), (9, 8)).transpose(2, 0, 1)
    labels = rng.integers(0, 5, (9, 8)).astype(np.uint8)
    for scale in (1.0, 4.0):
        np.testing.assert_allclose(
            module.uncertainty_weight(mean, labels, scale),
            uncertainty_weights(mean, labels, scale),
            rtol=1e-6,
        )
    assert (module.uncertainty_weight(mean, labels) == 1).any()
    assert module.uncertainty_weight(mean, labels, scale=1).max() <= 0.25


def the_pull_is_the_gradient(module):
    logit = torch.linspace(-4, 4, 9, dtype=torch.double, requires_grad=True)
    p = logit.sigmoid()
    ((p * (1 - p)).detach() * -p.log()).sum().backward()
    torch.testing.assert_close(logit.grad.abs(), module.pull(p.detach()))


def areas_are_the_packaged_ones(module):
    expected = mc_fractions(small_net(), noise(), 4)
    for k in range(4):
        np.testing.assert_allclose(module.pass_areas(stack_of(module), k), expected[:, k])


def the_spread_is_the_middle(module):
    np.testing.assert_allclose(module.spread(np.arange(101.0)), [5, 95])


def half_widths_cover_as_promised(module):
    errors = np.random.default_rng(0).normal(size=(4000, 10))
    held = [abs(row[0]) <= module.half_width(row[1:], 0.8) for row in errors]
    assert 0.78 < np.mean(held) < 0.82
    assert module.half_width(errors[0, :8]) == np.inf
    assert module.half_width([1, -9, 2], 0.75) == 9
    np.testing.assert_array_equal(module.half_widths_of_others([1, 5, -2], 0.6), [5, 2, 5])


def colours_turn_back(module):
    x = noise()
    turned = module.hue_turn(x, 25)
    assert (turned - x).abs().max() > 0.1
    torch.testing.assert_close(module.hue_turn(turned, -25), x)
    torch.testing.assert_close(turned.mean(0), x.mean(0))


CHECKS = (
    passes_are_the_packaged_ones,
    shared_passes_are_the_naive_ones,
    passes_differ,
    the_network_stays,
    streamed_parts_are_the_stored_ones,
    parts_are_the_packaged_ones,
    parts_add_up_below_the_ceilings,
    weights_are_the_packaged_ones,
    the_pull_is_the_gradient,
    areas_are_the_packaged_ones,
    the_spread_is_the_middle,
    half_widths_cover_as_promised,
    colours_turn_back,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_values(check):
    check(ls03)


FAULTS = {
    "dropout off": (
        "return out * channel_mask(out.shape[1], layer.p, seed, number, index)",
        "return out",
        passes_differ,
    ),
    "masks not shared": (
        "np.random.default_rng((seed, number, layer))",
        "np.random.default_rng()",
        shared_passes_are_the_naive_ones,
    ),
    "one mask for all passes": ("(seed, number, layer)", "(seed, layer)", passes_differ),
    "channels not scaled up": (" / (1 - rate)", "", passes_are_the_packaged_ones),
    "train mode": ("model.eval().modules()", "model.train().modules()", the_network_stays),
    "hooks stay": ("hook.remove()", "pass", the_network_stays),
    "p instead of its square": (
        "second + p * p",
        "second + p",
        streamed_parts_are_the_stored_ones,
    ),
    "parts exchanged": (
        "return m1, m1 - m2, (m2 - m1**2).clamp_min(0)",
        "return m1, (m2 - m1**2).clamp_min(0), m1 - m2",
        parts_are_the_packaged_ones,
    ),
    "V without its factor": (
        "w = scale * p * (1 - p)",
        "w = p * (1 - p)",
        weights_are_the_packaged_ones,
    ),
    "weight of the wrong class": (
        "labels.astype(int) - 1, 0",
        "labels.astype(int) - 2, 0",
        weights_are_the_packaged_ones,
    ),
    "weight taken for the pull": ("(1 - p) ** 2", "(1 - p)", the_pull_is_the_gradient),
    "the new patient forgotten": (
        "(len(ordered) + 1) * coverage",
        "(len(ordered) - 1) * coverage",
        half_widths_cover_as_promised,
    ),
    "own error used": (
        "np.delete(errors, k)",
        "errors",
        half_widths_cover_as_promised,
    ),
    "colours lost": ("np.sin(angle) * cross + grey", "grey", colours_turn_back),
}


@pytest.mark.parametrize(("old", "new", "check"), FAULTS.values(), ids=FAULTS)
def test_values_a_fault_is_seen(old, new, check):
    module = broken("ls03", old, new)
    with pytest.raises(AssertionError):
        check(module)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.floats(0.05, 0.95))
@settings(max_examples=50, deadline=None)
def test_equivalence_half_width(errors, coverage):
    assert ls03.half_width(errors, coverage) == conformal_halfwidth(errors, coverage)


def test_shapes():
    mean, a, e = ls03.streamed_parts(iter(stack_of(ls03, 2)))
    assert mean.shape == a.shape == e.shape == (4, 32, 40)
    assert ls03.channel_mask(8, 0.2, 0, 0, 0).shape == (1, 8, 1, 1)


def test_values_masks_keep_the_mean():
    masks = torch.cat([ls03.channel_mask(200, 0.2, 0, t, 1) for t in range(50)])
    assert set(masks.unique().tolist()) == {0.0, 1.25}
    assert masks.mean().item() == pytest.approx(1, abs=0.02)


@pytest.fixture(scope="module")
def talk():
    return load_cells(PATH, (*SHARED_TAGS, "talk")).talk


def test_equivalence_talk_of_ls02(talk):
    other = load_cells(chapter_path("ls02"), (*SHARED_TAGS, "talk")).talk
    for column, values in talk.items():
        np.testing.assert_array_equal(values, other[column])


def test_values_medians_of_the_talk(talk):
    printed = {"2U": 769, "2M": 791, "3U": 788, "3M": 819, "4U": 705, "4M": 757, "5M": 825}
    assert {k: np.floor(np.median(talk[k]) + 0.5) for k in printed} == printed
