"""Chapter ws05: its method against closed forms and the package, and faults that must show."""

import numpy as np
import pytest
import torch
from chapters.sabotage import broken, claim_words
from hypothesis import given, settings
from hypothesis import strategies as st

from limsup_chapters import ws05
from limsup_widgets.learn.cam import class_activation_map, gated_map, pseudo_labels
from limsup_widgets.learn.cam import grad_cam as packaged_grad_cam
from limsup_widgets.learn.losses import partial_cross_entropy


def network(module):
    """Random weights, in eval mode."""
    torch.manual_seed(3)
    return module.Classifier().eval()


def images(n=4):
    return torch.rand(n, 1, 48, 48, generator=torch.Generator().manual_seed(4))


def probabilities(n=3, size=6, seed=5):
    logits = torch.randn(n, 2, size, size, generator=torch.Generator().manual_seed(seed))
    return (2 * logits).softmax(1)


def the_map_is_the_packaged_one(module):
    net, x = network(module), images()
    expected = class_activation_map(net, x, "body", "head", target=1)
    torch.testing.assert_close(module.cam(net, x), expected)


def grad_cam_is_the_packaged_one(module):
    net, x = network(module), images()
    expected = packaged_grad_cam(net, x, "body", target=1)
    torch.testing.assert_close(module.grad_cam(net, x), expected)
    assert module.grad_cam(net, x).min() >= 0


def the_logit_is_the_mean_of_the_map(module):
    net, x = network(module), images()
    with torch.no_grad():
        z, b = net(x), net.head.bias
    mean = module.cam(net, x).mean((1, 2)) + b[1] - b[0]
    torch.testing.assert_close(mean, z[:, 1] - z[:, 0], atol=1e-5, rtol=1e-4)


def the_gate_is_the_packaged_one(module):
    maps = torch.randn(3, 12, 12, generator=torch.Generator().manual_seed(1))
    values = module.gated(maps, np.array([1, 0, 1]))
    np.testing.assert_allclose(values, gated_map(maps, [1, 0, 1], (48, 48)), atol=1e-6)
    np.testing.assert_allclose(values.max((1, 2)), [1, 0, 1], atol=1e-6)
    assert values.min() >= 0


def codes_are_the_packaged_ones(module):
    values = np.linspace(0, 1, 101, dtype=np.float32).reshape(1, 1, -1)
    expected = pseudo_labels(torch.from_numpy(values)).numpy()
    np.testing.assert_array_equal(module.codes(values), expected)


def scores_by_hand(module):
    found, truth = np.array([1, 1, 1, 0, 0]) > 0, np.array([1, 0, 0, 1, 0]) > 0
    np.testing.assert_allclose(module.scores(found, truth), (2 / 5, 1 / 3, 1 / 2))


def growth_is_even_and_exact(module):
    mask = np.zeros((2, 9, 9), bool)
    mask[:, 4, 4] = True
    big = module.grown(mask, [5, 1])
    assert big.sum((1, 2)).tolist() == [5, 1]
    assert big[0, 4, 3:6].all() and big[0, 3:6, 4].all()


def the_salient_region_is_the_disc(module):
    image = np.full((1, 1, 48, 48), 0.3, np.float32)
    image[0, 0][module.disc((20, 30), 8)] = 0.6
    found = module.salient(torch.from_numpy(image))[0]
    assert module.scores(found, module.disc((20, 30), 8))[0] > 0.9


def only_touched_regions_stay(module):
    regions = np.zeros((1, 8, 8), bool)
    regions[0, 1:3, 1:3] = regions[0, 5:7, 5:7] = True
    seeds = np.zeros_like(regions)
    seeds[0, 2, 2] = seeds[0, 4, 0] = True
    found = module.touched(regions, seeds)
    assert found.sum() == 4 and found[0, 1:3, 1:3].all()


def holes_are_where_they_belong(module):
    data = module.tag_set(8, 0)
    net = network(module)
    before = data.images.clone()
    changed = {
        holes: (module.erased(data, net, holes).images != before)[:, 0].flatten(1)
        for holes in module.HOLES
    }
    torch.testing.assert_close(data.images, before)
    assert not changed["none"][::2].any() and changed["none"][1::2].any(1).all()
    assert changed["own"].any(1).all()
    assert torch.equal(changed["twin"][::2], changed["twin"][1::2])
    assert torch.equal(changed["twin"][1::2], changed["none"][1::2])
    where = changed["none"].reshape(8, 1, 48, 48)
    hole = module.erased(data, net).images[where]
    torch.testing.assert_close(hole, before.mean().expand_as(hole))


