"""The dual of −log of a mean: values, what it makes unbiased, and what stays biased."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.primal_dual import (
    DualProportion,
    best_dual,
    neg_log_bound,
    proportion_kl,
)

Q = [0.85, 0.1, 0.05]


def pixels(cases=12, seed=0):
    """Logits (cases, 3, 5, 4) in double precision, patients of different sizes."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(cases, 3, 5, 4, generator=generator, dtype=torch.double)
    logits[:, 0] += torch.randn(cases, 1, 1, generator=generator, dtype=torch.double) + 1
    return logits.requires_grad_()


def means(logits):
    return logits.softmax(1).mean((0, 2, 3))


def prior(**options):
    return DualProportion(Q, **options).double()


def gradient(loss, logits):
    return torch.autograd.grad(loss, logits)[0]


def whole(logits):
    return gradient(proportion_kl(torch.tensor(Q).double(), means(logits)), logits)


def batch_mean(loss_of, logits, size=2):
    """Mean over the batches of an epoch of the gradient of a loss of the batch mean."""
    batches = range(0, len(logits), size)
    grads = [gradient(loss_of(means(logits[i : i + size])), logits) for i in batches]
    return torch.stack(grads).mean(0)


def test_values():
    u = torch.tensor(0.13)
    assert neg_log_bound(u, best_dual(u)).item() == pytest.approx(2.04022, abs=1e-5)
    assert best_dual(u).item() == pytest.approx(-7.692, abs=1e-3)


@given(st.floats(1e-4, 1), st.floats(-9, 4))
@settings(deadline=None)
def test_values_never_above(u, a):
    u, nu = torch.tensor(u).double(), -torch.tensor(a).double().exp()
    assert neg_log_bound(u, nu) <= -u.log() + 1e-9


def test_values_kl():
    q = torch.tensor([0.5, 0.2])
    by_hand = 0.5 * torch.log(torch.tensor(0.25 / 0.16)) + 0.2 * torch.log(torch.tensor(1.0))
    torch.testing.assert_close(proportion_kl(q, torch.tensor([0.2, 0.2])), by_hand)
    assert proportion_kl(q, torch.zeros(2)).isfinite()


def test_equivalence_at_the_best_duals():
    logits, dual = pixels(), prior()
    dual.settle(means(logits))
    kl = proportion_kl(torch.tensor(Q).double(), means(logits))
    torch.testing.assert_close(dual(means(logits)), kl, atol=1e-7, rtol=1e-5)
    torch.testing.assert_close(
        gradient(dual(means(logits)), logits), whole(logits), atol=1e-5, rtol=1e-5
    )


def test_equivalence_batches_are_unbiased():
    logits, dual = pixels(), prior()
    dual.settle(means(logits))
    torch.testing.assert_close(batch_mean(dual, logits), whole(logits), atol=1e-7, rtol=1e-5)


def test_values_batches_of_the_kl_are_biased():
    logits, q = pixels(), torch.tensor(Q).double()
    off = batch_mean(lambda p: proportion_kl(q, p), logits) - whole(logits)
    assert off.abs().max() > 0.1 * whole(logits).abs().max()


@pytest.mark.parametrize("rule", [{"decay": 0.9}, {"step": 0.1}], ids=str)
def test_values_both_rules_reach_the_best_duals(rule):
    dual, p = prior(**rule), torch.tensor([0.6, 0.3, 0.1]).double()
    for _ in range(400):
        dual.update(p)
    torch.testing.assert_close(dual.nu, best_dual(p))
    torch.testing.assert_close(dual.mu, best_dual(1 - p))


def test_values_signs_stay():
    dual = prior(step=0.9)
    for p in torch.rand(200, 3, generator=torch.Generator().manual_seed(1)).double():
        dual.update(p / p.sum())
        assert dual.nu.max() < 0 and dual.mu.max() < 0


def test_values_pulls_towards_the_prior():
    low, dual = torch.tensor([0.97, 0.02, 0.01], requires_grad=True), DualProportion(Q)
    dual.settle(low.detach())
    slope = gradient(dual(low), low)
    assert slope[0] > 0 and slope[1] < 0 and slope[2] < 0


def test_roundtrip():
    dual, other = DualProportion(Q), DualProportion([0.3, 0.3, 0.4])
    dual.update(torch.tensor([0.5, 0.3, 0.2]))
    other.load_state_dict(dual.state_dict())
    torch.testing.assert_close(other.nu, dual.nu)
    assert not list(dual.parameters())


@pytest.mark.parametrize(
    ("q", "options"),
    [([0.5, 0.0], {}), ([1.0], {}), ([[0.5]], {}), (Q, {"decay": 1.0}), (Q, {"step": 2.0})],
)
def test_errors(q, options):
    with pytest.raises(LimsupError):
        DualProportion(q, **options)


def test_errors_positive_dual():
    with pytest.raises(LimsupError, match="below 0"):
        neg_log_bound(torch.tensor(0.2), torch.tensor(5.0))
