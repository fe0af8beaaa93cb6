"""Chapter ws01: its losses in closed form and against the package, and faults that must show."""

from importlib import import_module

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from chapters.sabotage import broken, claim_words

from limsup_chapters import ws01
from limsup_widgets.data.supervision import supervise
from limsup_widgets.learn.losses import partial_cross_entropy
from limsup_widgets.resources import resource
from limsup_widgets.teach import stored_result


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 2, 9, 8, generator=generator, requires_grad=True)
    return logits, torch.randint(-1, 2, (2, 9, 8), generator=generator)


def box_of(rows=slice(2, 8), columns=slice(1, 9)):
    box = torch.zeros(1, 10, 10, dtype=torch.bool)
    box[0, rows, columns] = True
    return box


def masks():
    found = np.ones((3, 32, 32), np.uint8)
    found[0, 4:20, 6:25] = found[1, 10:14, 8:12] = 2
    return found


def partial_ce_is_the_packaged_one(module):
    logits, targets = batch()
    ours = module.partial_ce(logits, targets)
    torch.testing.assert_close(ours, partial_cross_entropy(logits, targets))
    torch.testing.assert_close(ours, F.cross_entropy(logits, targets, ignore_index=-1))
    assert module.partial_ce(logits, torch.full_like(targets, -1)).item() == 0


def unlabelled_pixels_have_no_slope(module):
    logits, targets = batch()
    for loss in (module.partial_ce, module.balanced_ce):
        slope = torch.autograd.grad(loss(logits, targets), logits)[0].abs().sum(1)
        assert (slope[targets < 0] == 0).all() and (slope[targets >= 0] > 0).all()


def balance_is_a_weight(module):
    logits, targets = batch()
    targets[:, :6][targets[:, :6] == 1] = -1
    counts = torch.stack([(targets == c).sum() for c in (0, 1)])
    weights = (1 / counts)[targets.clamp(min=0)] * (targets >= 0)
    expected = partial_cross_entropy(logits, targets, weights)
    torch.testing.assert_close(module.balanced_ce(logits, targets), expected)
    one = targets.where(targets == 0, -1)
    torch.testing.assert_close(module.balanced_ce(logits, one), module.partial_ce(logits, one))
    assert module.balanced_ce(logits, torch.full_like(targets, -1)).item() == 0


def at_least_is_a_wall(module):
    x = torch.tensor([0.1, 0.2, 0.4, 0.9], requires_grad=True)
    loss = module.at_least(x, 0.4)
    torch.testing.assert_close(loss.detach(), torch.tensor([4.0, 2.0, 1.0, 1.0]).log())
    slope = torch.autograd.grad(loss.sum(), x)[0]
    torch.testing.assert_close(slope[[0, 1, 3]], torch.tensor([-10.0, -5.0, 0.0]))


def means_are_over_the_condition(module):
    x, where = torch.tensor([1.0, 2.0, 6.0]), torch.tensor([True, False, True])
    assert module.mean_where(x, where) == 3.5
    assert module.mean_where(x, ~where & where) == 0


def tags_bound_the_sum(module):
    s = torch.full((2, 4, 4), 0.02)
    there, gone = torch.tensor([True, True]), torch.tensor([False, False])
    assert module.tag_loss(s, there).item() == pytest.approx(np.log(1 / 0.32), rel=1e-4)
    assert module.tag_loss(s, there, least=0.3).item() == 0
    assert module.tag_loss(s, gone).item() == pytest.approx(-np.log(0.98), rel=1e-3)
    assert module.tag_loss(0 * s, gone).item() == 0


def sizes_have_two_walls(module):
    there = torch.tensor([True])
    loss = [module.size_loss(torch.full((1, 5, 5), p), there, 0.2, 0.4).item() for p in (0.1, 0.3)]
    assert loss == pytest.approx([np.log(2), 0], abs=1e-5)
    high = module.size_loss(torch.full((1, 5, 5), 0.7), there, 0.2, 0.4).item()
    assert high == pytest.approx(np.log(2), rel=1e-4)
    assert module.size_loss(torch.full((1, 5, 5), 0.7), ~there, 0.2, 0.4).item() == 0


