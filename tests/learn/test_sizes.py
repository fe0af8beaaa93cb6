import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn import sizes

unit = st.floats(1e-5, 1 - 1e-5)


def drawn(seed=0, n=3, k=4, shape=(6, 5)):
    return torch.randn(n, k, *shape, generator=torch.Generator().manual_seed(seed)) * 3


def column(*values):
    return torch.tensor(values, dtype=torch.double, requires_grad=True)


def slope(loss, p):
    return torch.autograd.grad(loss.sum(), p)[0]


def test_shapes():
    assert sizes.proportions(drawn()).shape == sizes.soft_size(drawn()).shape == (3, 4)
    assert sizes.proportions(drawn(), over="batch").shape == (1, 4)
    assert sizes.proportions(drawn(shape=(6, 5, 4))).shape == (3, 4)
    p = sizes.proportions(drawn())
    for kind in ("l2", "l1", "kl", "barrier"):
        assert sizes.size_penalty(p, 0.1, torch.full((4,), 0.2), kind).shape == (3, 4)


def test_values_proportions():
    p = sizes.proportions(logits := drawn())
    prob = logits.softmax(1)
    torch.testing.assert_close(p.sum(1), torch.ones(3))
    torch.testing.assert_close(p[1, 2], prob[1, 2].mean())
    torch.testing.assert_close(sizes.proportions(logits, "batch")[0], p.mean(0))
    torch.testing.assert_close(sizes.soft_size(logits), prob.sum((2, 3)))


def test_values_inside():
    logits, inside = drawn(), torch.zeros(3, 6, 5, dtype=torch.bool)
    inside[:, :2] = inside[0] = True
    p = sizes.proportions(logits, inside=inside)
    torch.testing.assert_close(p[1:], sizes.proportions(logits[:, :, :2])[1:])
    weighted = (sizes.soft_size(logits[:1]) + sizes.soft_size(logits[1:, :, :2]).sum(0)) / (30 + 20)
    torch.testing.assert_close(sizes.proportions(logits, "batch", inside), weighted)


@given(st.integers(0, 999))
@settings(deadline=None, max_examples=20)
def test_invariance_pixels_shuffled(seed):
    logits = drawn(seed)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(seed))
    shuffled = logits.flatten(2)[..., order].reshape(logits.shape)
    torch.testing.assert_close(sizes.proportions(shuffled), sizes.proportions(logits))


@pytest.mark.parametrize("kind", ["l2", "l1", "kl"])
@pytest.mark.parametrize("relative", [False, True])
def test_values_penalty_on_both_sides(kind, relative):
    """A public tutorial's penalty is 0 everywhere, as an empty slice sums to 0. Ours is not."""
    p = column(0.05, 0.1, 0.15, 0.2, 0.4)
    loss = sizes.size_penalty(p, 0.1, 0.2, kind, relative=relative)
    below, *inside, above = loss.tolist()
    assert below > 1e-4 and above > 1e-4
    assert inside == pytest.approx([0, 0, 0], abs=1e-12)
    pull = slope(loss, p)
    assert pull[0] < 0 < pull[-1] and pull[1:-1].abs().max() < 1e-9


def test_values_penalty_of_a_single_image_and_class():
    """The shape in which the tutorial's slice goes wrong: one image, one class."""
    p = sizes.proportions(torch.zeros(1, 2, 4, 4))[:, 1:]
    assert sizes.size_penalty(p, torch.tensor([[0.6]]), torch.tensor([[0.7]])).item() > 0
    assert sizes.size_penalty(p, torch.tensor([[0.3]]), torch.tensor([[0.4]])).item() > 0


