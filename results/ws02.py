"""What a pairwise loss adds to scribbles: ``python results/ws02.py`` writes ``results/ws02.json``.

Toy images, networks of one size, 100 steps on scribbles, 300 on dense labels. Balances are chosen
on a seed of their own (setting ``choice``) and then kept. One row per setting, seed and arm.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.segmentation import random_walker
from tqdm import tqdm

from limsup_chapters import ws02
from limsup_widgets.data.blobs import Toy, blobs
from limsup_widgets.data.supervision import supervise
from limsup_widgets.learn.losses import partial_cross_entropy
from limsup_widgets.learn.pairwise import intensity_bandwidth
from limsup_widgets.learn.weakly import Objective, posterior, tiny_net, train_weakly
from limsup_widgets.teach.results import write_result

TRAIN, TEST, STEPS, RATE = 6, 16, 100, 5e-3
DENSE_STEPS, LONG = 300, ", 300 steps"
"""Dense labels are mostly background: at 100 steps some networks still say nothing else."""
SEEDS, CHOICE_SEEDS = tuple(range(5)), (100,)
SETTINGS: dict[str, dict[str, Any]] = {
    "spots": {"size": 32, "distractors": 2, "noise": 0.1},
    "noisy": {"size": 32, "distractors": 0, "noise": 0.4},
}
PIXELS = 15
"""Scribbled pixels per class and image: 3 % of 32 × 32 for two classes."""
SHARES = {"0.4 %": 2, "1 %": 5, "10 %": 51}
BALANCES = (0.3, 1.0, 3.0)
CUTS = (3.0, 5.0, 10.0, 20.0, 30.0)
BETAS = (130.0, 2000.0, 8000.0)

Row = dict[str, float | int | str | None]
Codes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Case:
    """Training and test images of one seed, with scribbles for both."""

    train: Toy
    test: Toy
    labels: Codes
    test_labels: Codes
    sigma_i: float
    seed: int


def case(seed: int, setting: str = "spots", pixels: int = PIXELS) -> Case:
    """Images and scribbles; test scribbles serve the methods without a network only."""
    train = blobs(TRAIN, seed=seed, **SETTINGS[setting])
    test = blobs(TEST, seed=1000 + seed, **SETTINGS[setting])
    strokes = {"pixels": pixels, "strokes": 8 if pixels > PIXELS else 2}
    labels = supervise(train.masks, "scribble", 1e3, seed=seed, **strokes).labels
    test_labels = supervise(test.masks, "scribble", 1e3, seed=seed, **strokes).labels
    sigma_i = intensity_bandwidth(torch.as_tensor(train.images))
    return Case(train, test, labels, test_labels, sigma_i, seed)


def scores(predicted: NDArray[Any], truth: Codes) -> Row:
    """Dice of the object, pixels of all images pooled, and predicted over true area."""
    y, t = predicted == 2, truth == 2
    dice = 2 * (y & t).sum() / max(1, y.sum() + t.sum())
    return {"dice": round(float(dice), 4), "size": round(float(y.sum() / t.sum()), 3)}


def fitted(
    c: Case, objective: Objective, dense: Codes | None = None, long: bool = False
) -> torch.nn.Module:
    """The network of a case after training on its scribbles, or longer on dense labels."""
    return train_weakly(
        tiny_net(c.seed),
        c.train.images,
        c.labels if dense is None else dense,
        objective,
        steps=DENSE_STEPS if long or dense is not None else STEPS,
        lr=RATE,
        seed=c.seed,
    )


@lru_cache(maxsize=1)
def scribbled(c: Case) -> torch.nn.Module:
    """The network trained on scribbles alone."""
    return fitted(c, ws02.regularised())


def of_network(c: Case, network: torch.nn.Module) -> Row:
    """Scores on the test images."""
    return scores(posterior(network, c.test.images).argmax(1) + 1, c.test.masks)


def entropy(s: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Mean Shannon entropy, with the signature of the pairwise terms."""
    return -(s * s.clamp_min(1e-9).log()).sum(1).mean()


