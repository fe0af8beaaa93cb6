"""Size constraints, arm by arm: ``python results/ws06.py`` writes ``results/ws06.json``.

First every loss form meets every weight of its grid, under the same bounds. The weight with the
best mean Dice on validation images then serves all other arms: wrong sizes, common bounds, tags
with negative images, sizes predicted from five masks, and what does without a size.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from limsup_chapters import ws06
from limsup_widgets.data.supervision import supervise
from limsup_widgets.learn.weakly import partial_labels_only, tiny_net, train_weakly
from limsup_widgets.teach.results import write_result

SEEDS = range(5)
PIXELS = 48 * 48
GRID = {
    "pixel": {"squared": (0.1, 1000), "kl": (1, 10000), "barrier": (0.001, 10)},
    "tiny": {"squared": (0.001, 10), "kl": (0.1, 1000), "barrier": (0.001, 10)},
}
"""First and last weight; five are tried, a factor of ten apart."""
FACTORS = (0.5, 0.71, 1.0, 1.41, 2.0)
TOYS = {
    "plain": (20, {}),
    "distractor": (20, {"distractor": True}),
    "half empty": (40, {"empty": 0.5}),
}
NOTHING = "none"

Row = dict[str, float | int | str]
Job = tuple[str, str, str, str, float, float, int]
"""Network, toy, arm, loss, weight, factor on the size, seed."""


@lru_cache(maxsize=12)
def cohort(toy: str, net: str, seed: int) -> list[tuple[NDArray, NDArray, NDArray]]:
    """Training, validation and test set: images, what the network reads, masks."""
    n, options = TOYS[toy]
    sets = [ws06.disc_toy(k, seed + d, **options) for k, d in ((n, 0), (10, 2000), (20, 1000))]
    return [(x, ws06.blurred(x) if net == "pixel" else x, m) for x, m in sets]


def labels_of(arm: str, masks: NDArray, seed: int) -> NDArray:
    """The pixels that an arm may see, codes 0, 1, 2."""
    if arm == "full":
        return masks
    background = 5 if arm == "seeds + 5 background" else 0
    found = supervise(masks, "point", 60, seed=seed, per_object=3, background=background)
    labels = found.labels.copy()
    if arm == "size only":
        labels[:] = 0
    if arm == "negatives as background":
        absent = (masks != 2).all((1, 2))
        labels[absent] = 1
    if arm.startswith("five masks"):
        labels[:5] = masks[:5]
    return labels


def bounds_of(arm: str, images: NDArray, masks: NDArray, factor: float) -> tuple[NDArray, NDArray]:
    """Lower and upper bound of the object's share in every training image."""
    q = (masks == 2).mean((1, 2))
    one = np.ones(len(q))
    present, absent_bound = ws06.tag_bounds(q > 0, PIXELS)
    numbers = ws06.global_numbers(images)
    if arm == "equality":
        return factor * q, factor * q
    if "common" in arm:
        return q.min() * one, q.max() * one
    if "mean size" in arm:
        return 0.9 * q[:5].mean() * one, 1.1 * q[:5].mean() * one
    if "predicted" in arm:
        p = np.minimum(ws06.fit_sizes(numbers[:5], q[:5])(numbers), 0.5)
        return 0.9 * p, 1.1 * p
    if arm == "tag: present":
        return present, one
    if arm == "tag: absent":
        return 0 * one, absent_bound
    if arm == "tag: both":
        return present, absent_bound
    wide = 0.5 if "50" in arm else 0.1
    return (1 - wide) * q, (1 + wide) * q


def run(job: Job) -> tuple[Row, float]:
    """Train one arm and judge it on validation and test images."""
    torch.set_num_threads(1)
    start = time.process_time()
    net, toy, arm, loss, weight, factor, seed = job
    (raw, x, masks), validation, test = cohort(toy, net, seed)
    objective = partial_labels_only
    if loss != NOTHING:
        objective = ws06.size_objective(*bounds_of(arm, raw, masks, factor), loss, weight)
    made, steps, lr = (
        (ws06.PixelNet(seed), 200, 0.02) if net == "pixel" else (tiny_net(seed), 60, 0.01)
    )
    train_weakly(made, x, labels_of(arm, masks, seed), objective, steps=steps, lr=lr, seed=seed)
    head = {"net": net, "toy": toy, "arm": arm, "loss": loss, "weight": weight, "factor": factor}
    found = ws06.judge(made, *test[1:]) | {"validation": ws06.judge(made, *validation[1:])["dice"]}
    row = head | {"seed": seed} | {name: round(value, 4) for name, value in found.items()}
    return row, time.process_time() - start


