"""What dropout says, and what it is worth: ``python results/ls03.py`` writes ``results/ls03.json``.

For the patients of both cohorts and for new controls: uncertainty of U0^D before and after tuning,
how well each map finds errors, and the spread of the interstitial area over passes against the true
area. One row per subject, network and test image.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from limsup_widgets.data.kidney import CLASSES, Subject, fresh_controls, kidney_cohort
from limsup_widgets.learn.biomarker import area_fractions
from limsup_widgets.learn.infer import codes, predict
from limsup_widgets.learn.moments import moments_of, shared_passes
from limsup_widgets.learn.recipe import HELD_OUT_SEED
from limsup_widgets.learn.tune import fine_tune
from limsup_widgets.learn.unet import UNet
from limsup_widgets.learn.weights import load_u0
from limsup_widgets.teach.results import write_result

arms = import_module("ls02")
COHORTS = (5000, 7000)
PASSES = 20

Row = dict[str, float | int | str | None]


def auroc(score: NDArray[np.floating], wrong: NDArray[np.bool_]) -> float | None:
    """How well a map ``(H, W)`` ranks wrong pixels above right ones."""
    if not wrong.any() or wrong.all():
        return None
    return round(float(roc_auc_score(wrong.ravel(), score.ravel())), 4)


def measure(net: UNet, subject: Subject, image: int) -> Row:
    """Uncertainty, error detection and area of one test image."""
    x, truth = net.card.normalizer(subject.image(image)), subject.truth(image)
    stack = list(shared_passes(net, x, PASSES))
    moments = moments_of(iter(stack))
    plain = predict(net, x)
    wrong = codes(moments.mean) != truth
    areas = [float((p.argmax(0) == 0).double().mean()) for p in stack]
    low, high = np.quantile(areas, [0.05, 0.95])
    return {
        "error rate": round(float(wrong.mean()), 4),
        "A": round(float(moments.kind("A").mean()), 5),
        "E": round(float(moments.kind("E").mean()), 5),
        "auroc A": auroc(moments.kind("A"), wrong),
        "auroc E": auroc(moments.kind("E"), wrong),
        "auroc V": auroc(moments.kind("V"), wrong),
        "auroc Vdet": auroc((plain * (1 - plain)).sum(0), wrong),
        "area": round(float(np.mean(areas)), 5),
        "low": round(float(low), 5),
        "high": round(float(high), 5),
        "true area": round(float(area_fractions(truth, len(CLASSES))[0]), 5),
    }


def rows(cohort_seed: int, number: int) -> list[Row]:
    """One patient before and after tuning; ``number`` −1 stands for the new controls."""
    torch.set_num_threads(1)
    start = time.process_time()
    base = load_u0(dropout=True)
    if number < 0:
        jobs = [("U0D", base, s, i) for s in fresh_controls(HELD_OUT_SEED) for i in range(3)]
    else:
        subject = kidney_cohort(cohort_seed).patients[number]
        patient = arms.Patient(arms.cohort(cohort_seed), number)
        inputs = patient.inputs(base, subject.tune)
        weights = arms.moment_weights(patient, patient.main, "V")
        nets = {
            "U0D": base,
            "U0D flat": fine_tune(base, inputs, patient.main, arms.FLAT),
            "U0D uncertainty": fine_tune(base, inputs, patient.main, arms.UNCERTAIN, weights),
        }
        for net in nets.values():
            net.card = base.card
        jobs = [(arm, net, subject, i) for arm, net in nets.items() for i in subject.test]
    found: list[Row] = []
    for arm, net, who, image in jobs:
        head: Row = {"cohort": cohort_seed, "subject": who.id, "arm": arm, "image": image}
        found.append(head | measure(net, who, image))
    found[0]["cpu_seconds"] = round(time.process_time() - start, 1)
    return found


def study(processes: int = 2) -> None:
    """Measure everybody, then write the result."""
    jobs = [(HELD_OUT_SEED, -1), *((c, k) for c in COHORTS for k in range(20))]
    with ProcessPoolExecutor(processes) as pool:
        done = list(tqdm(pool.map(rows, *zip(*jobs, strict=True)), total=len(jobs)))
    flat = [r for group in done for r in group]
    cpu = sum(float(r.pop("cpu_seconds", 0.0) or 0) for r in flat)
    seeds = [*COHORTS, HELD_OUT_SEED, 0]
    write_result("ls03", flat, command="python results/ls03.py", seeds=seeds, cpu_seconds=cpu)


if __name__ == "__main__":
    study(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