def term(name: str, c: Case) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The regulariser of an arm as a function of softmax and image."""
    bands = {"sigma_i": c.sigma_i}
    dense = partial(ws02.pairwise, cost=ws02.potts, **bands)
    if name == "quadratic + entropy":
        smooth = partial(ws02.pairwise, cost=ws02.quadratic, **bands)
        return lambda s, image: smooth(s, image) + entropy(s, image)
    return {
        "potts": dense,
        "potts, grid": partial(dense, shifts=ws02.GRID),
        "potts, image ignored": partial(dense, sigma_i=math.inf),
        "quadratic": partial(dense, cost=ws02.quadratic),
        "normalised cut": partial(ws02.normalised_cut, **bands),
        "entropy": entropy,
    }[name]


TUNED = ("potts", "potts, image ignored", "quadratic", "normalised cut", "entropy")
SAME_AS = {
    "quadratic + entropy": "quadratic",
    "potts, grid": "potts",
    "pCE, 300 steps": "pCE",
    "potts, 300 steps": "potts",
    "potts, image ignored, 300 steps": "potts, image ignored",
}


def train_arm(c: Case, arm: str, balance: float = 0.0) -> Row:
    """One trained arm of a case."""
    if arm == "full":
        return of_network(c, fitted(c, ws02.regularised(), c.train.masks))
    if arm == "pCE, true proportions":
        return of_network(c, fitted(c, proportioned(float((c.train.masks == 2).mean()))))
    if arm == "pCE":
        return of_network(c, scribbled(c))
    name, long = arm.removesuffix(LONG), arm.endswith(LONG)
    made = ws02.regularised() if name == "pCE" else ws02.regularised(term(name, c), balance)
    return of_network(c, fitted(c, made, long=long))


def proportioned(share: float) -> Objective:
    """Partial cross-entropy whose classes weigh as much as they cover, not as was scribbled."""

    def objective(logits: torch.Tensor, batch: Any) -> torch.Tensor:
        weights = torch.where(batch.targets == 1, share, 1 - share)
        return partial_cross_entropy(logits, batch.targets, weights)

    return objective


def walk(image: NDArray[Any], labels: Codes, beta: float) -> Codes:
    """scikit-image's random walker, codes 1 and 2."""
    return np.asarray(random_walker(image.astype(float), labels, beta=beta, mode="bf"), np.uint8)


def cut(image: NDArray[Any], labels: Codes, shifts: Any, sigma_i: float, balance: float) -> Codes:
    """Graph cut of one image with the colours of its own scribbles, codes 1 and 2."""
    W = ws02.balanced(ws02.weight_matrix(image, shifts, sigma_i=sigma_i), balance)
    y = ws02.graph_cut(ws02.colour_cost(image, labels), W)
    return np.asarray(1 + y.reshape(image.shape), np.uint8)


def per_image(solve: Callable[..., Codes], toy: Toy, labels: Codes, *args: Any) -> Codes:
    """A solver without a network on every image."""
    return np.stack([solve(x[0], y, *args) for x, y in zip(toy.images, labels, strict=True)])


def best(rows: list[Row], arm: str) -> float:
    """The setting of an arm with the highest mean Dice over the seeds of choice."""
    mine = [r for r in rows if r["arm"] == arm]
    values = sorted({float(r["balance"] or 0) for r in mine})
    means = [np.mean([float(r["dice"] or 0) for r in mine if r["balance"] == v]) for v in values]
    return values[int(np.argmax(means))]


def choose() -> list[Row]:
    """Balances of every arm, tried on seeds that no other setting uses."""
    rows: list[Row] = []
    for seed in tqdm(CHOICE_SEEDS, "choice"):
        c = case(seed)
        head = {"setting": "choice", "seed": seed}
        for arm in TUNED:
            for b in BALANCES:
                rows.append({**head, "arm": arm, "balance": b, **train_arm(c, arm, b)})
        for arm, shifts in (("cut, grid", ws02.GRID), ("cut, dilated", ws02.DILATED)):
            for b in CUTS:
                y = per_image(cut, c.test, c.test_labels, shifts, c.sigma_i, b)
                rows.append({**head, "arm": arm, "balance": b, **scores(y, c.test.masks)})
        for b in BETAS:
            y = per_image(walk, c.test, c.test_labels, b)
            found = {"arm": "random walker", "balance": b, **scores(y, c.test.masks)}
            rows.append({**head, **found})
    return rows


