"""Chapter ws09: the penalty in closed form, masks and rivals, and faults that must show."""

import numpy as np
import pytest
import torch
from chapters.sabotage import broken, claim_words
from hypothesis import given, settings
from hypothesis import strategies as st

from limsup_chapters import ws09
from limsup_widgets.learn.cam import class_activation_map


def binary(n, ones, seed=0):
    """A scattered binary mask ``(1, 1, n, n)``."""
    order = np.random.default_rng(seed).permutation(n * n)
    return torch.from_numpy((order < ones).reshape(1, 1, n, n).astype(np.float32))


def tiny_net(seed=0):
    torch.manual_seed(seed)
    return ws09.Classifier().eval().requires_grad_(False)


def small_images(n=2, size=16, seed=0):
    return torch.randn((n, 1, size, size), generator=torch.Generator().manual_seed(seed))


def the_target_is_zeros_then_ones(module):
    assert module.target_vector(10, 0.3).tolist() == [0] * 7 + [1] * 3
    assert module.target_vector(48**2, 0.02).sum() == 46


def binary_masks_of_the_area_cost_nothing(module):
    for seed in range(3):
        assert module.vecsort_area(binary(10, 20, seed), [0.2]).item() == 0
    assert module.vecsort_area(binary(10, 30), [0.2]).item() == pytest.approx(0.1)


def places_do_not_count(module):
    mask = torch.rand((1, 1, 8, 8), generator=torch.Generator().manual_seed(1))
    turned = mask.rot90(dims=(2, 3))
    torch.testing.assert_close(
        module.vecsort_area(mask, [0.25]), module.vecsort_area(turned, [0.25])
    )


def grey_masks_cost_their_variance(module):
    flat = torch.full((2, 1, 10, 10), 0.2)
    cost = module.vecsort_area(flat, [0.2, 0.5])
    assert cost.tolist() == pytest.approx([0.2 * 0.8, 0.5 * 0.2**2 + 0.5 * 0.8**2])


def the_gradient_follows_the_ranks(module):
    mask = torch.tensor([0.9, 0.2, 0.4, 0.1]).reshape(1, 1, 2, 2).requires_grad_()
    module.vecsort_area(mask, [0.5]).sum().backward()
    assert mask.grad.flatten().tolist() == pytest.approx([-0.05, 0.1, -0.3, 0.05])


def the_mean_holds_the_mean(module):
    flat = torch.full((2, 1, 10, 10), 0.2)
    assert module.mean_area(flat, [0.2, 0.5]).tolist() == pytest.approx([0, 0.09], abs=1e-6)
    assert module.l1_area(flat, [0.9, 0.5]).tolist() == pytest.approx([0.2, 0.2])


def blur_keeps_the_sum_and_spreads_by_sigma(module):
    x = torch.zeros(1, 1, 41, 41)
    x[0, 0, 20, 20] = 1
    out = module.blur(x, 3.0)[0, 0]
    assert out.sum().item() == pytest.approx(1, abs=1e-5)
    spread = (out.sum(0) * (torch.arange(41) - 20) ** 2).sum().sqrt().item()
    assert spread == pytest.approx(3, abs=0.05)


def the_pyramid_runs_from_blur_to_image(module):
    x = small_images()
    pyramid = module.blur_pyramid(x, levels=3, most=2.0)
    torch.testing.assert_close(pyramid[-1], x)
    torch.testing.assert_close(pyramid[0], module.blur(x, 2.0))
    for value, level in ((0.0, pyramid[0]), (1.0, x), (0.75, (pyramid[1] + x) / 2)):
        torch.testing.assert_close(module.perturb(pyramid, torch.full_like(x, value)), level)


def smooth_masks_stay_in_range(module):
    make = module.SmoothMask(16)
    none, all_on = make(torch.zeros(1, 1, 4, 4)), make(torch.ones(1, 1, 4, 4))
    assert none.max() == 0 and all_on.min() > 0.5 and all_on.max() <= 1
    single = torch.zeros(1, 1, 4, 4)
    single[0, 0, 1, 1] = 1
    blob = make(single)[0, 0]
    assert blob[5, 5] > 0.95 and blob[13:, 13:].max() < 0.05


def rewards_are_zero_and_one(module):
    net, x = tiny_net(), small_images()
    reward = module.reward_of(net, x, module.blur_pyramid(x))
    assert reward(torch.zeros(2, 1, 16, 16)).abs().max() < 1e-4
    torch.testing.assert_close(
        reward(torch.ones(2, 1, 16, 16)).abs(), torch.ones(2), atol=1e-3, rtol=0
    )


