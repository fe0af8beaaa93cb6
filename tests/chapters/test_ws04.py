"""Chapter ws04: its method in closed form, equal to the package, and faults that must show."""

import numpy as np
import pytest
import torch
from chapters.sabotage import broken, claim_words

from limsup_chapters import ws04
from limsup_widgets.learn.confidence import mutual_information
from limsup_widgets.learn.losses import partial_cross_entropy
from limsup_widgets.learn.sizes import ratio_loss


def near(a, b, tol=1e-6):
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), atol=tol, rtol=1e-4)


def halves():
    """Half of the points sure of class 1, half of class 2; and as logits."""
    s = torch.tensor([[1.0, 0]] * 3 + [[0, 1.0]] * 3)
    return s, 99 * s


def entropy_of_equal_shares_is_log_k(module):
    near(module.entropy(torch.full((4,), 0.25)), np.float32(np.log(4)))
    near(module.entropy(torch.tensor([1.0, 0.0])), 0.0)


def sure_halves_carry_log_two(module):
    s, logits = halves()
    near(module.information(s), np.float32(np.log(2)))
    near(module.information(s), mutual_information(logits))


def undecided_points_carry_nothing(module):
    near(module.information(torch.full((2, 9, 3), 1 / 3)), torch.zeros(2))


def kl_is_zero_at_itself_and_infinite_costs_more(module):
    a, b = torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75])
    near(module.kl(a, a), 0.0)
    near(module.kl(a, b), np.float32(0.5 * np.log(2) + 0.5 * np.log(2 / 3)))


def distances_are_those_of_the_package(module):
    share = torch.tensor([0.001, 0.1, 0.4, 0.9])
    both = torch.stack([1 - share, share], -1)
    for kind in ("forward", "reverse", "l2", "mi"):
        near(module.distance(both, module.shares(0.1), kind), ratio_loss(share, 0.1, kind))


def bounds_cost_nothing_inside(module):
    share = torch.tensor([0.02, 0.1, 0.3])
    both = torch.stack([1 - share, share], -1)
    near(module.outside(both, *module.bounds(0.05, 0.2)), torch.tensor([0.0009, 0, 0.01]))


def forward_pull_is_share_minus_prior(module):
    near(module.pull([1e-4, 0.3], 0.1, "forward"), torch.tensor([1e-4 - 0.1, 0.2]).double())


def memory_keeps_nine_tenths_and_no_gradient_of_the_past(module):
    past = torch.tensor([1.0, 0.0], requires_grad=True)
    s = torch.tensor([[0.0, 1.0]], requires_grad=True)
    now = module.running(past, s)
    near(now, torch.tensor([0.9, 0.1]))
    now[1].backward()
    assert past.grad is None
    near(s.grad, torch.tensor([[0.0, 0.1]]))


