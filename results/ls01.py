"""The gap between controls and patients: ``python results/ls01.py`` writes ``results/ls01.json``.

Trains U0 with three seeds on 4 and on 11 controls, and one with colour augmentation, and tests
each network on new controls, on the patients and on patients with one dial of the shift at a time.
One row per network and subject.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from limsup_widgets.data.kidney import CLASSES, DIALS, Subject, fresh_controls, kidney_cohort
from limsup_widgets.learn.biomarker import area_fractions
from limsup_widgets.learn.infer import codes, predict
from limsup_widgets.learn.metrics import dice_per_class
from limsup_widgets.learn.recipe import COHORT_SEED, HELD_OUT_SEED, control_pairs
from limsup_widgets.learn.train import train_u0
from limsup_widgets.teach.results import write_result

SEEDS = (0, 1, 2)
NETWORKS = ((4, False), (11, False), (11, True))
SEVERITY = 0.6
DIAL_PATIENTS = 10
PARTIAL = Path(__file__).with_name("ls01.partial.jsonl")

Row = dict[str, float | int | str | bool | None]


def groups(all_dials: bool) -> Iterator[tuple[str, Subject, range]]:
    """(name of the group, subject, images to test on)."""
    for subject in fresh_controls(HELD_OUT_SEED):
        yield "controls", subject, range(subject.n_images)
    for subject in kidney_cohort(COHORT_SEED).patients:
        yield "patients", subject, subject.test
    if all_dials:
        chosen: list[tuple[str, tuple[str, ...]]] = [(d, (d,)) for d in DIALS]
        for name, dials in [("no dial", ()), *chosen, ("all dials", DIALS)]:
            cohort = kidney_cohort(COHORT_SEED, 0, DIAL_PATIENTS, dials=dials, severity=SEVERITY)
            for subject in cohort.patients:
                yield name, subject, subject.test


def rows(controls: int, colour: bool, seed: int) -> list[Row]:
    """Train one network and test it on every group."""
    torch.set_num_threads(1)
    start = time.process_time()
    network, normalizer = train_u0(control_pairs(controls=controls), seed=seed, colour=colour)
    found: list[Row] = []
    for group, subject, images in groups(all_dials=controls == 11 and not colour):
        predicted = [codes(predict(network, normalizer(subject.image(i)))) for i in images]
        truths = [subject.truth(i) for i in images]
        dice = dice_per_class(predicted, truths, len(CLASSES))
        area = [np.mean([area_fractions(c, 4)[0] for c in many]) for many in (predicted, truths)]
        row: Row = {"controls": controls, "colour": colour, "seed": seed, "group": group}
        row |= {"subject": subject.id, "mean": round(float(np.nanmean(dice)), 4)}
        row |= {c: None if np.isnan(d) else round(float(d), 4) for c, d in zip(CLASSES, dice, strict=True)}  # fmt: skip # noqa: E501
        row |= {"area": round(float(area[0]), 4), "true area": round(float(area[1]), 4)}
        found.append(row)
    found[0]["cpu_seconds"] = round(time.process_time() - start, 1)
    return found


def study(processes: int = 2) -> None:
    """Train what is missing, then write the result."""
    lines = PARTIAL.read_text().splitlines() if PARTIAL.exists() else []
    done = [json.loads(line) for line in lines]
    have = {(r["controls"], r["colour"], r["seed"]) for r in done}
    wanted = [(n, c, s) for n, c in NETWORKS for s in (SEEDS[:1] if c else SEEDS)]
    jobs = [job for job in wanted if job not in have]
    with ProcessPoolExecutor(processes) as pool, PARTIAL.open("a") as out:
        for new in tqdm(pool.map(rows, *zip(*jobs, strict=True)), total=len(jobs)):
            out.write("".join(json.dumps(r) + "\n" for r in new))
            out.flush()
            done += new
    cpu = sum(r.pop("cpu_seconds", 0.0) for r in done)
    command = "python results/ls01.py"
    write_result("ls01", done, command=command, seeds=[*SEEDS, COHORT_SEED, HELD_OUT_SEED], cpu_seconds=cpu)  # fmt: skip # noqa: E501
    PARTIAL.unlink()


if __name__ == "__main__":
    study(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