def the_search_finds_what_is_best(module):
    hills = torch.from_numpy(module.evidence_map(1))[None, None]
    make = module.SmoothMask(32)
    masks, seen = module.search(module.share_of(hills), [0.1], make, (8, 8), lam=1.0, watch=(0, 50))
    best = module.top_area(hills[:, 0].numpy(), [0.1])
    assert module.iou(module.top_area(masks[:, 0].numpy(), [0.1]), best)[0] > 0.35
    assert (masks > 0.5).float().mean().item() == pytest.approx(0.1, abs=0.04)
    assert sorted(seen) == [0, 50] and seen[0].min() > 0.4


def top_pixels_are_counted(module):
    maps = np.random.default_rng(0).normal(size=(3, 10, 10))
    cut = module.top_area(maps, [0.05, 0.1, 0.33])
    assert cut.sum((1, 2)).tolist() == [5, 10, 33]
    assert maps[1][cut[1]].min() > maps[1][~cut[1]].max()
    assert module.iou(cut, cut).tolist() == [1, 1, 1]
    assert module.iou(cut, ~cut).tolist() == [0, 0, 0]


def the_slope_is_the_slope(module):
    net, x = tiny_net(), small_images(1).double()
    net = net.double()
    step = torch.zeros_like(x)
    step[0, 0, 5, 6] = 1e-5
    finite = (module.contrast(net, x + step) - module.contrast(net, x - step)) / 2e-5
    assert module.slope(net, x)[0, 0, 5, 6].item() == pytest.approx(finite.item(), rel=1e-3)
    assert not any(p.requires_grad for p in net.parameters())


def occlusion_sees_the_only_window(module):
    class Corner(torch.nn.Module):
        def forward(self, x):
            return torch.stack([0 * x[:, 0, 1, 1], x[:, 0, 1, 1]], 1)

    x = torch.ones(1, 1, 16, 16)
    fall = module.occlusion_map(Corner(), x, torch.zeros_like(x))[0]
    assert fall[0, 0] == 1 and fall[15, 15] == 0


def rings_and_discs_weigh_the_same(module):
    distance = np.hypot(*(np.mgrid[:31, :31] - 15))
    disc, ring = (module.spot(distance, 5, kind) for kind in (False, True))
    assert disc.sum() == pytest.approx(ring.sum())
    assert disc[15, 15] == 1 and ring[15, 15] == 0


def only_the_ill_have_rings(module):
    images, rings, tags = module.make_lesions(12, 3)
    assert images.shape == (12, 1, 48, 48) and tags.tolist() == [0, 1] * 6
    assert ((rings > 0).any((1, 2)) == (tags.numpy() == 1)).all()
    longer = module.make_lesions(14, 3)[0]
    torch.testing.assert_close(longer[:12], images)


def the_shortcut_marks_the_ill(module):
    images = module.make_lesions(10, 3, shortcut=1.0)[0]
    corner = images[:, 0, 2:5, 2:5].mean((1, 2))
    assert (corner[1::2] > 0.89).all() and (corner[::2] < 0.8).all()


