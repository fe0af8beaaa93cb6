"""Where the two dropouts sit: ``python results/placements.py`` writes ``results/placements.json``.

U0^D trained with each pair of places, one seed: Dice, error detection and what sharing the
prefix saves, in CPU seconds of interleaved runs. One row per pair and seed.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from limsup_widgets.data.kidney import fresh_controls, kidney_cohort
from limsup_widgets.learn.infer import codes
from limsup_widgets.learn.metrics import dice_per_class, mean_dice
from limsup_widgets.learn.moments import mc_moments
from limsup_widgets.learn.recipe import COHORT_SEED, DROPOUT, HELD_OUT_SEED, control_pairs
from limsup_widgets.learn.train import train_u0
from limsup_widgets.teach.results import write_result

PAIRS = (("bottleneck", "half"), ("quarter", "half"), ("half", "full"))
SEEDS = (0,)
PASSES = 20

Row = dict[str, float | int | str | None]


def row(pair: tuple[str, str], seed: int) -> Row:
    """Train one network, test it on controls and on ten patients, time its passes."""
    torch.set_num_threads(1)
    start = time.process_time()
    net, normalizer = train_u0(control_pairs(), DROPOUT, pair, seed=seed)
    found: Row = {"places": " + ".join(pair), "seed": seed}
    groups = {
        "controls": fresh_controls(HELD_OUT_SEED),
        "patients": kidney_cohort(COHORT_SEED).patients[:10],
    }
    for name, subjects in groups.items():
        dice, aurocs = [], []
        for s in subjects:
            images = s.test
            maps = [mc_moments(net, normalizer(s.image(i)), PASSES) for i in images]
            truths = [s.truth(i) for i in images]
            dice.append(mean_dice(dice_per_class([codes(m.mean) for m in maps], truths, 4)))
            wrong = np.stack([codes(m.mean) != t for m, t in zip(maps, truths, strict=True)])
            score = np.stack([m.kind("E") for m in maps])
            aurocs.append(roc_auc_score(wrong.ravel(), score.ravel()))
        found[f"dice {name}"] = round(float(np.mean(dice)), 4)
        found[f"auroc E {name}"] = round(float(np.mean(aurocs)), 4)
    x = normalizer(groups["controls"][0].image(0))
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(5):
        for shared in (True, False):
            tick = time.process_time()
            mc_moments(net, x, PASSES, shared=shared)
            seconds[shared].append(time.process_time() - tick)
    found["naive over shared"] = round(
        float(np.median(seconds[False]) / np.median(seconds[True])), 2
    )
    return found | {"cpu_seconds": round(time.process_time() - start, 1)}


def study(processes: int = 2) -> None:
    """Run every pair and seed, then write the result."""
    jobs = [(pair, seed) for seed in SEEDS for pair in PAIRS]
    with ProcessPoolExecutor(processes) as pool:
        done = list(tqdm(pool.map(row, *zip(*jobs, strict=True)), total=len(jobs)))
    cpu = sum(float(r["cpu_seconds"] or 0) for r in done)
    command = "python results/placements.py"
    write_result("placements", done, command=command, seeds=list(SEEDS), cpu_seconds=cpu)


if __name__ == "__main__":
    study(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
