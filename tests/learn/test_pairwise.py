import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limsup_widgets.errors import LimsupError
from limsup_widgets.learn import pairwise
from limsup_widgets.learn.pairwise import KINDS, energy_density, pairwise_loss, stencil

SUMS = ("quadratic", "potts", "gini")
BANDS = {"sigma_xy": 3.0, "sigma_i": 0.2}


def drawn(seed=0, n=2, k=3, shape=(5, 6), channels=1):
    rng = np.random.default_rng(seed)
    prob = torch.from_numpy(rng.dirichlet(np.ones(k), (n, *shape))).movedim(-1, 1)
    image = torch.from_numpy(rng.uniform(0, 1, (n, channels, *shape)))
    return prob.contiguous(), image


def dense_matrix(image, sigma_xy, sigma_i):
    """All pairs of one image ``(C, H, W)`` by definition, without the diagonal."""
    shape = image.shape[1:]
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(len(shape), -1)
    colours = image.numpy().reshape(len(image), -1)

    def gap(v):
        return ((v[:, :, None] - v[:, None, :]) ** 2).sum(0)

    w = np.exp(-gap(places) / (2 * sigma_xy**2) - gap(colours) / (2 * sigma_i**2))
    np.fill_diagonal(w, 0)
    return w


def by_definition(prob, image, kind):
    """The four energies of one image, in matrices over ordered pairs."""
    w = dense_matrix(image, **BANDS)
    s, d = prob.flatten(1).numpy(), w.sum(1)
    if kind == "normalised_cut":
        return sum(v @ w @ (1 - v) / (d @ v) for v in s)
    total = {
        "quadratic": sum(v @ (np.diag(d) - w) @ v for v in s),
        "potts": sum(v @ w @ (1 - v) for v in s),
        "gini": d @ (1 - (s**2).sum(0)),
    }
    return total[kind] / w.sum()


def every_pair(shape):
    return stencil("window", len(shape), max(shape) - 1)


