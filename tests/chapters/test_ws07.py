"""Chapter ws07: its method against the package's, faults that must show, claims that must fall."""

import numpy as np
import pytest
import torch
from chapters.sabotage import broken, claim_words
from torch.nn import functional as F

from limsup_chapters import ws07
from limsup_widgets.learn.partial_labels import allowed_classes, marginal_cross_entropy
from limsup_widgets.learn.primal_dual import DualProportion, neg_log_bound, proportion_kl
from limsup_widgets.learn.sizes import ratio_loss

Q = torch.tensor([0.7, 0.15, 0.1, 0.05])
SIZES = 0.09 * np.exp(np.random.default_rng(0).normal(-0.1, 0.45, 64))


def batch(seed=0, cases=6, classes=4):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(cases, classes, 5, 6, generator=generator)
    known = torch.zeros(cases, classes, dtype=torch.bool)
    organ = torch.arange(cases) % (classes - 1) + 1
    known[torch.arange(cases), organ] = True
    inside = torch.rand(cases, 5, 6, generator=generator) < 0.3
    return logits, inside * organ[:, None, None], known


def means(logits):
    return logits.softmax(1).mean((0, 2, 3))


def the_divergence_is_the_packaged_one(module):
    for seed in range(3):
        p = means(batch(seed)[0])
        torch.testing.assert_close(module.bernoulli_kl(Q, p), proportion_kl(Q, p))
        torch.testing.assert_close(module.bernoulli_kl(Q, p), ratio_loss(p, Q, "forward").sum())
    torch.testing.assert_close(module.bernoulli_kl(Q, Q), torch.tensor(0.0), atol=1e-6, rtol=0)


def the_tangent_is_the_packaged_one(module):
    u, nu = torch.rand(20) + 0.01, -torch.rand(20) * 9 - 0.1
    torch.testing.assert_close(module.tangent(u, nu), neg_log_bound(u, nu))
    torch.testing.assert_close(module.tangent(u, -1 / u), -u.log())


def the_dual_prior_is_the_packaged_one(module):
    ours, theirs = module.DualPrior(Q, decay=0.8), DualProportion(Q, decay=0.8)
    for seed in range(4):
        logits = batch(seed)[0].requires_grad_()
        one, other = ours(logits), theirs(means(logits))
        torch.testing.assert_close(one, other)
        slopes = (torch.autograd.grad(value, logits)[0] for value in (one, other))
        torch.testing.assert_close(*slopes)
        theirs.update(means(logits))
    assert not ours.mean.requires_grad


def the_prior_pulls_towards_q(module):
    logits = torch.zeros(2, 4, 3, 3, requires_grad=True)
    prior = module.DualPrior(Q, decay=0.5)
    prior(logits)
    slope = torch.autograd.grad(prior(logits), logits)[0].sum((0, 2, 3))
    assert slope[0] < 0 and slope[3] > 0


def priors_are_those_of_their_means(module):
    logits = batch()[0]
    torch.testing.assert_close(module.batch_prior(Q)(logits), proportion_kl(Q, means(logits)))
    each = torch.stack([proportion_kl(Q, means(x[None])) for x in logits])
    torch.testing.assert_close(module.image_prior(Q)(logits), each.mean())


def possible_classes_are_the_packaged_ones(module):
    _, targets, known = batch()
    assert torch.equal(module.possible(targets, known), allowed_classes(targets, known))


def the_marginal_loss_is_the_packaged_one(module):
    one, other = module.marginal_ce(*batch()), marginal_cross_entropy(*batch())
    torch.testing.assert_close(one, other)


def the_rivals_are_cross_entropy(module):
    logits, targets, known = batch()
    expected = F.cross_entropy(logits, targets)
    torch.testing.assert_close(module.silence_is_background(logits, targets, known), expected)
    everything = known | True
    torch.testing.assert_close(module.pseudo_ce(logits, targets, everything), expected)
    assert module.pseudo_ce(logits, targets, known) < expected


def the_shift_fits_the_mean(module):
    logits = batch()[0]
    shift = module.matching_shift(logits, Q)
    torch.testing.assert_close(means(logits + shift[:, None, None]), Q, atol=1e-4, rtol=0)
    assert shift[0] == 0


def hospitals_hide_what_they_did_not_draw(module):
    people, codes, known, complete = module.hospitals(3, complete=2, partial=6)
    assert len(complete) == 2 and len(people) == 8
    np.testing.assert_array_equal(codes[complete], people.masks[complete])
    assert known[complete, 1:].all() and not known[:, 0].any()
    for i in np.setdiff1d(np.arange(8), complete):
        (organ,) = np.flatnonzero(known[i]) + 1
        assert organ in (2, 3, 5)
        np.testing.assert_array_equal(codes[i] == organ, people.masks[i] == organ)
        assert set(np.unique(codes[i])) == {1, organ}
    assert np.bincount(np.argmax(known.numpy(), 1))[[1, 2, 4]].tolist() == [4, 2, 2]


def objectives_read_each_case_as_it_is(module):
    """A complete case goes through the supervised loss, an incomplete one through the part."""
    logits, targets, known = batch()
    known[:3, 1:] = True
    weights = torch.ones(4)

    class Batch:
        index, progress = torch.arange(6), 0.5

    Batch.targets = targets
    seen = []

    def part(x, y, k):
        seen.append((len(x), k.sum().item()))
        return x.sum() * 0

    loss = module.objective(known, weights, part)(logits, Batch)
    alone = module.objective(known[:3], weights)

    class First:
        index, progress, targets = torch.arange(3), 0.5, Batch.targets[:3]

    torch.testing.assert_close(loss, alone(logits[:3], First))
    assert seen == [(3, 3)]


