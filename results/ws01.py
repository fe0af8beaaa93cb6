"""Forms of labels at equal time: ``python results/ws01.py [PROCESSES] [--resume]``.

Writes ``results/ws01.json``. Chapter ws01 has the arms; here they run for every form, budget and
seed. Rows of the experiment "budget" compare forms; "placement", "diversity" and "prior" hold one
thing fixed and turn another. With ``--resume``, rows that the file has are kept.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from limsup_chapters import ws01
from limsup_widgets.data.blobs import Toy
from limsup_widgets.data.supervision import Supervision, supervise
from limsup_widgets.learn.weakly import dice_of
from limsup_widgets.teach.results import stored_result, write_result

SEEDS, MORE_SEEDS = range(5), range(5, 10)
CLOSE = {
    ("full supervision", "dense"): (4, 16, 160),
    ("full + augmentation", "dense"): (16,),
    ("partial CE", "scribble"): (4, 16),
    ("partial CE", "point"): (4, 16),
    ("box + tightness", "box"): (4, 16, 160),
}
"""Arms whose differences need more seeds than five, and at which budgets."""
MINUTES = (4, 16, 64, 160)
ARMS = {
    ("full supervision", "dense"): MINUTES,
    ("full + augmentation", "dense"): (16, 160),
    ("partial CE", "scribble"): MINUTES,
    ("partial CE", "point"): MINUTES,
    ("box + tightness", "box"): MINUTES,
    ("box + tightness", "extreme"): MINUTES,
    ("box filled", "box"): (16,),
    ("tag, at least 1 pixel", "tag"): MINUTES,
}
"""Method and kind of label, and the budgets at which they run."""
ONE_STROKE = {"strokes": 1, "length": 10}
EQUAL = {"strokes": 3, "length": 10, "width": 1.0, "pixels": 5}

Row = dict[str, float | int | str]
Job = dict[str, Any]


@lru_cache(maxsize=2)
def cohort(seed: int, hetero: float, empty: float, hole: bool) -> tuple[Toy, Toy]:
    """As in the chapter, kept for the next job."""
    return ws01.cohort(seed, hetero, empty, hole)


def options(kind: str) -> dict[str, Any]:
    """How the annotator of the chapter draws."""
    return ONE_STROKE if kind == "scribble" else {}


def row(job: Job, seen: Supervision, dice: float, **more: Any) -> Row:
    """What every row says."""
    said = {
        "experiment": job["experiment"],
        "method": job["method"],
        "kind": job["kind"],
        "minutes": job["minutes"],
        "unlabelled": 0,
        "noise": 0.0,
        "seed": job["seed"],
        "setting": job["setting"],
        "images": len(seen.labelled),
        "spent": round(seen.minutes, 3),
        "pixels": int((seen.labels[seen.labelled] > 0).sum()),
    }
    return said | more | {"dice": round(dice, 4)}


def run(job: Job) -> tuple[Row, float]:
    """One job and its CPU seconds."""
    torch.set_num_threads(1)
    start = time.process_time()
    train, test = cohort(job["seed"], job["hetero"], job["empty"], job["hole"])
    seen = supervise(train.masks, job["kind"], job["minutes"], seed=job["seed"], **job["options"])
    if job["experiment"] == "diversity":
        seen = spread(train, job["setting"], job["seed"])
    bounds, weight = job["prior"]
    with weighted(job["method"], weight):
        network = ws01.train_arm(job["method"], train, seen, job["seed"], bounds)
    made = row(job, seen, dice_of(network, test.images, test.masks))
    return made, time.process_time() - start


class weighted:
    """Inside, the size term of the chapter counts so many times."""

    def __init__(self, method: str, weight: float) -> None:
        self.method, self.weight, self.kept = method, weight, ws01.ARMS[method]

    def __enter__(self) -> None:
        loss, term = self.kept
        if self.weight != 1:
            ws01.ARMS[self.method] = loss, lambda *a: self.weight * term(*a)

    def __exit__(self, *error: object) -> None:
        ws01.ARMS[self.method] = self.kept


def spread(train: Toy, setting: str, seed: int) -> Supervision:
    """About as many pixels either as three whole masks or thinly over 96 images."""
    whole = supervise(train.masks, "dense", 1e4, seed=seed)
    if setting.endswith("3 masks"):
        holds = [i for i in whole.labelled if (train.masks[i] == 2).any()]
        return replace(whole, labelled=np.array(holds[:3]))
    keep = np.random.default_rng(seed).random(train.masks.shape) < 3 / 96
    return replace(whole, labels=np.where(keep, whole.labels, 0), labelled=whole.labelled[:96])


def jobs() -> Iterator[Job]:
    """Every row of the study; budgets that buy the same labels are run once."""
    usual = {"hetero": 0.15, "empty": 0.2, "hole": False, "prior": (ws01.BOUNDS, 1)}
    for seed in (*SEEDS, *MORE_SEEDS):
        for (method, kind), budgets in (ARMS if seed in SEEDS else CLOSE).items():
            arm = {"method": method, "kind": kind, "options": options(kind), "setting": ""}
            for minutes in budgets:
                yield usual | arm | {"experiment": "budget", "seed": seed, "minutes": minutes}
    plain = usual | {"method": "partial CE", "kind": "scribble", "minutes": 16, "options": {}}
    for seed in SEEDS:
        for hole in (False, True):
            for place in ("anywhere", "centre", "border"):
                drawn = EQUAL | {"placement": place}
                setting = f"{'dark core' if hole else 'even'}, {place}"
                yield plain | {"experiment": "placement", "seed": seed, "options": drawn,
                               "hole": hole, "empty": 0.0, "setting": setting}  # fmt: skip
    for seed in (*SEEDS, *MORE_SEEDS):
        for hetero in (0.0, 0.15):
            for what in ("3 masks", "96 images"):
                setting = f"{'images differ' if hetero else 'images alike'}, {what}"
                yield plain | {"experiment": "diversity", "seed": seed, "hetero": hetero,
                               "kind": "dense", "setting": setting}  # fmt: skip
    for seed in SEEDS:
        for times in (1, 2):
            for weight in (1, 5):
                bounds = tuple(times * b for b in ws01.BOUNDS)
                yield plain | {"experiment": "prior", "seed": seed, "kind": "point", "minutes": 4,
                               "method": "partial CE + size", "prior": (bounds, weight),
                               "setting": f"bounds times {times}, weight {weight}"}  # fmt: skip


def key(job: Job) -> tuple[Any, ...]:
    """Jobs with one key train one network: more minutes than images to label change nothing."""
    rest = [str(value) for part, value in sorted(job.items()) if part != "minutes"]
    if job["experiment"] != "budget":
        return tuple(rest)
    train, _ = cohort(job["seed"], job["hetero"], job["empty"], job["hole"])
    seen = supervise(train.masks, job["kind"], job["minutes"], seed=job["seed"], **job["options"])
    return (*rest, len(seen.labelled))


def name(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells a row, or the job that makes it, from all others."""
    return tuple(
        row[part] for part in ("experiment", "method", "kind", "minutes", "seed", "setting")
    )


def study(processes: int = 2, resume: bool = False) -> None:
    """Run each network once, then write a row for every budget that it answers for."""
    old = stored_result("ws01") if resume else None
    kept = {name(row): row for row in old.rows} if old else {}
    todo = [job for job in jobs() if name(job) not in kept]
    keys = [key(job) for job in tqdm(todo, desc="labels")]
    first = dict(zip(keys, todo, strict=True))
    with ProcessPoolExecutor(processes) as pool:
        found = tqdm(pool.map(run, first.values(), chunksize=4), total=len(first))
        done = dict(zip(first, found, strict=True))
    new = {
        name(j): {**done[k][0], "minutes": j["minutes"]} for k, j in zip(keys, todo, strict=True)
    }
    rows = [(kept | new)[name(job)] for job in jobs()]
    cpu = sum(seconds for _, seconds in done.values()) + (old.cpu_seconds if old else 0)
    seeds = [*SEEDS, *MORE_SEEDS]
    write_result("ws01", rows, command="python results/ws01.py", seeds=seeds, cpu_seconds=cpu)


if __name__ == "__main__":
    count = next((int(a) for a in sys.argv[1:] if a.isdigit()), 2)
    study(count, "--resume" in sys.argv[1:])