@pytest.mark.parametrize("shape", [(5, 6), (3, 2, 4)])
@pytest.mark.parametrize("kind", KINDS)
def test_equivalence_all_shifts_are_the_dense_matrix(kind, shape):
    prob, image = drawn(shape=shape, channels=2)
    loss = pairwise_loss(prob, image, kind, every_pair(shape), **BANDS)
    one_by_one = [by_definition(*pair, kind) for pair in zip(prob, image, strict=True)]
    assert loss.item() == pytest.approx(np.mean(one_by_one), rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_equivalence_a_stencil_is_the_masked_matrix(kind):
    prob, image = drawn(n=1, shape=(12, 11))
    places = np.stack(np.meshgrid(np.arange(12), np.arange(11), indexing="ij")).reshape(2, -1)
    step = np.abs(places[:, :, None] - places[:, None, :])
    straight = (step[0] == 0) | (step[1] == 0) | (step[0] == step[1])
    w = dense_matrix(image[0], **BANDS) * (straight & np.isin(step.max(0), (1, 2, 4, 8)))
    s, d = prob[0].flatten(1).numpy(), w.sum(1)
    cut = [v @ w @ (1 - v) for v in s]
    expected = {
        "quadratic": sum(v @ (np.diag(d) - w) @ v for v in s) / w.sum(),
        "potts": sum(cut) / w.sum(),
        "gini": d @ (1 - (s**2).sum(0)) / w.sum(),
        "normalised_cut": sum(c / (d @ v) for c, v in zip(cut, s, strict=True)),
    }
    loss = pairwise_loss(prob, image, kind, "dilated", **BANDS)
    assert loss.item() == pytest.approx(expected[kind], rel=1e-9)


@given(st.integers(0, 2**31), st.integers(2, 5))
@settings(deadline=None, max_examples=20)
def test_values_gini_identity(seed, k):
    prob, image = drawn(seed, k=k)
    prob.requires_grad_()
    losses = [pairwise_loss(prob, image, kind, **BANDS) for kind in SUMS]
    quadratic, potts, gini = zip(
        losses, (torch.autograd.grad(loss, prob)[0] for loss in losses), strict=True
    )
    for part in (0, 1):
        torch.testing.assert_close(potts[part], quadratic[part] + gini[part])


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("name", ["grid", "dilated"])
def test_values_constants(k, name):
    _, image = drawn(shape=(9, 9))
    grey = torch.full((2, k, 9, 9), 1 / k, dtype=torch.double)
    sure = torch.nn.functional.one_hot(torch.zeros(2, 9, 9, dtype=torch.long), k).movedim(-1, 1)
    found = {kind: pairwise_loss(grey, image, kind, name).item() for kind in KINDS}
    expected = {"quadratic": 0, "potts": (k - 1) / k, "gini": (k - 1) / k, "normalised_cut": k - 1}
    assert found == pytest.approx(expected, abs=1e-12)
    for kind in KINDS:
        assert pairwise_loss(sure.double(), image, kind, name) == pytest.approx(0, abs=1e-12)


def test_values_one_hot_potts_counts_cut_weight():
    image = torch.tensor([[[[0.0, 0.0, 1.0]]]])
    labels = torch.tensor([[[0, 1, 1]]])
    prob = torch.nn.functional.one_hot(labels, 2).movedim(-1, 1).float()
    near, edge = math.exp(-0.5), math.exp(-1.0)
    for kind in ("potts", "quadratic"):
        loss = pairwise_loss(prob, image, kind, [(0, 1)], sigma_xy=1.0, sigma_i=1.0)
        assert loss.item() == pytest.approx(near / (near + edge))


def test_values_edge_weights():
    image = torch.tensor([[[[0.0, 3.0], [4.0, 0.0]], [[0.0, 4.0], [0.0, 0.0]]]])
    w = pairwise.edge_weights(image, (0, 1), sigma_xy=2.0, sigma_i=5.0)
    expected = [[[math.exp(-1 / 8 - 25 / 50)], [math.exp(-1 / 8 - 16 / 50)]]]
    np.testing.assert_allclose(w, expected, rtol=1e-6)
    flat = pairwise.edge_weights(image, (1, -1), math.inf, math.inf)
    assert flat.tolist() == [[[1.0]]]


@pytest.mark.parametrize("kind", KINDS)
def test_invariance(kind):
    prob, image = drawn(shape=(10, 10))
    loss = pairwise_loss(prob, image, kind, **BANDS)
    others = {
        "classes shuffled": pairwise_loss(prob[:, [2, 0, 1]], image, kind, **BANDS),
        "turned": pairwise_loss(prob.rot90(dims=(2, 3)), image.rot90(dims=(2, 3)), kind, **BANDS),
        "brighter": pairwise_loss(prob, image + 7, kind, **BANDS),
        "inverted": pairwise_loss(prob, 1 - image, kind, **BANDS),
        "twice": pairwise_loss(*(torch.cat([t, t]) for t in (prob, image)), kind, **BANDS),
    }
    for name, other in others.items():
        torch.testing.assert_close(other, loss, msg=name)


def test_gradient_keeps_off_the_image():
    prob, image = drawn()
    image.requires_grad_()
    prob.requires_grad_()
    for kind in KINDS:
        pairwise_loss(prob, image, kind).backward()
        pairwise.sampled_pairwise_loss(prob, image, kind, partners=2).backward()
    assert image.grad is None and (prob.grad != 0).any()


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_numerically(kind):
    logits = torch.randn(1, 3, 3, 4, dtype=torch.double, requires_grad=True)
    _, image = drawn(n=1, shape=(3, 4))
    assert torch.autograd.gradcheck(lambda z: pairwise_loss(z.softmax(1), image, kind), logits)


def test_values_quadratic_is_convex_and_potts_concave():
    prob, image = drawn(n=1, shape=(4, 4))
    other, _ = drawn(seed=1, n=1, shape=(4, 4))
    middle = (prob + other) / 2
    ends, at = (
        {kind: f(kind) for kind in SUMS}
        for f in (
            lambda kind: (pairwise_loss(prob, image, kind) + pairwise_loss(other, image, kind)) / 2,
            lambda kind: pairwise_loss(middle, image, kind),
        )
    )
    assert at["quadratic"] < ends["quadratic"] and at["gini"] > ends["gini"]


@pytest.mark.parametrize("kind", SUMS)
def test_values_density_sums_to_the_loss(kind):
    prob, image = drawn(shape=(9, 7))
    density = energy_density(prob, image, kind, **BANDS)
    assert density.shape == (2, 9, 7) and (density >= 0).all()
    expected = pairwise_loss(prob, image, kind, **BANDS)
    torch.testing.assert_close(density.sum((1, 2)).mean(), expected)


def test_values_density_sits_on_the_edge():
    prob = torch.zeros(1, 2, 6, 8)
    prob[:, 0, :, :4], prob[:, 1, :, 4:] = 1, 1
    density = energy_density(prob, torch.zeros(1, 1, 6, 8), "potts", "grid")[0]
    assert (density[:, 3:5] > 0).all() and density[:, :3].sum() + density[:, 5:].sum() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_equivalence_random_partners_tend_to_dense(kind):
    prob, image = drawn(n=1, shape=(6, 7))
    expected = by_definition(prob[0], image[0], kind)
    seeded = torch.Generator().manual_seed(0)
    loss = pairwise.sampled_pairwise_loss(prob, image, kind, 4000, **BANDS, generator=seeded)
    assert loss.item() == pytest.approx(expected, rel=0.01)


def test_shapes():
    prob, image = drawn(k=4, shape=(3, 5, 4))
    for name in ("grid", "dilated"):
        assert pairwise_loss(prob, image, "potts", name).shape == ()
    assert pairwise.sampled_pairwise_loss(prob, image, partners=1).shape == ()
    p, q = pairwise.apart(image, (0, 2, -1))
    assert p.shape == q.shape == (2, 1, 3, 3, 3)
    assert torch.equal(p[..., :-1, :], image[:, :, :, :2, 1:])
    assert torch.equal(q[..., :-1, :], image[:, :, :, 2:4, :-1])


def test_shapes_smaller_than_a_shift():
    prob, image = drawn(shape=(3, 3))
    near = [shift for shift in stencil("dilated") if max(map(abs, shift)) < 3]
    expected = pairwise_loss(prob, image, "potts", near)
    torch.testing.assert_close(pairwise_loss(prob, image, "potts", "dilated"), expected)


def test_values_stencils_name_each_pair_once():
    for name, dims in (("grid", 2), ("dilated", 2), ("window", 2), ("grid", 3), ("dilated", 3)):
        shifts = stencil(name, dims, 4)
        opposite = {tuple(-step for step in shift) for shift in shifts}
        assert len(set(shifts)) == len(shifts) and not opposite & set(shifts)
    assert len(stencil("window", 2, 4)) == (9**2 - 1) // 2


def test_values_bandwidth_from_noise():
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.normal(0, 0.1, (1, 1, 80, 80)))
    # |difference| of two normals: median 0.6745 * sqrt(2) * sigma
    expected = 1.5 * 0.6745 * math.sqrt(2) * 0.1
    assert pairwise.intensity_bandwidth(noise) == pytest.approx(expected, rel=0.05)


def test_errors():
    prob, image = drawn()
    with pytest.raises(LimsupError, match="softmax"):
        pairwise_loss(torch.randn(2, 3, 5, 6), image)
    with pytest.raises(LimsupError, match="same pixels"):
        pairwise_loss(prob, image[:, :, 1:])
    with pytest.raises(LimsupError, match="kind"):
        pairwise_loss(prob, image, "laplace")
    with pytest.raises(LimsupError, match="stencil"):
        pairwise_loss(prob, image, stencil="full")
    with pytest.raises(LimsupError, match="bandwidths"):
        pairwise_loss(prob, image, sigma_i=0)
    with pytest.raises(LimsupError, match="density"):
        energy_density(prob, image, "normalised_cut")
    with pytest.raises(LimsupError, match="reach"):
        stencil("window", reach=0)
