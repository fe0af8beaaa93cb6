"""Ratios with more seeds and on images: ``python results/ws04.py``, one row a seed and arm.

Writes ``results/ws04.json``. ``clouds``: logistic regression on two clouds, every factor of the
ratio. ``where``: Dice of the most probable pixels, as many as the true size. ``revive``: steps
until a class that starts empty has half its share, ``CAP`` if it never does.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from limsup_chapters import ws04
from limsup_widgets.data.blobs import blobs
from limsup_widgets.data.supervision import supervise
from limsup_widgets.learn.losses import partial_cross_entropy
from limsup_widgets.learn.sizes import proportions, ratio_loss
from limsup_widgets.learn.weakly import Batch, dice_of, posterior, tiny_net, train_weakly
from limsup_widgets.teach.results import write_result

COMMAND = "python results/ws04.py"
FIRST, BLOCK, SEEDS = 1000, 30, range(8)
MORE = range(20)
FACTORS = (0.5, 0.8, 1.0, 1.25, 2.0, 3.0, 4.0)
CAP = 300
TOY = {"size": 32, "noise": 0.15}
STEPS, MINUTES = 80, 0.4
NO_LABEL = ("one ratio for all", "own ratios")
WITH_CLICKS = ("clicks", "clicks + own ratios")

Row = dict[str, float | int | str | None]


def terms(share: float) -> dict:
    """Arms of the clouds; a factor multiplies the true ratio."""
    ratio, own = ws04.ratio_term, ws04.shares(share)
    arms = {
        "labels only": None,
        "entropy": lambda s: 0.5 * ws04.doubt(s),
        "mutual information": ratio(ws04.shares(0.5), "mi"),
        "ratio without entropy": ratio(own, "forward", sure=False),
    }
    factors = FACTORS if share == 0.1 else (1.0,)
    return arms | {f"ratio × {f:g}": ratio(ws04.shares(share * f), "forward") for f in factors}


def clouds(share: float, seeds: range) -> list[Row]:
    """All arms of one block of seeds, which are trained side by side."""
    x, few, dense, test, truth = ws04.clouds(seeds, share)
    made = []
    for arm, term in (terms(share) | {"all labels": None}).items():
        w = ws04.fit(x, dense if arm == "all labels" else few, term)
        for seed, values in zip(seeds, zip(*ws04.scores(w, test, truth), strict=True), strict=True):
            made.append(_row("clouds", arm, seed, share, *values))
    return made


def _row(study: str, arm: str, seed: int, share: float, *values: float) -> Row:
    value, second, called = (round(float(v), 4) for v in values)
    head: Row = {"study": study, "arm": arm, "seed": seed, "share": round(share, 4)}
    return head | {"value": value, "second": second, "called": called}


def located(net: torch.nn.Module, images: np.ndarray, masks: np.ndarray) -> float:
    """Dice of the most probable pixels of each image, as many as its object has."""
    prob = posterior(net, images)[:, 1].reshape(len(images), -1)
    truth = (masks == 2).reshape(len(images), -1)
    sizes = truth.sum(1)
    hits = [t[np.argsort(-p)[:n]].sum() for p, t, n in zip(prob, truth, sizes, strict=True)]
    return float(np.sum(hits) / sizes.sum())


def where(seed: int, arm: str) -> Row:
    """Train on the sizes of all 24 images, on their mean, on a few clicks, or on both."""
    train, test = blobs(24, 1000 + seed, **TOY), blobs(20, 5000 + seed, **TOY)
    clicks = supervise(train.masks, "point", MINUTES, unlabelled=24, seed=seed)
    sizes = torch.from_numpy(supervise(train.masks, "size", 60, seed=seed).sizes).float()

    if arm == "one ratio for all":
        sizes = sizes.mean(0, keepdim=True).expand_as(sizes)

    def goal(z: Tensor, b: Batch) -> Tensor:
        size = ratio_loss(proportions(z)[:, 1], sizes[b.index, 1], "forward").mean()
        click = partial_cross_entropy(z, b.targets)
        if arm == "clicks":
            return click
        if arm == "clicks + own ratios":
            return click + (size if b.progress > 0.2 else 0)
        return size

    pool = () if arm == "clicks" else clicks.pool
    net = train_weakly(
        tiny_net(seed), train.images, clicks.labels, goal,
        labelled=clicks.labelled, pool=pool, steps=STEPS, seed=seed,
    )  # fmt: skip
    chance = float((test.masks == 2).mean())
    place, plain = located(net, test.images, test.masks), dice_of(net, test.images, test.masks)
    return _row("where", arm, seed, chance, place, plain, posterior(net, test.images)[:, 1].mean())


def revive(seed: int, kind: str, rule: str) -> Row:
    """Four images, no label, the object's bias at −6, the ratio alone."""
    toy, net = blobs(4, 1000 + seed, **TOY), tiny_net(seed)
    q, x = float((toy.masks == 2).mean()), torch.from_numpy(toy.images)
    with torch.no_grad():
        net.head.bias.copy_(torch.tensor([0.0, -6.0]))
    adam = rule == "Adam"
    make, lr = (torch.optim.Adam, 0.01) if adam else (torch.optim.SGD, 0.1)
    optimiser = make(net.parameters(), lr)
    step, p = 0, proportions(net(x), over="batch")[0, 1]
    while p <= q / 2 and step < CAP:
        optimiser.zero_grad()
        ratio_loss(p, q, kind).backward()
        optimiser.step()
        step, p = step + 1, proportions(net(x), over="batch")[0, 1]
    return _row("revive", f"{kind}, {rule}", seed, q, step, p.item(), p.item())


def main() -> None:
    """Run everything on one thread and write the result."""
    torch.set_num_threads(1)
    start, rows = time.process_time(), []
    for share, blocks in ((0.5, 4), (0.1, 2)):
        for k in range(blocks):
            first = FIRST + BLOCK * k
            rows += clouds(share, range(first, first + BLOCK))
    rows += [where(seed, arm) for arm in NO_LABEL for seed in MORE]
    for seed in SEEDS:
        rows += [where(seed, arm) for arm in WITH_CLICKS]
        pairs = [(kind, rule) for kind in ("forward", "l2", "reverse") for rule in ("SGD", "Adam")]
        rows += [revive(seed, kind, rule) for kind, rule in pairs]
        print(f"seed {seed} of {len(SEEDS)}", flush=True)
    seeds = [*range(FIRST, FIRST + 4 * BLOCK), *MORE]
    write_result(
        "ws04", rows, command=COMMAND, seeds=seeds, cpu_seconds=time.process_time() - start
    )


if __name__ == "__main__":
    main()
