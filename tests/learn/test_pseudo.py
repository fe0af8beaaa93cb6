"""Class-balanced selection: its shares, its special cases, its blind spot."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.losses import IGNORED
from limsup_widgets.learn.pseudo import select_pseudo_labels


def random_prob(seed, n=3, k=3, side=9, tilt=0.0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, k, side, side, generator=generator)
    logits[:, 0] += tilt
    return logits.softmax(1)


@given(st.integers(0, 20), st.floats(0.05, 1.0))
def test_values_at_least_the_share_of_every_predicted_class(seed, share):
    prob = random_prob(seed, tilt=1.0)
    targets, tau = select_pseudo_labels(prob, share)
    winner = prob.argmax(1)
    for c in range(3):
        predicted = winner == c
        wanted = round(share * int(predicted.sum()))
        assert (prob[:, c][predicted] >= tau[c]).sum() == max(1, wanted)
    confident = prob.max(1).values >= tau[winner]
    assert (targets[confident] != IGNORED).all()


def test_values_two_classes_keep_their_own():
    prob = random_prob(0, k=2)
    targets, tau = select_pseudo_labels(prob, 0.3)
    kept = targets != IGNORED
    winner = prob.argmax(1)
    assert (tau > 0.5).all()
    assert torch.equal(targets[kept], winner[kept])
    for c in (0, 1):
        n = int((winner == c).sum())
        assert int((targets == c).sum()) == round(0.3 * n)


def test_equivalence_flat_prior_and_one_threshold():
    prob = random_prob(1)
    plain = select_pseudo_labels(prob, 0.4, balanced=False)
    flat = select_pseudo_labels(prob, 0.4, prior=torch.full_like(prob, 0.2), balanced=False)
    assert torch.equal(plain[0], flat[0])
    assert len(plain[1].unique()) == 1
    confidence, winner = prob.max(1)
    expected = torch.where(confidence >= plain[1][0], winner, IGNORED)
    assert torch.equal(plain[0], expected)


def test_values_balance_finds_the_rare_class_one_threshold_does_not():
    prob = torch.tensor([[[0.99] * 8 + [0.4, 0.3], [0.01] * 8 + [0.6, 0.7]]])
    assert 1 in select_pseudo_labels(prob, 0.5)[0]
    assert 1 not in select_pseudo_labels(prob, 0.5, balanced=False)[0]


def test_values_a_class_predicted_nowhere_gains_nothing():
    prob = torch.tensor([[[0.6, 0.7, 0.8], [0.4, 0.3, 0.2]]])
    targets, tau = select_pseudo_labels(prob, 1.0)
    assert tau[1] == 1 and (targets == 0).all()


def test_values_a_prior_decides_by_place():
    prob = torch.full((1, 2, 1, 4), 0.5)
    prior = torch.tensor([[0.9, 0.9, 0.1, 0.1], [0.1, 0.1, 0.9, 0.9]])[None, :, None]
    assert select_pseudo_labels(prob, 1.0, prior)[0].tolist() == [[[0, 0, 1, 1]]]


def test_values_no_gradient_flows_through_the_choice():
    logits = torch.randn(1, 2, 4, requires_grad=True)
    targets, tau = select_pseudo_labels(logits.softmax(1), 0.5)
    assert not targets.requires_grad and not tau.requires_grad


@pytest.mark.parametrize("share", [0.0, 1.5, float("nan")])
def test_errors(share):
    with pytest.raises(LimsupError, match="share"):
        select_pseudo_labels(random_prob(0), share)
    with pytest.raises(LimsupError, match="probabilities"):
        select_pseudo_labels(torch.rand(4), 0.5)
