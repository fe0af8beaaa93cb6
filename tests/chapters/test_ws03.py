"""Chapter ws03: its method in closed form, and faults that must show."""

import math

import numpy as np
import pytest
import torch
from chapters.sabotage import broken, claim_words

from limsup_chapters import ws03
from limsup_widgets.learn.confidence import confidence_loss, entropy_map
from limsup_widgets.learn.losses import partial_cross_entropy
from limsup_widgets.learn.sizes import ratio_loss


def drawn(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def some_targets(shape, seed=1):
    return torch.randint(-1, 2, shape, generator=torch.Generator().manual_seed(seed))


def pull(module, s, kind="shannon"):
    z = torch.tensor([[0.0, math.log(s / (1 - s))]], dtype=torch.double, requires_grad=True)
    module.unsure(z, kind).sum().backward()
    return z.grad[0, 1].abs().item()


def doubt_is_the_packaged_one(module):
    z = drawn((3, 4, 5, 6))
    for kind in ("shannon", "min", "gini"):
        torch.testing.assert_close(module.unsure(z, kind).mean(), confidence_loss(z, kind))
    torch.testing.assert_close(module.information(z).sum(1), entropy_map(z))


def doubt_pulls_as_in_closed_form(module):
    for s in (0.51, 0.6, 0.8, 0.9, 0.99):
        z = math.log(s / (1 - s))
        assert pull(module, s) == pytest.approx(z * s * (1 - s))
        assert pull(module, s, "min") == pytest.approx(1 - s)
        assert pull(module, s, "gini") == pytest.approx(2 * (2 * s - 1) * s * (1 - s))


def loss_is_the_packaged_one(module):
    z, y = drawn((4, 2, 6, 6)), some_targets((4, 6, 6))
    for kind in ("shannon", "min"):
        expected = partial_cross_entropy(z, y) + 0.7 * confidence_loss(z, kind, y < 0)
        torch.testing.assert_close(module.ssl_loss(z, y, 0.7, kind), expected)


def loss_without_labels_is_entropy(module):
    z = drawn((4, 2, 6, 6))
    nothing = torch.full((4, 6, 6), -1)
    torch.testing.assert_close(module.ssl_loss(z, nothing, 0.5), 0.5 * entropy_map(z).mean())


def ratio_is_the_packaged_one(module):
    z = drawn((4, 2, 6, 6))
    p = z.softmax(1)[:, 1].mean()
    torch.testing.assert_close(module.ratio_term(z, 0.1), ratio_loss(p, 0.1, "forward"))
    assert module.ratio_term(z, float(p)).abs() < 1e-6


def clouds_have_their_gap(module):
    x, y = module.gaussians(0, n=20000, gap=4.0, nuisance=2.0)
    means = [x[y == c].mean(0) for c in (0, 1)]
    np.testing.assert_allclose(means, [[-2, 0], [2, 0]], atol=0.1)
    np.testing.assert_allclose(x[y == 0].std(0), [1, 2], atol=0.05)


def labels_are_true_and_few(module):
    y = np.arange(50) % 2
    told = module.few_labels(y, 3, per=4)
    assert (told == y)[told >= 0].all()
    assert [(told == c).sum() for c in (0, 1)] == [4, 4]


def models_do_not_know_each_other(module):
    x = drawn((3, 10, 2))
    both, last = module.Models([5, 6, 7], hidden=4), module.Models([7], hidden=4)
    torch.testing.assert_close(both(x)[2:], last(x[2:]))
    assert (both.w[0][0] - both.w[0][1]).abs().max() > 0.01
    assert both(x).shape == (3, 2, 10)


def fitted(module, per=20, **options):
    x, y = module.gaussians(1)
    points = torch.from_numpy(x)[None]
    told = torch.from_numpy(module.few_labels(y, 1, per))[None]
    models = module.fit(module.Models([0]), points, told, **options)
    return models, points, torch.from_numpy(y)[None]


def labels_are_learned(module):
    assert module.accuracy(*fitted(module))[0] > 0.95


def entropy_makes_sure(module):
    doubts = [
        module.unsure(models(points)).mean().item()
        for models, points, _ in (fitted(module), fitted(module, weight=1.0))
    ]
    assert doubts[1] < 0.7 * doubts[0]


def ratio_moves_the_share(module):
    shares = []
    for ratio in (0.2, 0.8):
        models, points, _ = fitted(module, per=0, weight=1.0, ratio=ratio)
        shares.append(models(points).softmax(1)[:, 1].mean().item())
    assert shares[1] > shares[0] + 0.1


def flat_images_stay_flat(module):
    z = module.norm_net(0).eval()(torch.full((1, 1, 20, 20), 0.3))
    assert (z - z[..., :1, :1]).abs().max() < 1e-5
    torch.testing.assert_close(
        module.norm_net(4)[0].weight, module.norm_net(4)[0].weight, rtol=0, atol=0
    )


def images():
    return 0.3 + 0.2 * drawn((6, 1, 16, 16), 3)


def adapting_leaves_the_rest_alone(module):
    net = module.norm_net(1).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    new = module.adapt(net, images(), ratio=0.2)
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)
    for name, value in new.named_buffers():
        torch.testing.assert_close(value, before[name])
    assert (new[0].weight - before["0.weight"]).abs().max() > 1e-3