def test_values_penalty():
    p = column(0.05, 0.4)
    torch.testing.assert_close(sizes.size_penalty(p, 0.1, 0.2), column(0.0025, 0.04))
    relative = sizes.size_penalty(p, 0.1, 0.2, relative=True)
    torch.testing.assert_close(relative, column(0.25, 1.0))
    absolute = sizes.size_penalty(p, 0.1, 0.2, "l1", relative=True)
    torch.testing.assert_close(absolute, column(0.5, 1.0))
    barrier = sizes.size_penalty(p, 0.1, 0.2, "barrier", relative=True)
    sides = [sizes.log_barrier(z) for z in (1 - p / 0.1, p / 0.2 - 1)]
    torch.testing.assert_close(barrier, sum(sides))
    kl = sizes.size_penalty(p, 0.1, 0.2, "kl")
    expected = [q * math.log(q / v) + (1 - q) * math.log((1 - q) / (1 - v))
                for v, q in ((0.05, 0.1), (0.4, 0.2))]  # fmt: skip
    assert kl.tolist() == pytest.approx(expected)


def test_values_suppression():
    p = column(0.0, 0.2)
    assert sizes.size_penalty(p, 0.0, 0.0, relative=True).tolist() == pytest.approx([0, 0.04])
    assert sizes.size_penalty(p, 0.0, 0.0, "kl").tolist() == pytest.approx([0, -math.log(0.8)])
    assert torch.isfinite(slope(sizes.size_penalty(p, 0.0, 0.0, "kl"), p)).all()


def test_values_barrier_leaves_no_bound_out():
    p = column(0.01, 0.5, 0.99)
    assert not sizes.size_penalty(p, 0.0, 1.0, "barrier").any()
    above = sizes.size_penalty(p, 0.0, 0.6, "barrier")
    torch.testing.assert_close(above, sizes.log_barrier(p - 0.6))
    both = sizes.size_penalty(p, 0.4, 0.6, "barrier", t=9)
    expected = sizes.log_barrier(0.4 - p, 9) + sizes.log_barrier(p - 0.6, 9)
    torch.testing.assert_close(both, expected)


@given(st.floats(-1, 1), st.floats(0.5, 60))
@settings(deadline=None, max_examples=50)
def test_values_log_barrier(z, t):
    edge = -1 / t**2
    inner, outer = z <= edge, t * z - math.log(1 / t**2) / t + 1 / t
    value = sizes.log_barrier(x := column(z), t)
    assert value.item() == pytest.approx(-math.log(-z) / t if inner else outer)
    assert slope(value, x).item() == pytest.approx(-1 / (t * z) if inner else t)


def test_values_log_barrier_slopes_of_the_card():
    z = column(-0.1, 0.0, 0.1)
    assert slope(sizes.log_barrier(z, 5), z).tolist() == pytest.approx([2, 5, 5])
    assert slope(sizes.log_barrier(z, 50), z).tolist() == pytest.approx([0.2, 50, 50])


def test_values_log_barrier_is_smooth():
    z = column(-0.04 - 1e-9, -0.04 + 1e-9)
    value = sizes.log_barrier(z, 5)
    for pair in (value.tolist(), slope(value, z).tolist()):
        assert pair[0] == pytest.approx(pair[1], abs=1e-6)


def test_values_ramp():
    assert [sizes.ramp(k, 3, 1, 2) for k in (0, 1, 2, 9)] == [1, 1.5, 2, 2]
    assert sizes.ramp(0, 1) == 5


Q, P = 0.1, column(1e-4, 0.01, 0.1, 0.5)
PULLS = {
    "l2": 2 * (P - Q) * P * (1 - P),
    "forward": P - Q,
    "reverse": P * (1 - P) * ((P / Q).log() - ((1 - P) / (1 - Q)).log()),
    "mi": P * (1 - P) * (P / (1 - P)).log(),
}
CARD = {
    "l2": (-2.0e-5, -1.8e-3, 0, 0.2),
    "forward": (-0.0999, -0.090, 0, 0.4),
    "reverse": (-7.0e-4, -0.024, 0, 0.55),
    "mi": (-9.2e-4, -0.045, -0.198, 0),
}


