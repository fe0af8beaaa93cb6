"""Chapter ws08: its method in closed form, and faults that must show."""

import numpy as np
import pytest
import torch
from chapters.sabotage import broken, claim_words

from limsup_chapters import ws08
from limsup_widgets.learn.primal_dual import proportion_kl
from limsup_widgets.learn.pseudo import select_pseudo_labels


def prob(seed=0, n=300, k=3, tilt=0.0):
    z = torch.randn(n, k, generator=torch.Generator().manual_seed(seed))
    z[:, 0] += tilt
    return z.softmax(1)


def labels_minimise_the_cost(module):
    p, w = prob(), torch.tensor([0.3, 0.6, 1.2])
    cheapest = module.label_costs(p, w).argmin(1)
    expected = torch.where(cheapest == 3, -1, cheapest)
    assert torch.equal(module.best_labels(p, (-w).exp()), expected)
    assert (expected == -1).any() and (expected == 2).any()


def thresholds_keep_the_share_of_each_class(module):
    p = prob(tilt=1.0)
    tau, winner = module.thresholds(p, 0.25), p.argmax(1)
    for c in range(3):
        mine = p[winner == c, c]
        assert (mine > tau[c]).sum() == round(0.25 * len(mine))


def one_threshold_if_unbalanced(module):
    tau = module.thresholds(prob(), 0.25, balanced=False)
    assert len(tau.unique()) == 1
    assert (prob().max(1).values > tau[0]).sum() == 75


def an_absent_class_keeps_the_threshold_one(module):
    p = torch.tensor([[0.9, 0.1], [0.8, 0.2]])
    assert module.thresholds(p, 0.5)[1] == pytest.approx(1, abs=1e-4)


def selection_is_the_packaged_one(module):
    for balanced in (True, False):
        theirs, _ = select_pseudo_labels(prob().T[None], 0.3, balanced=balanced)
        assert torch.equal(module.pseudo_labels(prob(), 0.3, balanced=balanced), theirs[0])


def rows_are_counted_per_class(module):
    y, rows = (
        torch.tensor([0] * 50 + [1] * 50),
        torch.cat([torch.full((50,), v) for v in (0.1, 0.9)]),
    )
    table = module.row_prior(y, rows, 2)
    torch.testing.assert_close(table.mean(0), torch.ones(2))
    at = module.at_rows(table, torch.tensor([0.1, 0.9, 1.0]))
    assert at[0, 0] > 2.5 > 1 > at[0, 1] and at[1, 1] > 2.5 and at.shape == (3, 2)


def places_change_the_choice(module):
    even = torch.full((4, 2), 0.5)
    prior = torch.tensor([[2.0, 0.5], [2.0, 0.5], [0.5, 2.0], [0.5, 2.0]])
    assert module.pseudo_labels(even, 1.0, prior).tolist() == [0, 0, 1, 1]


def divergence_is_the_packaged_one(module):
    a, b = prob()[:1], prob(1)[:1]
    torch.testing.assert_close(module.proportion_kl(a, b), proportion_kl(a[0], b[0]))
    assert module.proportion_kl(a, a) == pytest.approx(0, abs=1e-6)


def regions_are_averaged_alone(module):
    p = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    means = module.region_means(p, torch.tensor([0, 1, 1]), 2)
    torch.testing.assert_close(means, torch.tensor([[1.0, 0.0], [0.25, 0.75]]))


def shares_come_from_alike_images(module):
    known = torch.arange(12.0)[:, None]
    shares = torch.stack([known[:, 0] / 20 + 0.1, 0.9 - known[:, 0] / 20], 1)
    near = module.nearest_shares(torch.tensor([[5.2]]), known, shares, k=3)
    torch.testing.assert_close(near, shares[4:7].mean(0, keepdim=True))
    fitted = module.regressed_shares(torch.tensor([[5.0]]), known, shares, ridge=1e-6)
    torch.testing.assert_close(fitted, shares[5:6], atol=1e-3, rtol=0)


def shifted_logits_meet_the_proportions(module):
    z = torch.randn(2, 200, 3, generator=torch.Generator().manual_seed(3))
    q = torch.tensor([0.2, 0.3, 0.5])
    shift = module.logit_shift(z, q)
    assert shift.shape == (2, 1, 3)
    torch.testing.assert_close((z + shift).softmax(2).mean(1), q.expand(2, 3), atol=1e-4, rtol=0)


def small_sets():
    x = torch.cat(
        [torch.randn(2, 60, 2, generator=torch.Generator().manual_seed(5)), torch.ones(2, 60, 1)], 2
    )
    return x, (x[..., 0] > 0.5).long()


def fitting_lowers_the_loss(module):
    x, y = small_sets()
    w = module.fit(lambda v: module.cross_entropy(v, x, y), torch.zeros(2, 3, 2), steps=20)
    assert module.cross_entropy(w, x, y) < 0.9 * np.log(2)
    y[:, :30] = -1
    other = x.clone()
    other[:, :30] += 9
    assert module.cross_entropy(w, x, y) == module.cross_entropy(w, other, y)