def adapting_makes_sure(module):
    net = module.norm_net(1).eval()
    doubts = [module.unsure(n(images())).mean().item() for n in (net, module.adapt(net, images()))]
    assert doubts[1] < doubts[0]


def adapting_hears_the_source(module):
    net, x = module.norm_net(1).eval(), images()
    y = (x[:, 0] > 0.3).long()
    new = module.adapt(net, x, source=(x, y), weight=0.0)
    losses = [partial_cross_entropy(n(x), y).item() for n in (net, new)]
    assert losses[1] < losses[0] - 0.02


def matched_grey_has_the_quantiles(module):
    reference = np.random.default_rng(0).random(5000)
    shifted = reference**2.5
    np.testing.assert_allclose(module.match_grey(shifted, shifted, reference), reference, atol=0.02)


def statistics_are_those_of_the_target(module):
    net, x = module.norm_net(1).eval(), images()
    new = module.target_statistics(net, x)
    mean = net[0](x).mean((0, 2, 3))
    torch.testing.assert_close(new[1].running_mean, mean.detach(), atol=1e-5, rtol=1e-5)
    assert not new.training and (net[1].running_mean == 0).all()


CHECKS = [
    doubt_is_the_packaged_one,
    doubt_pulls_as_in_closed_form,
    loss_is_the_packaged_one,
    loss_without_labels_is_entropy,
    ratio_is_the_packaged_one,
    clouds_have_their_gap,
    labels_are_true_and_few,
    models_do_not_know_each_other,
    labels_are_learned,
    entropy_makes_sure,
    ratio_moves_the_share,
    flat_images_stay_flat,
    adapting_leaves_the_rest_alone,
    adapting_makes_sure,
    adapting_hears_the_source,
    matched_grey_has_the_quantiles,
    statistics_are_those_of_the_target,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_values(check):
    check(ws03)


SHANNON = "return -(log_s.exp() * log_s).sum(1)"
FAULTS = {
    "detached target": (SHANNON, SHANNON.replace(".exp()", ".exp().detach()"),
                        doubt_pulls_as_in_closed_form),
    "sign of H": (SHANNON, SHANNON.replace("-", ""), doubt_is_the_packaged_one),
    "Shannon for min": ('kind == "min"', 'kind == "max"', doubt_pulls_as_in_closed_form),
    "Gini of logs": ("log_s.exp().square()", "log_s.square()", doubt_is_the_packaged_one),
    "map without s": ("return -log_s.exp() * log_s", "return -log_s", doubt_is_the_packaged_one),
    "entropy subtracted": ("fit + weight * doubt", "fit - weight * doubt",
                           loss_is_the_packaged_one),
    "entropy on labels": ("rest = 1 - known", "rest = known", loss_without_labels_is_entropy),
    "sum for mean": ("/ known.sum().clamp_min(1)", "", loss_is_the_packaged_one),
    "arguments of KL": ("-q * p.log()", "-p * math.log(q)", ratio_is_the_packaged_one),
    "no prior entropy": ("(1 - p).log() - prior", "(1 - p).log()", ratio_is_the_packaged_one),
    "clouds off centre": ("gap * (y - 0.5)", "gap * y", clouds_have_their_gap),
    "nuisance lost": ("[1, nuisance]", "[1, 1]", clouds_have_their_gap),
    "labels of one class": ("for c in (0, 1):", "for c in (0, 0):", labels_are_true_and_few),
    "one start for all": ("manual_seed(s) for s", "manual_seed(0) for s",
                          models_do_not_know_each_other),
    "uphill": ("lr=0.02)", "lr=0.02, maximize=True)", labels_are_learned),
    "classes turned": ("(models(x).argmax(1) == y)", "(models(x).argmin(1) == y)",
                       labels_are_learned),
    "no entropy in fit": ("ssl_loss(z, targets, weight, kind)", "ssl_loss(z, targets, 0, kind)",
                          entropy_makes_sure),
    "ratio of class 0": ("logits.softmax(1)[:, 1]", "logits.softmax(1)[:, 0]",
                         ratio_moves_the_share),
    "border seen": ('"padding_mode": "reflect"', '"padding_mode": "zeros"', flat_images_stay_flat),
    "the net itself": ("copy.deepcopy(net).eval()", "net.eval()", adapting_leaves_the_rest_alone),
    "statistics move": ("copy.deepcopy(net).eval()", "copy.deepcopy(net).train()",
                        adapting_leaves_the_rest_alone),
    "no target term": ("grow * weight, kind) + grow", "0, kind) + grow", adapting_makes_sure),
    "source unheard": ("([source] if source else [])", "([])", adapting_hears_the_source),
    "maps exchanged": ("quantile(own, steps), np.quantile(reference, steps)",
                       "quantile(reference, steps), np.quantile(own, steps)",
                       matched_grey_has_the_quantiles),
    "old statistics stay": ("layer.momentum = None", "layer.momentum = 0.1",
                            statistics_are_those_of_the_target),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "check"), FAULTS.values(), ids=FAULTS)