def weights(net: str) -> dict[str, list[float]]:
    """The grid of each loss form."""
    return {k: np.geomspace(*ends, 5).round(6).tolist() for k, ends in GRID[net].items()}


def tuning(net: str, seeds: Iterable[int]) -> list[Job]:
    """All loss forms and weights, bounds of 10 % on either side."""
    return [
        (net, "plain", "±10 %", loss, weight, 1.0, seed)
        for loss, grid in weights(net).items()
        for weight in grid
        for seed in seeds
    ]


def best_weights(rows: list[Row], net: str) -> dict[str, float]:
    """Weight of each loss form with the highest mean Dice on validation images."""
    best = {}
    for loss, grid in weights(net).items():
        own = [r for r in rows if (r["net"], r["loss"]) == (net, loss)]
        means = [np.mean([r["validation"] for r in own if r["weight"] == w]) for w in grid]
        best[loss] = grid[int(np.argmax(means))]
    return best


def pixel_arms(best: dict[str, float]) -> list[Job]:
    """Every arm of the pixel network at the tuned weights."""
    plan = [(toy, arm, NOTHING, 1.0) for toy in ("plain", "distractor")
            for arm in ("full", "seeds", "seeds + 5 background", "five masks")]  # fmt: skip
    for toy in ("plain", "distractor"):
        plan += [(toy, "tag: present", "squared", 1.0), (toy, "size only", "squared", 1.0)]
        plan += [(toy, "size only", "barrier", 1.0)]
        plan += [(toy, arm, loss, 1.0) for arm in ("±50 %", "common bounds")
                 for loss in ("squared", "barrier")]  # fmt: skip
        sizes = ("predicted size", "mean size", "five masks, predicted size")
        plan += [(toy, arm, "barrier", 1.0) for arm in sizes]
    plan += [("distractor", "±10 %", loss, 1.0) for loss in GRID["pixel"]]
    plan += [("plain", "equality", loss, f) for loss in ("squared", "kl") for f in FACTORS]
    empty = "half empty"
    plan += [(empty, arm, NOTHING, 1.0) for arm in ("seeds", "negatives as background")]
    plan += [(empty, f"tag: {what}", "squared", 1.0) for what in ("present", "absent", "both")]
    plan += [(empty, "seeds + 5 background", NOTHING, 1.0)]
    return [("pixel", *p[:3], best.get(p[2], 0.0), p[3], s) for p in plan for s in SEEDS]


def tiny_arms(best: dict[str, float]) -> list[Job]:
    """A few arms of the convolutional network."""
    plan = [(arm, NOTHING, 1.0) for arm in ("full", "seeds", "seeds + 5 background")]
    plan += [("equality", "kl", f) for f in (0.5, 1.0, 2.0)]
    return [("tiny", "plain", a, k, best.get(k, 0.0), f, s) for a, k, f in plan for s in SEEDS]


def work(jobs: list[Job], processes: int) -> tuple[list[Row], float]:
    """Run jobs with a bar; rows in order, and their CPU seconds."""
    with ProcessPoolExecutor(processes) as pool:
        done = list(tqdm(pool.map(run, jobs, chunksize=4), total=len(jobs)))
    return [row for row, _ in done], sum(seconds for _, seconds in done)


def study(processes: int = 2) -> None:
    """Tune, choose the weights, run all other arms, write the result."""
    rows, cpu = work([*tuning("pixel", SEEDS), *tuning("tiny", SEEDS)], processes)
    best = {net: best_weights(rows, net) for net in ("pixel", "tiny")}
    more, again = work([*pixel_arms(best["pixel"]), *tiny_arms(best["tiny"])], processes)
    write_result(
        "ws06", [*rows, *more], command="python results/ws06.py", seeds=list(SEEDS),
        cpu_seconds=cpu + again,
    )  # fmt: skip


if __name__ == "__main__":
    study(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
