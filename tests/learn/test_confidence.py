import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn import confidence
from limsup_widgets.learn.confidence import confidence_loss, entropy_map, mutual_information

seeds = st.integers(0, 2**31)
KINDS = ("shannon", "min", "gini")


def drawn(seed, shape=(2, 3, 4, 5), scale=3.0):
    return scale * torch.randn(
        shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double
    )


def pull(s, kind):
    """Size of the gradient on the object's logit of a single two-class point with probability s."""
    logits = torch.tensor([[0.0, math.log(s / (1 - s))]], dtype=torch.double, requires_grad=True)
    confidence_loss(logits, kind).backward()
    return logits.grad[0, 1].abs().item()


TABLE = {
    "shannon": (0, 0.010, 0.097, 0.222, 0.198, 0.046),
    "min": (0.500, 0.490, 0.400, 0.200, 0.100, 0.010),
    "gini": (0, 0.010, 0.096, 0.192, 0.144, 0.0196),
}


@pytest.mark.parametrize("kind", KINDS)
def test_values_gradient_per_logit(kind):
    found = [pull(s, kind) for s in (0.50, 0.51, 0.60, 0.80, 0.90, 0.99)]
    assert found == pytest.approx(TABLE[kind], abs=6e-4)


def test_values_gradient_of_shannon():
    logits = drawn(0, (6, 4)).requires_grad_()
    entropy_map(logits).sum().backward()
    s = logits.detach().softmax(1)
    expected = -s * (s.log() + entropy_map(logits.detach())[:, None])
    torch.testing.assert_close(logits.grad, expected)


def test_values_peak_of_the_pull():
    z = torch.linspace(0, 6, 6001, dtype=torch.double, requires_grad=True)
    entropy_map(torch.stack([torch.zeros_like(z), z], 1)).sum().backward()
    top = z.grad.abs().argmax()
    assert z.grad.abs()[top].item() == pytest.approx(0.2239, abs=1e-4)
    assert z[top].item() == pytest.approx(1.543, abs=2e-3)
    assert z[top].sigmoid().item() == pytest.approx(0.824, abs=1e-3)


def test_values_maps():
    half, sure = torch.zeros(1, 2), torch.tensor([[4.0, 1.0]]).log()
    for logits, expected in ((half, (0.6931, 0.6931, 0.5)), (sure, (0.5004, 0.2231, 0.32))):
        found = [confidence_loss(logits, kind).item() for kind in KINDS]
        assert found == pytest.approx(expected, abs=1e-4)
    assert entropy_map(torch.zeros(1, 5, 2), normalise=True).tolist() == [[1, 1]]


def test_equivalence_torch_distribution():
    logits = drawn(1)
    expected = torch.distributions.Categorical(logits=logits.movedim(1, -1)).entropy()
    torch.testing.assert_close(entropy_map(logits), expected)
    own = torch.nn.functional.cross_entropy(logits, logits.argmax(1))
    torch.testing.assert_close(confidence_loss(logits, "min"), own)


def test_values_detached_target_has_no_gradient():
    logits = torch.tensor([[0.0, math.log(4)]], requires_grad=True)
    log_s = logits.log_softmax(1)
    (-(log_s.exp().detach() * log_s).sum()).backward()
    assert logits.grad.abs().max() < 1e-7
    assert pull(0.8, "shannon") > 0.2


@given(seeds, st.floats(0, 30))
@settings(deadline=None, max_examples=40)
def test_values_order(seed, scale):
    logits = drawn(seed, scale=scale)
    shannon, least, gini = (confidence.MAPS[kind](logits) for kind in KINDS)
    assert (least <= shannon + 1e-9).all() and (gini <= shannon + 1e-9).all()
    assert (least >= -1e-9).all() and (shannon <= math.log(3) + 1e-9).all()