def test_values_a_fault_is_seen(old, new, check):
    module = broken("ws03", old, new)
    with pytest.raises(AssertionError):
        check(module)


WORDS = {
    "at a tie Shannon does not pull, min-entropy pulls most": "holds",
    "min-entropy is a lower bound and is hard self-training": "holds",
    "a detached target has the same value and no gradient": "holds",
    "bilinear Potts = Laplacian + Gini": "holds",
    "entropy adds .01 where there is a gap": "holds",
    "entropy adds .01 with a wide nuisance axis": "does not hold",
    "the printed sign unlearns labels and raises entropy": "holds",
    "the slide's sums hide a weight |U|/|L|": "holds",
    "at s = 0.8 Shannon is over twice min-entropy": "holds",
}
DETACHED = {SHANNON: SHANNON.replace(".exp()", ".exp().detach()")}
FLIPPED = {"fit + weight * doubt": "fit - weight * doubt"}
SHANNON_FOR_MIN = {'kind == "min"': 'kind == "max"'}
FLIPS = {
    "at a tie Shannon does not pull, min-entropy pulls most": DETACHED,
    "min-entropy is a lower bound and is hard self-training": SHANNON_FOR_MIN,
    "a detached target has the same value and no gradient": DETACHED,
    "bilinear Potts = Laplacian + Gini": {"exp().square()": "exp().abs()"},
    "entropy adds .01 where there is a gap": FLIPPED,
    "entropy adds .01 with a wide nuisance axis": {"[1, nuisance]": "[0.5, 0.5]"},
    "the printed sign unlearns labels and raises entropy": {
        "return own[known].sum() - unsure": "return -own[known].sum() + unsure"
    },
    "the slide's sums hide a weight |U|/|L|": FLIPPED,
    "at s = 0.8 Shannon is over twice min-entropy": SHANNON_FOR_MIN,
}


def test_values_of_the_claims():
    assert claim_words("ws03") == WORDS


@pytest.mark.parametrize(("claim", "faults"), FLIPS.items(), ids=FLIPS)
def test_values_a_fault_flips_a_claim(claim, faults):
    assert claim_words("ws03", faults)[claim] != WORDS[claim]