def curriculum_moves_the_proportions(module):
    x, y = small_sets()
    w0 = module.fit(lambda v: module.cross_entropy(v, x, y), torch.zeros(2, 3, 2), steps=60)
    q = torch.tensor([0.3, 0.7])
    w = module.curriculum(w0, x, y, x, q, weight=5.0)
    before, after = (((x @ v).softmax(2).mean(1) - q).abs().max() for v in (w0, w))
    assert after < 0.6 * before


def self_training_labels_more_each_round(module):
    x, y = small_sets()
    w0 = module.fit(lambda v: module.cross_entropy(v, x, y), torch.zeros(2, 3, 2), steps=60)
    _, few = module.self_training(w0, x, y, x, shares=(0.2,))
    _, many = module.self_training(w0, x, y, x, shares=(0.2, 0.6))
    assert 2 * (few >= 0).sum() < (many >= 0).sum()


CHECKS = (
    labels_minimise_the_cost,
    thresholds_keep_the_share_of_each_class,
    one_threshold_if_unbalanced,
    an_absent_class_keeps_the_threshold_one,
    selection_is_the_packaged_one,
    rows_are_counted_per_class,
    places_change_the_choice,
    divergence_is_the_packaged_one,
    regions_are_averaged_alone,
    shares_come_from_alike_images,
    shifted_logits_meet_the_proportions,
    fitting_lowers_the_loss,
    curriculum_moves_the_proportions,
    self_training_labels_more_each_round,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_values(check):
    check(ws08)


FAULTS = {
    "w with the wrong sign": ("-(p.log() + w)", "-(p.log() - w)", labels_minimise_the_cost),
    "most probable, not furthest above": ("(p / tau).max(1)", "p.max(1)", labels_minimise_the_cost),
    "one threshold after all": (
        "top[predicted == c] if balanced else top",
        "top",
        thresholds_keep_the_share_of_each_class,
    ),
    "always balanced": ("if balanced else top", "if True else top", one_threshold_if_unbalanced),
    "an absent class wins": (
        "tau = torch.ones(p.shape[1])",
        "tau = torch.zeros(p.shape[1])",
        an_absent_class_keeps_the_threshold_one,
    ),
    "share of the rest": (
        "round(share * len(mine))",
        "round((1 - share) * len(mine))",
        selection_is_the_packaged_one,
    ),
    "normalised per row": (
        "smooth.mean(0)",
        "smooth.mean(1, keepdim=True)",
        rows_are_counted_per_class,
    ),
    "upside down": ("(rows * len(table))", "((1 - rows) * len(table))", rows_are_counted_per_class),
    "places ignored": ("        p = p * prior\n", "", places_change_the_choice),
    "only one half of the divergence": (
        "(q.log() - p.log()) + off)",
        "(q.log() - p.log()))",
        divergence_is_the_packaged_one,
    ),
    "sum for mean": (
        " / torch.bincount(regions, minlength=count)[:, None]",
        "",
        regions_are_averaged_alone,
    ),
    "farthest images": ("largest=False", "largest=True", shares_come_from_alike_images),
    "shift the wrong way": (
        "q.log() - mean.log()",
        "mean.log() - q.log()",
        shifted_logits_meet_the_proportions,
    ),
    "uphill": ("loss(w).backward()", "(-loss(w)).backward()", fitting_lowers_the_loss),
    "unlabelled as background": (", ignore_index=-1)", ")", fitting_lowers_the_loss),
    "detached proportions": (
        "proportion_kl(q, mean)",
        "proportion_kl(q, mean.detach())",
        curriculum_moves_the_proportions,
    ),
    "the first share for ever": (
        "a, share, b, balanced",
        "a, shares[0], b, balanced",
        self_training_labels_more_each_round,
    ),
}


@pytest.mark.parametrize(("old", "new", "check"), FAULTS.values(), ids=FAULTS)
def test_values_a_fault_is_seen(old, new, check):
    module = broken("ws08", old, new)
    with pytest.raises((AssertionError, IndexError)):
        check(module)


WORDS = dict.fromkeys(
    (
        "thresholds minimise the objective",
        "flat places and one threshold give self-training",
        "three in ten of each predicted class are kept",
        "shifted logits have the proportions asked for",
        "as printed, the objective rewards wrong source labels",
        "w = 0 labels nothing, a large w everything",
        "a KL per class is more than the KL of the whole",
    ),
    "holds",
)
FLIPS = {
    "thresholds minimise the objective": {"(p / tau).max(1)": "p.max(1)"},
    "flat places and one threshold give self-training": {
        "if balanced else top": "if True else top"
    },
    "three in ten of each predicted class are kept": {
        "top[predicted == c] if balanced else top": "top"
    },
    "shifted logits have the proportions asked for": {
        "q.log() - mean.log()": "mean.log() - q.log()"
    },
    "w = 0 labels nothing, a large w everything": {"ratio > 1": "ratio < 1"},
    "a KL per class is more than the KL of the whole": {"+ off)": "- off)"},
}


def test_values_of_the_claims():
    assert claim_words("ws08") == WORDS


@pytest.mark.parametrize(("claim", "faults"), FLIPS.items(), ids=FLIPS)
def test_values_a_fault_flips_a_claim(claim, faults):
    assert claim_words("ws08", faults)[claim] != WORDS[claim]