def unlabelled_points_have_no_say_in_the_labels(module):
    logits = torch.randn(1, 7, 2, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([[0, 1, -1, -1, 1, -1, 0]])
    near(
        module.partial_ce(logits.softmax(-1), y)[0],
        partial_cross_entropy(logits.transpose(1, 2), y),
    )
    near(module.partial_ce(logits.softmax(-1), torch.full_like(y, -1)), torch.zeros(1))


def seeds_never_meet(module):
    x, few, *_ = module.clouds([3, 4], 0.1, n=40)
    term = module.ratio_term(module.shares(0.1), "forward")
    both = module.fit(x, few, term, steps=12)
    near(both[1:], module.fit(x[1:], few[1:], term, steps=12), 1e-4)
    assert not torch.allclose(both[0], both[1])


def a_term_waits_for_the_labels(module):
    x, few, *_ = module.clouds([3], 0.1, n=40)
    term = module.ratio_term(module.shares(0.1), "forward")
    near(module.fit(x, few, term, steps=4, wait=1.0), module.fit(x, few, steps=4))
    assert not torch.allclose(module.fit(x, few, term, steps=4), module.fit(x, few, steps=4))


def clouds_hold_two_labels_a_class_and_the_share(module):
    x, few, dense, test, truth = module.clouds([5], 0.1)
    assert torch.bincount(few[0] + 1).tolist() == [400, 2, 2]
    assert 0.07 < truth.double().mean() < 0.13 and x.shape == (1, 404, 3)
    middle = [test[0][truth[0] == k][:, 1].mean().item() for k in (0, 1)]
    assert middle == pytest.approx([-1.3, 1.3], abs=0.2)
    assert (dense >= 0).all()


def balanced_accuracy_counts_classes(module):
    x, y = torch.ones(1, 10, 1), torch.tensor([[0] * 9 + [1]])
    balanced, plain, _ = module.scores(torch.tensor([[[1.0, 0.0]]]), x, y)
    assert balanced[0] == pytest.approx(0.5)
    assert plain[0] == pytest.approx(0.9)


CHECKS = [
    entropy_of_equal_shares_is_log_k,
    sure_halves_carry_log_two,
    undecided_points_carry_nothing,
    kl_is_zero_at_itself_and_infinite_costs_more,
    distances_are_those_of_the_package,
    bounds_cost_nothing_inside,
    forward_pull_is_share_minus_prior,
    memory_keeps_nine_tenths_and_no_gradient_of_the_past,
    unlabelled_points_have_no_say_in_the_labels,
    seeds_never_meet,
    a_term_waits_for_the_labels,
    clouds_hold_two_labels_a_class_and_the_share,
    balanced_accuracy_counts_classes,
]


@pytest.mark.parametrize("check", CHECKS)
def test_values(check):
    check(ws04)


SIGN = ("entropy(marginal(s)) - doubt(s)", "doubt(s) - entropy(marginal(s))")
ORDER = ("entropy(marginal(s)) - doubt(s)", "entropy(s).mean(-1) - doubt(s)")
ARGUMENTS = ("return kl(q, p)", "return kl(p, q)")
FAULTS = {
    "entropy negative": ("return -(p * p", "return (p * p", entropy_of_equal_shares_is_log_k),
    "sign swapped": (*SIGN, sure_halves_carry_log_two),
    "order swapped": (*ORDER, sure_halves_carry_log_two),
    "no doubt": ("(marginal(s)) - doubt(s)", "(marginal(s))", undecided_points_carry_nothing),
    "kl weights": (
        "(a * (logs[0]",
        "(b * (logs[0]",
        kl_is_zero_at_itself_and_infinite_costs_more,
    ),
    "arguments": (*ARGUMENTS, distances_are_those_of_the_package),
    "l2 twice": ("((p - q) ** 2).sum(-1) / 2", "((p - q) ** 2).sum(-1)",
                 distances_are_those_of_the_package),
    "mi of two only": ("np.log(p.shape[-1])", "np.log(3)", distances_are_those_of_the_package),
    "lower only": ("(low - p).clamp_min(0) +", "0 *", bounds_cost_nothing_inside),
    "pull of class 1": ("sigmoid(-z), torch.sigmoid(z)", "sigmoid(z), torch.sigmoid(-z)",
                        forward_pull_is_share_minus_prior),
    "past not detached": ("past.detach()", "past",
                          memory_keeps_nine_tenths_and_no_gradient_of_the_past),
    "all have a say": ("own.clamp_min(1e-12).log() * seen", "own.clamp_min(1e-12).log()",
                       unlabelled_points_have_no_say_in_the_labels),
    "seeds share": ("loss.sum().backward()", "(loss.sum() ** 2).backward()", seeds_never_meet),
    "no waiting": ("step >= wait * steps", "step >= 0", a_term_waits_for_the_labels),
    "share of the other": ("rng.random(n) < share", "rng.random(n) > share",
                           clouds_hold_two_labels_a_class_and_the_share),
    "plain accuracy": ("torch.stack(found).mean(0)", "right.mean(-1)",
                       balanced_accuracy_counts_classes),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "check"), FAULTS.values(), ids=FAULTS)
def test_values_a_fault_is_seen(old, new, check):
    module = broken("ws04", old, new)
    with pytest.raises(AssertionError):
        check(module)


BELIEF = "mutual information believes in equal shares"
PLACE = "a ratio does not see where"
FIRST = "mutual information is the KL with the prediction first, not the prior"
EMPTY = "only the prior-first KL still pulls at an empty class"
LAZY = "entropy alone loses a class more often, by .2"
DESCENT = "descent: prior-first KL needs a third of L2's steps"
OTHER = "descent: prior-first KL needs a third of the other KL's steps"
ADAM = "Adam: L2 comes back as well, within 60 steps"
BATCHES = "smaller batches, less information"
WORDS = dict.fromkeys((BELIEF, PLACE, FIRST, EMPTY, LAZY, DESCENT, OTHER, ADAM, BATCHES), "holds")
WEIGHTED = {"return s.mean(-2)": "return (s * s[..., :1]).mean(-2)"}
FLIPS = {
    "sign": (BELIEF, dict([SIGN])),
    "order": (BELIEF, dict([ORDER])),
    "sign, trained": (LAZY, dict([SIGN])),
    "order, trained": (BATCHES, dict([ORDER])),
    "place": (PLACE, WEIGHTED),
    "arguments, mi": (FIRST, dict([ARGUMENTS])),
    "arguments, pull": (EMPTY, dict([ARGUMENTS])),
    "arguments, trained": (OTHER, dict([ARGUMENTS])),
    "l2 is no l2": (DESCENT, {"return ((p - q) ** 2).sum(-1) / 2": "return kl(q, p)"}),
    "Adam off": (ADAM, {"torch.optim.Adam if adam": "torch.optim.SGD if adam"}),
}


def test_values_of_the_claims():
    assert claim_words("ws04") == WORDS


@pytest.mark.parametrize(("claim", "faults"), FLIPS.values(), ids=FLIPS)
def test_values_a_fault_flips_a_claim(claim, faults):
    assert claim_words("ws04", faults)[claim] != WORDS[claim]
