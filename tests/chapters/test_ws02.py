"""Chapter ws02: its method against the package and closed forms, and faults that must show."""

import math

import numpy as np
import pytest
import torch
from chapters.sabotage import broken, claim_words

from limsup_chapters import ws02
from limsup_widgets.data.blobs import blobs
from limsup_widgets.data.supervision import supervise
from limsup_widgets.learn.pairwise import apart, edge_weights, pairwise_loss
from limsup_widgets.learn.weakly import Batch, tiny_net

COSTS = ("quadratic", "potts", "gini")


def drawn(seed=0, k=3, shape=(12, 13)):
    rng = np.random.default_rng(seed)
    s = torch.from_numpy(rng.dirichlet(np.ones(k), (2, *shape))).movedim(-1, 1)
    return s.contiguous(), torch.from_numpy(rng.uniform(0, 1, (2, 1, *shape)))


def scribbled(n=1):
    toy = blobs(n, seed=3, size=24)
    labels = supervise(toy.masks, "scribble", minutes=100, seed=0, pixels=12).labels
    return toy.images[:, 0], labels, toy.masks


def views_are_the_packaged_ones(module):
    _, x = drawn()
    assert module.GRID and len(module.DILATED) == 16
    for shift in module.DILATED:
        for ours, theirs in zip(module.apart(x, shift), apart(x, shift), strict=True):
            assert torch.equal(ours, theirs)


def weights_are_the_packaged_ones(module):
    _, x = drawn()
    x.requires_grad_()
    ours = module.edge_weights(x, (2, -1), 3.0, 0.2)
    torch.testing.assert_close(ours, edge_weights(x, (2, -1), 3.0, 0.2))
    assert not ours.requires_grad


def energies_are_the_packaged_ones(module):
    s, x = drawn()
    for name in COSTS:
        ours = module.pairwise(s, x, getattr(module, name))
        torch.testing.assert_close(ours, pairwise_loss(s, x, name, sigma_i=0.15))


def cut_is_the_packaged_one(module):
    s, x = drawn()
    expected = pairwise_loss(s, x, "normalised_cut", sigma_i=0.15)
    torch.testing.assert_close(module.normalised_cut(s, x), expected)


def the_matrix_gives_the_same_energy(module):
    s, x = drawn()
    W = module.weight_matrix(x[0, 0])
    assert abs(W - W.T).max() == 0 and W.diagonal().max() == 0
    vectors = s[0].reshape(3, -1).numpy()
    energy = sum(v @ W @ (1 - v) for v in vectors) / W.sum()
    loss = module.pairwise(s[:1], x[:1], module.potts)
    assert energy == pytest.approx(loss.item(), rel=1e-6)


def harmonic_is_a_mean_of_neighbours(module):
    images, labels, _ = scribbled()
    W = module.weight_matrix(images[0], module.GRID)
    s = module.harmonic(W, labels[0])
    free = labels[0].ravel() == 0
    for v in s.reshape(2, -1):
        np.testing.assert_allclose((W @ v / W.sum(1))[free], v[free], atol=1e-9)
    np.testing.assert_allclose(s.sum(0), 1)
    assert (s[1][labels[0] == 2] == 1).all() and (s[1][labels[0] == 1] == 0).all()


def on_a_chain_it_is_linear(module):
    W = module.weight_matrix(np.zeros((1, 5)), [(0, 1)], sigma_xy=math.inf)
    s = module.harmonic(W, np.array([[1, 0, 0, 0, 2]]))
    np.testing.assert_allclose(s[1], [[0, 0.25, 0.5, 0.75, 1]])


def the_cut_is_the_best_of_all(module):
    rng = np.random.default_rng(0)
    for _ in range(5):
        cost = rng.normal(size=(9, 2))
        W = module.balanced(module.weight_matrix(rng.uniform(size=(3, 3)), module.GRID), 0.7)
        every = [np.array(y) for y in np.ndindex(*[2] * 9)]
        best = min(module.energy_of(y, cost, W) for y in every)
        found = module.energy_of(module.graph_cut(cost, W), cost, W)
        assert found == pytest.approx(best, abs=2e-3)


def the_energy_is_the_loss(module):
    s, x = drawn(k=2)
    y = np.random.default_rng(1).integers(0, 2, s[0, 0].numel())
    W = module.balanced(module.weight_matrix(x[0, 0]), 0.8)
    energy = module.energy_of(y, np.zeros((y.size, 2)), W) / y.size
    one_hot = torch.from_numpy(np.eye(2)[y].T.reshape(1, 2, *s.shape[2:]))
    loss = module.pairwise(one_hot, x[:1], module.potts)
    assert energy == pytest.approx(0.8 * loss.item(), rel=1e-6)


def scribbles_are_held(module):
    images, labels, masks = scribbled()
    against = labels[0].copy()
    against[tuple(np.argwhere((masks[0] == 2) & (labels[0] == 0))[30])] = 1
    W = module.balanced(module.weight_matrix(images[0]), 5)
    y = 1 + module.graph_cut(module.colour_cost(images[0], against), W)
    known = against.ravel() > 0
    assert (y[known] == against.ravel()[known]).all()