@pytest.mark.parametrize("kind", PULLS)
def test_values_pull_on_a_logit(kind):
    """Equal pixels: the pull on the common logit, in closed form and as computed by hand."""
    logit = torch.logit(P.detach()).requires_grad_()
    pull = slope(sizes.ratio_loss(logit.sigmoid(), Q, kind), logit)
    torch.testing.assert_close(pull, PULLS[kind].detach(), rtol=1e-6, atol=1e-12)
    assert pull.tolist() == pytest.approx(CARD[kind], rel=0.03, abs=2e-7)


def test_values_slope_per_proportion():
    p = column(0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 0.9)
    l2 = slope(sizes.ratio_loss(p, Q, "l2"), p)
    assert l2.tolist() == pytest.approx([-0.198, -0.18, -0.1, 0, 0.2, 0.8, 1.6])
    kl = slope(sizes.ratio_loss(p, Q, "forward"), p)
    expected = [-99.1, -9.09, -1.053, 0, 0.625, 1.6, 8.889]
    assert kl.tolist() == pytest.approx(expected, rel=1e-3, abs=1e-9)


@given(unit, unit)
@settings(deadline=None, max_examples=50)
def test_values_ratio(p, q):
    def kl(u, v):
        return u * math.log(u / v) + (1 - u) * math.log((1 - u) / (1 - v))

    x = column(p)
    bounded = min(max(q, 1e-4), 1 - 1e-4)
    expected = {"forward": kl(q, p), "reverse": kl(p, bounded), "l2": (p - q) ** 2}
    expected["mi"] = math.log(2) + p * math.log(p) + (1 - p) * math.log(1 - p)
    for kind, value in expected.items():
        assert sizes.ratio_loss(x, q, kind).item() == pytest.approx(value, abs=1e-9), kind
    half = sizes.ratio_loss(x, 0.5, "reverse")
    torch.testing.assert_close(sizes.ratio_loss(x, q, "mi"), half)


@pytest.mark.parametrize("kind", ["forward", "reverse", "l2", "mi"])
@pytest.mark.parametrize("q", [0.0, 0.3, 1.0])
def test_values_finite_at_the_ends(kind, q):
    p = torch.tensor([0.0, 1e-30, 1.0], requires_grad=True)
    loss = sizes.ratio_loss(p, q, kind)
    assert torch.isfinite(loss).all() and torch.isfinite(slope(loss, p)).all()


def test_values_an_empty_region_keeps_its_pull():
    """Softmax of −20 everywhere, single precision: the forward KL still pulls with q per image."""
    logits = torch.stack([torch.zeros(4, 4), torch.full((4, 4), -20.0)])[None].requires_grad_()
    loss = sizes.ratio_loss(sizes.proportions(logits)[:, 1], 0.1, "forward")
    (pull,) = torch.autograd.grad(loss.sum(), logits)
    torch.testing.assert_close(pull[0, 1].sum(), torch.tensor(-0.1))


def test_errors():
    p = column(0.2)
    for bounds in ((0.3, 0.1), (-0.1, 0.5), (100.0, 400.0), (float("nan"), 0.5)):
        with pytest.raises(LimsupError, match="size bounds"):
            sizes.size_penalty(p, *bounds)
    with pytest.raises(LimsupError, match="kind: got l3"):
        sizes.size_penalty(p, 0.1, 0.2, "l3")
    with pytest.raises(LimsupError, match="kind: got KL"):
        sizes.ratio_loss(p, 0.1, "KL")
    with pytest.raises(LimsupError, match="prior q"):
        sizes.ratio_loss(p, 1.1)
    with pytest.raises(LimsupError, match="over: got set"):
        sizes.proportions(drawn(), "set")
    with pytest.raises(LimsupError, match="inside"):
        sizes.proportions(drawn(), inside=torch.zeros(3, 6, 5))
    with pytest.raises(LimsupError, match="t: got 0"):
        sizes.log_barrier(p, 0)