def features_split_the_class(module):
    features = torch.zeros(2, 3, 4, 4)
    features[:, :, :2] = 1
    values = np.zeros((2, 4, 4))
    values[:, 0] = 1
    found = module.split_by_features(features, values)
    assert found[:, :2].all() and not found[:, 2:].any()


def seeds_alone_are_partial_cross_entropy(module):
    z = torch.randn(2, 2, 6, 7, generator=torch.Generator().manual_seed(1))
    y = torch.randint(-1, 2, (2, 6, 7), generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(module.seed_loss(z, y), partial_cross_entropy(z, y))


def rank_pooling_by_hand(module):
    s = torch.tensor([[[[0.2, 0.8], [0.4, 0.1]]]])
    expected = (0.8 + 0.5 * 0.4 + 0.25 * 0.2 + 0.125 * 0.1) / 1.875
    torch.testing.assert_close(module.rank_pooling(s, 0.5), torch.tensor([[expected]]))
    assert module.rank_pooling(s, 0.0).item() == pytest.approx(0.8)
    assert module.rank_pooling(s, 1.0).item() == pytest.approx(0.375)


def rescaling_keeps_the_share(module):
    assert module.rescaled(0.996, 1681) == pytest.approx(0.996)
    d = module.rescaled(0.996, 144)
    assert (1 - d) * 144 == pytest.approx(0.004 * 1681)


def expanding_by_hand(module):
    p = probabilities()
    n = 36
    wide = module.rank_pooling(p[:, 1:], module.rescaled(0.996, n))[:, 0]
    ground = module.rank_pooling(p[:, :1], module.rescaled(0.999, n))[:, 0]
    peak = p[:, 1].amax((1, 2))
    expected = -(torch.stack([wide[0], 1 - peak[1], wide[2]]).log() + ground.log()).mean()
    torch.testing.assert_close(module.expand_loss(p, torch.tensor([1, 0, 1])), expected)


def neighbours_average_like_pixels(module):
    image = torch.zeros(1, 1, 8, 8)
    image[..., 4:] = 5.0
    p = torch.zeros(1, 2, 8, 8)
    p[:, 0, :, :4] = p[:, 1, :, 4:] = 1
    torch.testing.assert_close(module.neighbours(p, image), p)
    flat = module.neighbours(p, torch.zeros_like(image))
    assert 0.3 < flat[0, 0, 4, 3].item() < 0.7
    torch.testing.assert_close(flat.sum(1), torch.ones(1, 8, 8))


def constraining_pulls_one_way(module):
    z = torch.zeros(1, 2, 9, 9)
    z[0, 0] = 2
    z[0, :, 4, 4] = torch.tensor([0.0, 0.5])
    z.requires_grad_()
    loss = module.constrain_loss(z, torch.zeros(1, 1, 9, 9))
    (slope,) = torch.autograd.grad(loss, z)
    assert loss > 0 and slope[0, 0, 4, 4] < 0 < slope[0, 1, 4, 4]
    sure = torch.tensor([9.0, -9.0]).view(1, 2, 1, 1).expand(1, 2, 9, 9)
    assert module.constrain_loss(sure, torch.zeros(1, 1, 9, 9)) < 1e-4


def tags_as_inequalities(module):
    p = torch.zeros(2, 2, 4, 4)
    p[:, 1] = 0.5
    assert module.tag_penalty(p, torch.tensor([1, 1])) == 0
    torch.testing.assert_close(
        module.tag_penalty(p, torch.tensor([1, 0])), torch.tensor((0 + 8.0**2) / 2 / 16)
    )
    torch.testing.assert_close(
        module.tag_penalty(p / 16, torch.tensor([1, 1])), torch.tensor(0.5**2 / 16)
    )


def scattering_keeps_the_counts(module):
    rng = np.random.default_rng(0)
    truth, wrong = rng.random((3, 20, 20)) < 0.3, rng.random((3, 20, 20)) < 0.2
    noisy = module.scattered(truth, wrong)
    for side in (True, False):
        moved = ((noisy != truth) & (truth == side)).sum((1, 2))
        np.testing.assert_array_equal(moved, (wrong & (truth == side)).sum((1, 2)))
    assert (noisy != (truth ^ wrong)).any()


def twins_share_everything_but_the_head(module):
    quiet = module.tag_set(10, 3, noise=0.0)
    x, head = quiet.images[:, 0].numpy(), quiet.heads[1::2]
    assert quiet.tags.tolist() == [0, 1] * 5
    np.testing.assert_allclose(x[::2][~head], x[1::2][~head], atol=1e-6)
    np.testing.assert_allclose((x[1::2] - x[::2])[head], 0.5, atol=1e-6)
    assert (quiet.masks[::2] == 1).all() and (quiet.masks[1::2][head] == 2).all()


def the_dials_change_what_they_name(module):
    one = module.tag_set(6, 3, noise=0.0).images[:, 0]
    marked = module.tag_set(6, 3, noise=0.0, marker=1.0).images[:, 0]
    moved = (marked != one).flatten(1).any(1)
    assert moved.tolist() == [False, True] * 3
    missing = module.tag_set(6, 3, noise=0.0, alike=False).images[::2]
    torch.testing.assert_close(missing, torch.full_like(missing, 0.3))
    decoyed = module.tag_set(6, 3, noise=0.0, decoy=9.0)
    extra = (decoyed.images[:, 0] != one).numpy()
    assert extra.any((1, 2)).all() and not (extra & (decoyed.masks == 2)).any()
    long = module.tag_set(6, 3, noise=0.0, long=True)
    assert ((long.masks == 2).sum((1, 2))[1::2] > (decoyed.masks == 2).sum((1, 2))[1::2]).all()


CHECKS = (
    the_map_is_the_packaged_one,
    grad_cam_is_the_packaged_one,
    the_logit_is_the_mean_of_the_map,
    the_gate_is_the_packaged_one,
    codes_are_the_packaged_ones,
    scores_by_hand,
    growth_is_even_and_exact,
    the_salient_region_is_the_disc,
    only_touched_regions_stay,
    holes_are_where_they_belong,
    features_split_the_class,
    seeds_alone_are_partial_cross_entropy,
    rank_pooling_by_hand,
    rescaling_keeps_the_share,
    expanding_by_hand,
    neighbours_average_like_pixels,
    constraining_pulls_one_way,
    tags_as_inequalities,
    scattering_keeps_the_counts,
    twins_share_everything_but_the_head,
    the_dials_change_what_they_name,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_values(check):
    check(ws05)


WEIGHT = "weight = network.head.weight[1] - network.head.weight[0]"
GATE = "return (large / top * torch.as_tensor(tags)[:, None, None]).numpy()"
RELU = 'return torch.einsum("nk,nkhw->nhw", alpha, maps.detach()).relu()'
FAULTS = {
    "weights of the wrong class": (
        WEIGHT,
        "weight = network.head.weight[0] - network.head.weight[1]",
        the_logit_is_the_mean_of_the_map,
    ),
    "one row alone": (WEIGHT, "weight = network.head.weight[1]", the_map_is_the_packaged_one),
    "gate dropped": (GATE, "return (large / top).numpy()", the_gate_is_the_packaged_one),
    "not scaled to 1": ("large / top *", "large *", the_gate_is_the_packaged_one),
    "negative values kept": (
        'mode="bilinear")[:, 0].relu()',
        'mode="bilinear")[:, 0]',
        the_gate_is_the_packaged_one,
    ),
    "ReLU of Grad-CAM dropped": (RELU, RELU.replace(".relu()", ""), grad_cam_is_the_packaged_one),
    "gradient summed, not averaged": (
        "alpha = slope.mean((2, 3))",
        "alpha = slope.sum((2, 3))",
        grad_cam_is_the_packaged_one,
    ),
    "no uncertain band": ("values < low", "values < tau", codes_are_the_packaged_ones),
    "precision and recall exchanged": (
        "both / max(sizes[0], 1), both / sizes[1]",
        "both / sizes[1], both / max(sizes[0], 1)",
        scores_by_hand,
    ),
    "grown at random": (
        "ndi.distance_transform_edt(~mask)",
        "np.random.default_rng(0).random(mask.shape)",
        growth_is_even_and_exact,
    ),
    "all regions stay": (
        "np.isin(names, np.unique(names[seed & region]))",
        "names > 0",
        only_touched_regions_stay,
    ),
    "twins take their own": (
        "np.repeat(ungated[1::2], 2, axis=0)",
        "ungated",
        holes_are_where_they_belong,
    ),
    "holes in both classes": (
        "ungated * tags[:, None, None]",
        "ungated",
        holes_are_where_they_belong,
    ),
    "darker side taken": ("np.argmax(means)", "np.argmin(means)", features_split_the_class),
    "mean over all pixels": (
        "known.sum().clamp_min(1)",
        "known.numel()",
        seeds_alone_are_partial_cross_entropy,
    ),
    "sorted the wrong way": ("descending=True", "descending=False", rank_pooling_by_hand),
    "weights not normalised": (" / weight.sum()", "", rank_pooling_by_hand),
    "rescaled the wrong way": (
        "reference / pixels",
        "pixels / reference",
        rescaling_keeps_the_share,
    ),
    "absent taken for present": ("tags == 1, object_", "tags == 0, object_", expanding_by_hand),
    "neighbours of any grey": ("torch.exp(-(", "torch.exp(0 * -(", neighbours_average_like_pixels),
    "nothing to pull": (
        "(q * (q.clamp_min(1e-8).log() - log_s))",
        "(q.detach() * (log_s - log_s))",
        constraining_pulls_one_way,
    ),
    "present asks for emptiness": (
        "(1 - size).relu(), size",
        "size, (1 - size).relu()",
        tags_as_inequalities,
    ),
    "errors where they were": (
        "places, count = np.flatnonzero(true == side), (bad & (true == side)).sum()",
        "places = np.flatnonzero(bad & (true == side)); count = len(places)",
        scattering_keeps_the_counts,
    ),
    "twins elsewhere": ("[seed, 7, i // 2]", "[seed, 7, i]", twins_share_everything_but_the_head),
    "marker in both classes": (
        "np.array([rng.random() < marker for rng in rngs]) & (tags == 1)",
        "np.array([rng.random() < marker for rng in rngs])",
        the_dials_change_what_they_name,
    ),
}


@pytest.mark.parametrize(("old", "new", "check"), FAULTS.values(), ids=FAULTS)
def test_values_a_fault_is_seen(old, new, check):
    module = broken("ws05", old, new)
    with pytest.raises(AssertionError):
        check(module)


@given(st.floats(0, 1), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_values_rank_pooling_lies_between_mean_and_maximum(d, seed):
    p = probabilities(1, seed=seed)
    pooled = ws05.rank_pooling(p, d)
    assert (p.mean((2, 3)) - 1e-5 <= pooled).all()
    assert (pooled <= p.amax((2, 3)) + 1e-5).all()


def test_shapes():
    data = ws05.tag_set(4, 0)
    assert data.images.shape == (4, 1, 48, 48) and data.masks.shape == (4, 48, 48)
    net = network(ws05)
    assert net(data.images).shape == (4, 2) and ws05.cam(net, data.images).shape == (4, 12, 12)
    assert ws05.grey_features(data.images).shape == (4, 2, 48, 48)


IDENTITY = "the logit is the mean of the map plus the bias"
RELU_CAM = "Grad-CAM is ReLU(CAM) / Z for pooling and one layer"
ROW = "one row's map is arbitrary, the difference is not"
HEAD = "the map finds the head"
GATED = "only the gate keeps empty images empty"
SABOTAGE = {
    "gate dropped": (GATE, "return (large / top).numpy()", {GATED}),
    "ReLU dropped": (RELU, RELU.replace(".relu()", ""), {RELU_CAM}),
    "weights of the wrong class": (
        WEIGHT,
        "weight = network.head.weight[0] - network.head.weight[1]",
        {IDENTITY, RELU_CAM, HEAD},
    ),
    "one row alone": (WEIGHT, "weight = network.head.weight[1]", {IDENTITY, RELU_CAM, ROW}),
}


@pytest.fixture(scope="module")
def honest():
    return claim_words("ws05")


def test_claims(honest):
    assert {honest[name] for name in (IDENTITY, RELU_CAM, ROW, HEAD, GATED)} == {"holds"}


@pytest.mark.slow
@pytest.mark.parametrize(("old", "new", "flipped"), SABOTAGE.values(), ids=SABOTAGE)
def test_claims_flip_under_a_fault(old, new, flipped, honest):
    words = claim_words("ws05", {old: new})
    changed = {name for name, said in words.items() if said != honest[name]}
    assert flipped <= changed