@pytest.mark.parametrize("kind", KINDS)
def test_values_extreme_logits_stay_finite(kind):
    logits = torch.tensor([[1e4, -1e4], [0.0, 300.0]], requires_grad=True)
    loss = confidence_loss(logits, kind)
    loss.backward()
    assert loss.item() == 0 and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("kind", KINDS)
def test_values_where(kind):
    logits, where = drawn(2), drawn(3, (2, 4, 5)) > 0
    expected = confidence.MAPS[kind](logits)[where].mean()
    torch.testing.assert_close(confidence_loss(logits, kind, where), expected)
    nothing = logits.clone().requires_grad_()
    loss = confidence_loss(nothing, kind, torch.zeros(2, 4, 5))
    loss.backward()
    assert loss == 0 and (nothing.grad == 0).all()


def test_shapes():
    for shape in ((5, 3), (2, 3, 4), (2, 3, 4, 5), (1, 2, 3, 4, 5)):
        for one in confidence.MAPS.values():
            assert one(drawn(0, shape)).shape == (shape[0], *shape[2:])
        assert mutual_information(drawn(0, shape)).shape == ()


def test_values_information_of_three_maps():
    uniform = torch.zeros(1, 2, 4, 4)
    one_class = torch.tensor([40.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    halves = torch.cat([one_class[:, :, :2], one_class[:, :, :2].flip(1)], 2)
    for per in ("image", "batch"):
        found = [mutual_information(m, per).item() for m in (uniform, one_class, halves)]
        assert found == pytest.approx([0, 0, math.log(2)], abs=1e-6)


def test_values_information_per_image_or_batch():
    one_class = torch.tensor([40.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 3, 3)
    pair = torch.cat([one_class, one_class.flip(1)])
    assert mutual_information(pair, "image").item() == pytest.approx(0, abs=1e-6)
    assert mutual_information(pair, "batch").item() == pytest.approx(math.log(2), abs=1e-6)


@given(seeds)
@settings(deadline=None, max_examples=30)
def test_equivalence_information(seed):
    logits = drawn(seed)
    s = logits.softmax(1).movedim(1, -1).reshape(-1, 3)
    kl = (s * (s / s.mean(0)).log()).sum(1).mean()
    torch.testing.assert_close(mutual_information(logits), kl)
    assert mutual_information(logits, "image") <= mutual_information(logits) + 1e-9


def test_values_information_of_an_empty_class_keeps_its_gradient():
    logits = torch.tensor([[0.0, -60.0], [0.0, -60.0]], requires_grad=True)
    mutual_information(logits).backward()
    assert torch.isfinite(logits.grad).all()


def test_values_calibration():
    prob = torch.tensor([[0.8, 0.2]] * 10 + [[0.35, 0.65]] * 10)
    targets = torch.tensor([0] * 8 + [1] * 2 + [1] * 5 + [0] * 5)
    ece = confidence.expected_calibration_error(prob, targets, bins=10)
    assert ece == pytest.approx(0.5 * 0 + 0.5 * 0.15, abs=1e-5)
    targets[:10] = -1
    assert confidence.expected_calibration_error(prob, targets) == pytest.approx(0.15, abs=1e-5)
    nobody = torch.full((20,), -1)
    assert math.isnan(confidence.expected_calibration_error(prob, nobody))
    sure = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    assert confidence.expected_calibration_error(sure, torch.ones(1, 2, 2).long()) == 1


def test_errors():
    with pytest.raises(LimsupError, match="kind of confidence: got renyi"):
        confidence_loss(torch.zeros(1, 2), "renyi")
    with pytest.raises(LimsupError, match="where: got"):
        confidence_loss(torch.zeros(1, 2, 3, 3), where=torch.ones(3, 3))
    with pytest.raises(LimsupError, match="at least 2 classes"):
        entropy_map(torch.zeros(1, 1, 3, 3))
    with pytest.raises(LimsupError, match="per: got image"):
        mutual_information(torch.zeros(4, 2), "image")
    with pytest.raises(LimsupError, match="expected image or batch"):
        mutual_information(torch.zeros(4, 2), "pixel")