def the_objective_starts_with_scribbles(module):
    s, x = drawn(k=2)
    targets = torch.zeros(2, *s.shape[2:], dtype=torch.long)
    calls = []

    def term(prob, image):
        calls.append((prob, image))
        return prob.sum() * 0 + 3.0

    objective = module.regularised(term, 0.5)
    early, late = (
        objective(s.log(), Batch(x, targets, torch.arange(2), progress)) for progress in (0.1, 0.2)
    )
    assert len(calls) == 1 and late - early == pytest.approx(1.5)
    torch.testing.assert_close(calls[0][0], s)


def alternation_trains_and_returns(module):
    images, labels, _ = scribbled(2)
    Ws = [module.balanced(module.weight_matrix(x), 1) for x in images]
    network = module.alternate(tiny_net(0), images[:, None], labels, Ws, rounds=1, steps=4)
    y = module.cut_of_network(network, images[:1], labels[0], Ws[0])
    assert y.shape == labels[0].shape and set(np.unique(y)) <= {1, 2}
    assert (y[labels[0] > 0] == labels[0][labels[0] > 0]).all()


CHECKS = (
    views_are_the_packaged_ones,
    weights_are_the_packaged_ones,
    energies_are_the_packaged_ones,
    cut_is_the_packaged_one,
    the_matrix_gives_the_same_energy,
    harmonic_is_a_mean_of_neighbours,
    on_a_chain_it_is_linear,
    the_cut_is_the_best_of_all,
    the_energy_is_the_loss,
    scribbles_are_held,
    the_objective_starts_with_scribbles,
    alternation_trains_and_returns,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_values(check):
    check(ws02)


FAULTS = {
    "left steps go right": ("max(-right, 0) :", "max(right, 0) :", views_are_the_packaged_ones),
    "one distance missing": ("(1, 2, 4, 8)", "(1, 2, 4)", views_are_the_packaged_ones),
    "weights of one half": ("2 * sigma_i**2)", "sigma_i**2)", weights_are_the_packaged_ones),
    "weights learn": (").detach()", ")", weights_are_the_packaged_ones),
    "no half": (
        "(p - q).square().sum(1) / 2\n",
        "(p - q).square().sum(1)\n",
        energies_are_the_packaged_ones,
    ),
    "sign of Potts": (
        "return 1 - (p * q).sum(1)",
        "return (p * q).sum(1) - 1",
        energies_are_the_packaged_ones,
    ),
    "sum, not mean": ("(energy / total).mean()", "energy.mean()", energies_are_the_packaged_ones),
    "one side of the cut": (
        "(p * (1 - q) + q * (1 - p))",
        "(2 * p * (1 - q))",
        cut_is_the_packaged_one,
    ),
    "half a matrix": ("(upper + upper.T)", "(upper + upper)", the_matrix_gives_the_same_energy),
    "plus for minus": (
        "diags_array(W.sum(1)) - W",
        "diags_array(W.sum(1)) + W",
        on_a_chain_it_is_linear,
    ),
    "classes exchanged": (
        "np.maximum(gap, 0), np.maximum(-gap, 0)",
        "np.maximum(-gap, 0), np.maximum(gap, 0)",
        the_cut_is_the_best_of_all,
    ),
    "pairs forgotten": ("np.r_[pairs.data, ", "np.r_[0 * pairs.data, ", the_cut_is_the_best_of_all),
    "twice the balance": (
        "balance * 2 * W.shape[0]",
        "balance * 4 * W.shape[0]",
        the_energy_is_the_loss,
    ),
    "scribbles let go": ("cost[y == k + 1, 1 - k] += hold", "pass", scribbles_are_held),
    "no start": ("batch.progress < start", "False", the_objective_starts_with_scribbles),
    "balance lost": ("loss + balance * term", "loss + term", the_objective_starts_with_scribbles),
}


@pytest.mark.parametrize(("old", "new", "check"), FAULTS.values(), ids=FAULTS)
def test_values_a_fault_is_seen(old, new, check):
    module = broken("ws02", old, new)
    with pytest.raises(AssertionError):
        check(module)


IDENTITY = "Potts = quadratic + Gini, value and gradient"
GREY = "all grey: quadratic 0, Potts 1/2, cut 1"
EDGES = "edges help the exact solver"
WALKER = "the harmonic solution is the random walker"


@pytest.fixture(scope="module")
def healthy():
    return claim_words("ws02")


def test_values_words(healthy):
    assert healthy["the slide's sum is exactly Potts"] == "does not hold"
    assert {w for name, w in healthy.items() if "exactly Potts" not in name} == {"holds"}


@pytest.mark.parametrize(
    ("old", "new", "falls"),
    [
        ("return 1 - (p * q).sum(1)", "return (p * q).sum(1) - 1", {IDENTITY, GREY}),
        ("square().sum(1) / 2\n", "square().sum(1)\n", {IDENTITY}),
        ("-near - (p - q).square().sum(1)", "-near - 0 * (p - q).square().sum(1)", {EDGES, WALKER}),
    ],
    ids=["sign flipped", "factor dropped", "weights ignored"],
)
def test_sabotage(healthy, old, new, falls):
    words = claim_words("ws02", {old: new})
    fallen = {name for name, word in words.items() if word != healthy[name]}
    assert falls <= fallen
    assert all(words[name] != "holds" for name in falls)