def boxes_become_maps(module):
    rows = (np.array([[2, 1, 2, 3, 5]]), None, np.zeros((0, 5), int))
    found = module.box_map(rows, (3, 6, 6))
    assert found[0, 1:3, 2:5].all() and found.sum() == 6


def strips_must_be_met(module):
    box = box_of()
    inner = torch.zeros(1, 10, 10)
    inner[0, 2:8, 4] = 1
    # Six whole rows are met by one column; of six windows of columns, three lie on it.
    rows_met = module.strip_loss(inner, box, width=1)
    torch.testing.assert_close(rows_met, torch.tensor(7 / 8 * np.log(1e6)).float())
    assert module.strip_loss(box.float(), box, width=3) == 0
    assert module.strip_loss(box.float() * 0, box & False, width=3) == 0
    assert module.strip_loss(torch.ones(1, 10, 10) - box.float(), box, width=1) > 20


def strips_have_their_width(module):
    box = box_of()
    # Rows hold 3 or 0 pixels, columns 6/8: windows of three rows hold 1 on average.
    three = torch.zeros(1, 10, 10)
    three[0, [3, 6], 1:9] = 3 / 8
    assert module.strip_loss(three, box, width=3).item() == pytest.approx(np.log(8 / 6), abs=1e-4)


def boxes_must_be_filled(module):
    box = box_of()
    half = box.float() * 0.25
    assert module.fill_loss(half, box).item() == pytest.approx(np.log(2), abs=1e-5)
    assert module.fill_loss(box.float() * 0.5, box).item() == pytest.approx(0, abs=1e-6)
    assert module.fill_loss(half, box & False).item() == 0
    assert module.fill_loss(torch.ones(1, 10, 10) - box.float(), box).item() > 10


def labels_read_the_annotator(module):
    truth = masks()
    for kind in ("box", "extreme"):
        seen = supervise(truth, kind, 60)
        codes = module.labels_of("box + tightness", seen)
        assert (codes[0] == 1).sum() == 32 * 32 - 16 * 19 and (codes[2] == 1).all()
        np.testing.assert_array_equal(codes[codes > 0], truth[codes > 0])
    seen = supervise(truth, "box", 60)
    np.testing.assert_array_equal(module.labels_of("box filled", seen), truth)
    few = supervise(truth, "extreme", 0.15, seed=1)
    rest = [i for i in range(3) if i not in few.labelled]
    assert not module.labels_of("box + tightness", few)[rest].any()


def augmentation_keeps_pixels_with_their_labels(module):
    codes = np.random.default_rng(0).integers(1, 3, (3, 8, 8)).astype(np.uint8)
    images = codes[:, None].astype(np.float32) * 2 - 3
    more, labels = module.augmented(images, codes, seed=1)
    assert more.shape == (18, 1, 8, 8) and labels.shape == (18, 8, 8)
    for x, y in zip(more, labels, strict=True):
        assert x[0][y == 2].min() > x[0][y == 1].max()
    assert len({float(x.max()) for x in more}) == 18