def scores_of_the_truth_are_perfect(module):
    people = ws07.abdomens(6, 1, size=48)
    prob = F.one_hot(torch.from_numpy(people.masks.astype(int)) - 1, 6).movedim(-1, 1).numpy()
    dice, rank = module.scores(prob, people.masks)
    np.testing.assert_allclose(dice, 1)
    np.testing.assert_allclose(rank, 1)
    assert module.scores(np.roll(prob, 9, axis=3), people.masks)[0].max() < 0.9


def free_sizes_do_what_each_prior_asks(module):
    image, batched, whole = (module.free_sizes(SIZES, g) for g in (1, 4, 64))
    assert image.std() < 0.3 * SIZES.std() < batched.std() < SIZES.std() < whole.std()
    np.testing.assert_allclose([p.mean() / SIZES.mean() for p in (image, whole)], 0.88, atol=0.03)
    still = module.free_sizes(SIZES, 64, strength=0)
    np.testing.assert_allclose(still, 0.6 * SIZES)
    dual = module.free_sizes(SIZES, 4, memory=0.99)
    assert abs(dual.mean() - whole.mean()) < 0.02 * SIZES.mean()


CHECKS = (
    the_divergence_is_the_packaged_one,
    the_tangent_is_the_packaged_one,
    the_dual_prior_is_the_packaged_one,
    the_prior_pulls_towards_q,
    priors_are_those_of_their_means,
    possible_classes_are_the_packaged_ones,
    the_marginal_loss_is_the_packaged_one,
    the_rivals_are_cross_entropy,
    the_shift_fits_the_mean,
    hospitals_hide_what_they_did_not_draw,
    objectives_read_each_case_as_it_is,
    scores_of_the_truth_are_perfect,
    free_sizes_do_what_each_prior_asks,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_values(check):
    check(ws07)


FAULTS = {
    "sign of the divergence": ("cross = -(q", "cross = (q", the_divergence_is_the_packaged_one),
    "constant left out": ("cross - entropy", "cross", the_divergence_is_the_packaged_one),
    "positive dual": ("-1 / self.mean,", "1 / self.mean,", the_dual_prior_is_the_packaged_one),
    "one without its log": ("+ 1 + torch.log(-nu)", "+ 1", the_tangent_is_the_packaged_one),
    "second dual forgotten": (
        "(1 - q) * tangent(1 - p, mu)",
        "(1 - q) * tangent(p, mu)",
        the_dual_prior_is_the_packaged_one,
    ),
    "duals stand still": ("(1 - self.decay) * p.detach()", "0", the_dual_prior_is_the_packaged_one),
    "gradient through the dual": ("p.detach()", "p", the_dual_prior_is_the_packaged_one),
    "prior and prediction exchanged": (
        "tangent(p, nu) + (1 - q) * tangent(1 - p, mu)",
        "tangent(1 - p, nu) + (1 - q) * tangent(p, mu)",
        the_prior_pulls_towards_q,
    ),
    "one mean for all images": (
        "logits.softmax(1).mean((2, 3))\n",
        "logits.softmax(1).mean((0, 2, 3))[None]\n",
        priors_are_those_of_their_means,
    ),
    "silence is background": (
        "silent = ~known",
        "silent = torch.zeros_like(known)",
        possible_classes_are_the_packaged_ones,
    ),
    "the known organ stays possible": (
        "silent = ~known",
        "silent = torch.ones_like(known)",
        the_marginal_loss_is_the_packaged_one,
    ),
    "q not a share": (
        "shift + (q / p.clamp_min(1e-6)).log()",
        "shift + (100 * q - p)",
        the_shift_fits_the_mean,
    ),
    "hidden organs delivered": (
        "as_background=True",
        "as_background=False",
        hospitals_hide_what_they_did_not_draw,
    ),
    "incomplete cases as complete": (
        "own[:, 1:].all(1)",
        "own[:, 1:].any(1)",
        objectives_read_each_case_as_it_is,
    ),
    "Dice without its factor": ("2 * (p & t)", "(p & t)", scores_of_the_truth_are_perfect),
    "pull turned": ("(m - q) / (m", "(q - m) / (m", free_sizes_do_what_each_prior_asks),
}


@pytest.mark.parametrize(("old", "new", "check"), FAULTS.values(), ids=FAULTS)
def test_values_a_fault_is_seen(old, new, check):
    module = broken("ws07", old, new)
    with pytest.raises((AssertionError, RuntimeError)):
        check(module)


HIGHEST = "-log .13 is the highest of its tangents"
UNBIASED = "tangents: batches average to the whole gradient"
SILENT = "'not liver' leaves background against kidneys alone"
SIGNS = "both minus signs of the expansion are right"


def test_values_claims():
    words = claim_words("ws07")
    assert {words[name] for name in (HIGHEST, UNBIASED, SILENT, SIGNS)} == {"holds"}
    assert words["KL: batches average to the whole gradient"] == "does not hold"


SABOTAGE = {
    "tangent without its one": (HIGHEST, "nu * u + 1 +", "nu * u +"),
    "positive dual": (HIGHEST, "nu * u + 1 +", "-nu * u + 1 +"),
    "duals of the batch": (UNBIASED, "-1 / self.mean, -1 / (1 - self.mean)",
                           "-1 / p.detach(), -1 / (1 - p.detach())"),
    "silence is background": (SILENT, "silent = ~known", "silent = torch.zeros_like(known)"),
    "sign of the divergence": (SIGNS, "cross = -(q", "cross = (q"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new"), SABOTAGE.values(), ids=SABOTAGE)
def test_values_a_fault_turns_the_claim(name, old, new):
    assert claim_words("ws07", {old: new})[name] == "does not hold"