CHECKS = (
    the_target_is_zeros_then_ones,
    binary_masks_of_the_area_cost_nothing,
    places_do_not_count,
    grey_masks_cost_their_variance,
    the_gradient_follows_the_ranks,
    the_mean_holds_the_mean,
    blur_keeps_the_sum_and_spreads_by_sigma,
    the_pyramid_runs_from_blur_to_image,
    smooth_masks_stay_in_range,
    rewards_are_zero_and_one,
    the_search_finds_what_is_best,
    top_pixels_are_counted,
    the_slope_is_the_slope,
    occlusion_sees_the_only_window,
    rings_and_discs_weigh_the_same,
    only_the_ill_have_rings,
    the_shortcut_marks_the_ill,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_values(check):
    check(ws09)


FAULTS = {
    "ones first": ("arange(n) >= n - round", "arange(n) < round", the_target_is_zeros_then_ones),
    "area of the zeros": ("n - round(area * n)", "round(area * n)", the_target_is_zeros_then_ones),
    "not sorted": (
        "masks.flatten(1).sort(dim=1).values",
        "masks.flatten(1)",
        binary_masks_of_the_area_cost_nothing,
    ),
    "sorted downwards": (
        ".sort(dim=1).values",
        ".sort(dim=1, descending=True).values",
        the_gradient_follows_the_ranks,
    ),
    "sum for the mean": (
        "((values - goal.to(values)) ** 2).mean(1)",
        "((values - goal.to(values)) ** 2).sum(1)",
        grey_masks_cost_their_variance,
    ),
    "mean without its area": (" - torch.as_tensor(areas).to(masks)", "", the_mean_holds_the_mean),
    "blur not normalised": (
        "weights / weights.sum()",
        "weights",
        blur_keeps_the_sum_and_spreads_by_sigma,
    ),
    "variance for sigma": (
        "(2 * sigma**2)",
        "(2 * sigma)",
        blur_keeps_the_sum_and_spreads_by_sigma,
    ),
    "pyramid upside down": (
        "most * (1 - level / (levels - 1))",
        "most * level / (levels - 1)",
        the_pyramid_runs_from_blur_to_image,
    ),
    "sum of blobs": (
        "(blobs * (self.coldness * blobs).softmax(-1)).sum(-1)",
        "blobs.sum(-1)",
        smooth_masks_stay_in_range,
    ),
    "reward without its zero": (
        "(contrast(net, perturb(pyramid, masks)) - empty)",
        "contrast(net, perturb(pyramid, masks))",
        rewards_are_zero_and_one,
    ),
    "reward with the wrong sign": (
        "penalty(masks, areas) - reward(masks)",
        "penalty(masks, areas) + reward(masks)",
        the_search_finds_what_is_best,
    ),
    "weight with the wrong sign": (
        "loss = lam * growth",
        "loss = -lam * growth",
        the_search_finds_what_is_best,
    ),
    "smallest pixels": ("(-flat).argsort", "flat.argsort", top_pixels_are_counted),
    "ring brighter than disc": (
        "rim * disc.sum() / rim.sum() if ring",
        "rim * disc.sum() / rim.max() if ring",
        rings_and_discs_weigh_the_same,
    ),
    "discs among the evidence": (
        "        if ring:\n",
        "        if True:\n",
        only_the_ill_have_rings,
    ),
    "marker on the healthy": (
        "(shortcut if ill else 1 - shortcut)",
        "(1 - shortcut if ill else shortcut)",
        the_shortcut_marks_the_ill,
    ),
}


@pytest.mark.parametrize(("old", "new", "check"), FAULTS.values(), ids=FAULTS)
def test_values_a_fault_is_seen(old, new, check):
    module = broken("ws09", old, new)
    with pytest.raises((AssertionError, RuntimeError)):
        check(module)


@given(st.integers(1, 63), st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_values_the_flat_mask_is_never_better_than_the_binary_one(ones, seed):
    area = ones / 64
    cost = ws09.vecsort_area(
        torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(seed)), [area]
    )
    assert ws09.vecsort_area(binary(8, ones, seed), [area]).item() == 0 < cost.item()


def test_equivalence_cam():
    net, x = tiny_net(), small_images()
    cam = class_activation_map(net, x, "features", "head", 1)
    shift = net.head.bias[1] - net.head.bias[0]
    torch.testing.assert_close(
        cam.mean((1, 2)) + shift, ws09.contrast(net, x), atol=1e-4, rtol=1e-3
    )


def test_shapes():
    net, x = tiny_net(), small_images(3)
    assert ws09.explain(net, x, [0.1] * 3, steps=2).shape == (3, 16, 16)
    empty = ws09.blur(x, 2.0)
    for maps in (
        ws09.gradient_map(net, x),
        ws09.gradient_times_loss(net, x, empty),
        ws09.occlusion_map(net, x, empty),
    ):
        assert maps.shape == (3, 16, 16) and np.isfinite(maps).all()


SABOTAGE = {
    "sort dropped": (
        "masks.flatten(1).sort(dim=1).values",
        "masks.flatten(1)",
        "shuffling the pixels leaves R as it is",
    ),
    "target reversed": (
        "return (torch.arange(n) >= n - round(area * n)).float()",
        "return (torch.arange(n) < round(area * n)).float()",
        "R is 0 for a scattered binary mask",
    ),
    "sign of the weight": (
        "loss = lam * growth",
        "loss = -lam * growth",
        "locked masks keep the area within 20 %",
    ),
}


@pytest.mark.parametrize(("old", "new", "name"), SABOTAGE.values(), ids=SABOTAGE)
def test_sabotage_turns_a_claim(old, new, name):
    assert claim_words("ws09", {old: new})[name] != "holds"


def test_values_claims_hold():
    words = claim_words("ws09")
    assert words.pop("these areas can be met exactly") == "does not hold"
    assert set(words.values()) == {"holds"}