CHECKS = (
    partial_ce_is_the_packaged_one,
    unlabelled_pixels_have_no_slope,
    balance_is_a_weight,
    at_least_is_a_wall,
    means_are_over_the_condition,
    tags_bound_the_sum,
    sizes_have_two_walls,
    boxes_become_maps,
    strips_must_be_met,
    strips_have_their_width,
    boxes_must_be_filled,
    labels_read_the_annotator,
    augmentation_keeps_pixels_with_their_labels,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_values(check):
    check(ws01)


FAULTS = {
    "unlabelled is background": (
        "known = targets >= 0",
        "known = targets >= -1",
        unlabelled_pixels_have_no_slope,
    ),
    "mean over all pixels": (
        "known.sum().clamp(min=1)",
        "known.numel()",
        partial_ce_is_the_packaged_one,
    ),
    "no guard": (
        ".sum() / known.sum().clamp(min=1)",
        ".sum() / known.sum()",
        partial_ce_is_the_packaged_one,
    ),
    "classes summed": ("/ max(len(each), 1)", "/ 1", balance_is_a_weight),
    "wall turned round": ("(x / a).clamp", "(a / x).clamp", at_least_is_a_wall),
    "no wall": ("clamp(1e-6, 1)", "clamp(1e-6, 9)", at_least_is_a_wall),
    "mean over all": ("where.sum().clamp(min=1)", "where.numel()", means_are_over_the_condition),
    "tags exchanged": ("1.0), ~present)", "1.0), present)", tags_bound_the_sum),
    "no upper bound": ("at_least(1 - p, 1 - high)", "0", sizes_have_two_walls),
    "box one short": ("y0:y1, x0:x1", "y0:y1, x0 : x1 - 1", boxes_become_maps),
    "rows only": ("for axis in (1, 2):", "for axis in (2,):", strips_must_be_met),
    "outside counts": ("(s * inside).sum(axis)", "s.sum(axis)", strips_must_be_met),
    "width one": (
        "(s * inside).sum(axis), width, stride=1)",
        "(s * inside).sum(axis), 1, stride=1)[..., : 10 - width + 1]",
        strips_have_their_width,
    ),
    "share of the image": (
        "share = (s * inside).sum((1, 2)) / area.clamp(min=1)",
        "share = (s * inside).mean((1, 2))",
        boxes_must_be_filled,
    ),
    "outside forgotten": (
        "codes[seen.labelled] += outside[seen.labelled]",
        "codes[seen.labelled] += 0 * outside[seen.labelled]",
        labels_read_the_annotator,
    ),
    "unlabelled images get background": (
        "codes[seen.labelled] += outside[seen.labelled]",
        "codes += outside",
        labels_read_the_annotator,
    ),
    "labels not turned": (
        "labels.append(np.rot90(y, turns))",
        "labels.append(y)",
        augmentation_keeps_pixels_with_their_labels,
    ),
}


@pytest.mark.parametrize(("old", "new", "check"), FAULTS.values(), ids=FAULTS)
def test_values_a_fault_is_seen(old, new, check):
    with pytest.raises(AssertionError):
        check(broken("ws01", old, new))


def test_values_claims():
    words = claim_words("ws01")
    assert len(words) == 5 and set(words.values()) == {"holds"}


CLAIM_FAULTS = {
    "no slope at unlabelled pixels": ("known = targets >= 0", "known = targets >= -1"),
    "a mist without any object satisfies a tag": (
        "mean_where(at_least(total, least), present)",
        "mean_where(at_least(s.amax((1, 2)), least), present)",
    ),
    "a filled box satisfies the box terms as well as the truth": (
        "share = (s * inside).sum((1, 2)) / area.clamp(min=1)",
        "share = (s * inside).mean((1, 2))",
    ),
}


@pytest.mark.parametrize("name", CLAIM_FAULTS)
def test_values_a_fault_flips_its_claim(name):
    old, new = CLAIM_FAULTS[name]
    assert claim_words("ws01", faults={old: new})[name] == "does not hold"


def test_equivalence_arms_share_everything_else():
    toy, _ = ws01.cohort(0)
    seen = supervise(toy.masks, "scribble", 4)
    nets = [ws01.train_arm("partial CE", toy, seen, 3, steps=2) for _ in range(2)]
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("method", ws01.ARMS)
def test_shapes(method):
    kind = {"box + tightness": "extreme", "box filled": "box", "partial CE + size": "point"}
    kind = kind.get(method, "tag" if "tag" in method else "dense")
    toy, test = ws01.cohort(1)
    seen = supervise(toy.masks, kind, 8)
    network = ws01.train_arm(method, toy, seen, 0, steps=2)
    assert network(torch.from_numpy(test.images[:2])).shape == (2, 2, 32, 32)


def test_values_study_is_complete(monkeypatch):
    monkeypatch.syspath_prepend(str(resource("results")))
    jobs, stored = list(import_module("ws01").jobs()), stored_result("ws01")
    assert len(stored.rows) == len(jobs)
    assert {r["experiment"] for r in stored.rows} == {j["experiment"] for j in jobs}
    assert all(0 <= row["dice"] <= 1 for row in stored.rows)