def without_network(c: Case, chosen: dict[str, float]) -> dict[str, Row]:
    """What scribbles on the test images themselves give, and a threshold that needs none."""
    shifts = {"cut, grid": ws02.GRID, "cut, dilated": ws02.DILATED}
    found = {
        arm: per_image(cut, c.test, c.test_labels, s, c.sigma_i, chosen[arm])
        for arm, s in shifts.items()
    }
    found["random walker"] = per_image(walk, c.test, c.test_labels, chosen["random walker"])
    grey = [c.train.images[:, 0][c.labels == code].mean() for code in (1, 2)]
    found["threshold"] = 1 + (c.test.images[:, 0] > np.mean(grey))
    return {arm: scores(y, c.test.masks) for arm, y in found.items()}


def other_ways(c: Case, chosen: dict[str, float]) -> dict[str, Row]:
    """Frozen proposals, alternation and post-processing: the same prior in three other places."""
    walked = per_image(walk, c.train, c.labels, chosen["random walker"])
    balance = chosen["cut, dilated"]
    cuts = per_image(cut, c.train, c.labels, ws02.DILATED, c.sigma_i, balance)
    plain = ws02.regularised()

    def matrices(toy: Toy) -> list[Any]:
        made = (ws02.weight_matrix(x[0], sigma_i=c.sigma_i) for x in toy.images)
        return [ws02.balanced(W, 1.0) for W in made]

    nothing = np.zeros_like(c.test.masks)
    trio = zip(c.test.images, nothing, matrices(c.test), strict=True)
    after = np.stack([ws02.cut_of_network(scribbled(c), *each) for each in trio])
    turns = ws02.alternate(
        tiny_net(c.seed),
        c.train.images,
        c.labels,
        matrices(c.train),
        steps=STEPS,
        lr=RATE,
        seed=c.seed,
    )
    return {
        "walker's own masks": scores(walked, c.train.masks),
        "cut's own masks": scores(cuts, c.train.masks),
        "proposals of the walker": of_network(c, fitted(c, plain, walked)),
        "proposals of the cut": of_network(c, fitted(c, plain, cuts)),
        "pCE, cut afterwards": scores(after, c.test.masks),
        "alternation": of_network(c, turns),
    }


def rows_of(setting: str, seed: int, chosen: dict[str, float]) -> list[Row]:
    """All arms of one setting and seed."""
    share = setting if setting in SHARES else "3 %"
    images = "spots" if setting in SHARES else setting
    c = case(seed, images, SHARES.get(setting, PIXELS))
    arms = ["pCE", "potts"]
    if setting in SETTINGS:
        arms += ["potts, image ignored"]
    if setting == "spots":
        arms += ["full", "pCE, true proportions", "quadratic", "normalised cut", "entropy"]
        arms += list(SAME_AS)
    rows: list[Row] = []
    for arm in arms:
        balance = chosen.get(SAME_AS.get(arm, arm), 0.0)
        rows.append({"arm": arm, "balance": balance, **train_arm(c, arm, balance)})
    if setting == "spots":
        more = {**without_network(c, chosen), **other_ways(c, chosen)}
        rows += [{"arm": a, "balance": chosen.get(a, 0.0), **found} for a, found in more.items()]
    return [{"setting": images, "share": share, "seed": seed, **row} for row in rows]


def study() -> None:
    """Choose, measure, write."""
    torch.set_num_threads(1)
    start = time.process_time()
    choice = choose()
    arms = dict.fromkeys(str(r["arm"]) for r in choice)
    chosen = {arm: best(choice, arm) for arm in arms}
    print(chosen, flush=True)
    rows = [{"setting": "choice", "share": "3 %", **row} for row in choice]
    jobs = [(setting, seed) for setting in (*SETTINGS, *SHARES) for seed in SEEDS]
    for setting, seed in tqdm(jobs):
        found = rows_of(setting, seed, chosen)
        tqdm.write(f"{setting} {seed}: " + ", ".join(f"{r['arm']} {r['dice']}" for r in found))
        rows += found
    cpu = time.process_time() - start
    seeds = [*SEEDS, *CHOICE_SEEDS]
    write_result("ws02", rows, command="python results/ws02.py", seeds=seeds, cpu_seconds=cpu)


if __name__ == "__main__":
    study()
