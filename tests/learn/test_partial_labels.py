"""Partly labelled cases: what a pixel may be, and the loss that says no more than that."""

import pytest
import torch
from torch.nn import functional as F

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.partial_labels import allowed_classes, marginal_cross_entropy

LIVER_ONLY = torch.tensor([[False, True, False, False]])
ALL = torch.tensor([[False, True, True, True]])


def case(seed=0, classes=4):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, classes, 6, 5, generator=generator, dtype=torch.double)
    return logits.requires_grad_(), torch.randint(0, classes, (1, 6, 5), generator=generator)


def test_equivalence_all_known_is_cross_entropy():
    logits, targets = case()
    expected = F.cross_entropy(logits, targets)
    torch.testing.assert_close(marginal_cross_entropy(logits, targets, ALL), expected)


def test_equivalence_not_liver():
    logits, targets = case()
    targets = (targets == 1).long()
    s = logits.softmax(1)
    by_hand = torch.where(targets == 1, s[:, 1], s[:, [0, 2, 3]].sum(1)).log().mean()
    torch.testing.assert_close(marginal_cross_entropy(logits, targets, LIVER_ONLY), -by_hand)


def test_values_nothing_known_teaches_nothing():
    logits, targets = case()
    loss = marginal_cross_entropy(logits, torch.zeros_like(targets), torch.zeros_like(ALL))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert logits.grad.abs().max() < 1e-12


def test_values_no_pull_between_the_unlabelled():
    """Spleen against background is left open: the ratio of their logits does not move."""
    logits, targets = case()
    marginal_cross_entropy(logits, torch.zeros_like(targets), LIVER_ONLY).backward()
    share = logits.grad / logits.detach().softmax(1)
    torch.testing.assert_close(share[:, 0], share[:, 2])
    assert (logits.grad[:, 1] > 0).all() and (logits.grad[:, [0, 2, 3]] < 0).all()


def test_values_unread_pixels_are_left_out():
    logits, targets = case()
    targets[:, :3] = -1
    expected = F.cross_entropy(logits[:, :, 3:], targets[:, 3:])
    torch.testing.assert_close(marginal_cross_entropy(logits, targets, ALL), expected)
    nothing = marginal_cross_entropy(logits, torch.full_like(targets, -1), ALL)
    assert nothing.item() == 0


def test_values_cases_of_two_sites():
    (one, a), (two, b) = case(1), case(2)
    a, b = (a == 1).long(), 2 * (b == 2).long()
    known = torch.cat([LIVER_ONLY, torch.tensor([[False, False, True, False]])])
    together = marginal_cross_entropy(torch.cat([one, two]), torch.cat([a, b]), known)
    parts = zip((one, two), (a, b), known, strict=True)
    apart = [marginal_cross_entropy(x, y, k[None]) for x, y, k in parts]
    torch.testing.assert_close(together, sum(apart) / 2)


def test_shapes():
    allowed = allowed_classes(torch.zeros(3, 6, 5, dtype=torch.long), LIVER_ONLY.expand(3, -1))
    assert allowed.shape == (3, 4, 6, 5) and allowed.dtype == torch.bool


def test_values_the_arguments_stay():
    known = ALL.clone()
    allowed_classes(torch.zeros(1, 2, 2, dtype=torch.long), known)
    assert torch.equal(known, ALL)


def test_errors():
    logits, targets = case()
    with pytest.raises(LimsupError, match="known classes only"):
        marginal_cross_entropy(logits, targets, LIVER_ONLY)
    with pytest.raises(LimsupError, match="partial labels"):
        allowed_classes(targets, ALL.expand(2, -1))
    with pytest.raises(LimsupError, match="logits"):
        marginal_cross_entropy(logits[:, :3], targets, ALL)
