"""Every arm of the scribble study: ``python results/ls02.py`` writes ``results/ls02.json``.

Cohort 5000 is the one on which settings were chosen, cohort 7000 confirms the
main ones. One row per cohort,
patient and arm, with the Dice of the three test images, pixels pooled. Finished rows are kept in
``results/ls02.partial.jsonl``, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from limsup_widgets.data.annotators import annotate_subject, scribble_labels
from limsup_widgets.data.kidney import CLASSES, Cohort, Subject, kidney_cohort
from limsup_widgets.learn import rivals
from limsup_widgets.learn.infer import codes, predict
from limsup_widgets.learn.losses import uncertainty_weights
from limsup_widgets.learn.metrics import dice_per_class
from limsup_widgets.learn.moments import mc_moments
from limsup_widgets.learn.tune import TuneSettings, fine_tune
from limsup_widgets.learn.unet import UNet
from limsup_widgets.learn.weights import load_u0
from limsup_widgets.teach.results import write_result

COHORTS = (5000, 7000)
PASSES = 20
FLAT = TuneSettings()
BALANCED = replace(FLAT, weighting="balanced")
UNCERTAIN = replace(FLAT, weighting="uncertainty")
PARTIAL = Path(__file__).with_name("ls02.partial.jsonl")

Style = Literal["main", "secondary"]
Labels = list[NDArray[np.uint8]]
Codes = list[NDArray[np.uint8]]
Row = dict[str, float | int | str | None]


@dataclass(frozen=True)
class Patient:
    """One patient with everything an arm may ask for, made when asked."""

    cohort: Cohort
    number: int

    @property
    def subject(self) -> Subject:
        """The simulated patient."""
        return self.cohort.patients[self.number]

    def inputs(self, net: UNet, images: range) -> list[Tensor]:
        """Normalised images ``(3, H, W)``."""
        return [net.card.normalizer(self.subject.image(i)) for i in images]

    def arrays(self, images: range) -> list[NDArray[np.uint8]]:
        """Images as they are."""
        return [self.subject.image(i) for i in images]

    def scribbles(self, style: Style = "main", fraction: float = 1.0) -> Labels:
        """Codes of the simulated annotator on the tuning images."""
        strokes = annotate_subject(self.subject, style, fraction)
        return [
            scribble_labels((s for s in strokes if s.image == i), self.subject.shape)
            for i in self.subject.tune
        ]

    @property
    def main(self) -> Labels:
        """All strokes of the main annotator."""
        return main_labels(self.cohort.seed, self.number)

    @property
    def dense(self) -> Labels:
        """Full masks of the tuning images."""
        return [self.subject.truth(i) for i in self.subject.tune]


@cache
def cohort(seed: int) -> Cohort:
    """The cohort, drawn once per process."""
    return kidney_cohort(seed)


@cache
def main_labels(seed: int, number: int) -> Labels:
    """All strokes of the main annotator, drawn once per process."""
    return Patient(cohort(seed), number).scribbles()


@cache
def network(dropout: bool) -> UNet:
    """U0 or U0^D, loaded once per process."""
    return load_u0(dropout)


def test_codes(net: UNet, patient: Patient, mc: bool = False) -> Codes:
    """Predicted codes of the test images; ``mc`` averages stochastic passes, as the talk does."""
    xs = patient.inputs(net, patient.subject.test)
    if mc:
        return [codes(mc_moments(net, x, PASSES).mean) for x in xs]
    return [codes(predict(net, x)) for x in xs]


def tuned(
    patient: Patient,
    labels: Labels,
    settings: TuneSettings,
    dropout: bool = False,
    weights: list[NDArray[np.float32]] | None = None,
    donors: tuple[Patient, ...] = (),
) -> Codes:
    """Tune on ``labels``, of ``donors`` where given, and segment the patient's test images."""
    net = network(dropout)
    inputs = [x for p in donors or (patient,) for x in p.inputs(net, p.subject.tune)]
    return test_codes(fine_tune(net, inputs, labels, settings, weights), patient, mc=dropout)


def everybody(patient: Patient, steps: int, dropout: bool = False, left_out: bool = False) -> Codes:
    """One network from the scribbles of all patients, with or without the tested one."""
    donors = tuple(
        Patient(patient.cohort, k)
        for k in range(len(patient.cohort.patients))
        if not (left_out and k == patient.number)
    )
    labels = [y for p in donors for y in p.main]
    return tuned(patient, labels, replace(FLAT, steps=steps), dropout, donors=donors)


def wrong(patient: Patient) -> Codes:
    """Tune on the scribbled images of another patient, seven places on."""
    other = Patient(patient.cohort, (patient.number + 7) % len(patient.cohort.patients))
    return tuned(patient, other.main, FLAT, donors=(other,))


def moment_weights(patient: Patient, labels: Labels, rule: str) -> list[NDArray[np.float32]]:
    """Pixel weights of the tuning images from the untuned U0^D.

    ``"V"`` takes the mean of stochastic passes, ``"Vdet"`` one pass without dropout.
    """
    net = network(True)
    means = (
        mc_moments(net, x, PASSES).mean if rule == "V" else predict(net, x)
        for x in patient.inputs(net, patient.subject.tune)
    )
    return [uncertainty_weights(m, y) for m, y in zip(means, labels, strict=True)]


def uncertain(patient: Patient, rule: str = "V", style: Style = "main") -> Codes:
    """U0^D tuned with uncertainty weights."""
    labels = patient.scribbles(style)
    return tuned(patient, labels, UNCERTAIN, True, moment_weights(patient, labels, rule))


def few_images(patient: Patient, count: int) -> Codes:
    """Only the first ``count`` images scribbled."""
    labels = [y if i < count else np.zeros_like(y) for i, y in enumerate(patient.main)]
    return tuned(patient, labels, FLAT)


def forest(patient: Patient) -> Codes:
    """Random forest on hand-made features."""
    s = patient.subject
    return rivals.random_forest(patient.arrays(s.tune), patient.main, patient.arrays(s.test))


def logistic(patient: Patient) -> Codes:
    """Logistic regression on frozen features of U0."""
    net, s = network(False), patient.subject
    tune, test = patient.inputs(net, s.tune), patient.inputs(net, s.test)
    return rivals.logistic_head(net, tune, patient.main, test)


def adabn(patient: Patient) -> Codes:
    """Batch statistics of the patient's seven images; no label."""
    net = network(False)
    return test_codes(rivals.adabn(net, patient.inputs(net, patient.subject.tune)), patient)


ARMS: dict[str, Callable[[Patient], Codes]] = {
    "U0": lambda p: test_codes(network(False), p),
    "AdaBN": adabn,
    "main balanced": lambda p: tuned(p, p.main, BALANCED),
    "main flat": lambda p: tuned(p, p.main, FLAT),
    "half": lambda p: tuned(p, p.scribbles(fraction=0.5), FLAT),
    "secondary": lambda p: tuned(p, p.scribbles("secondary"), FLAT),
    "wrong patient": wrong,
    "dense": lambda p: tuned(p, p.dense, FLAT),
    "random forest": forest,
    "logistic head": logistic,
    "U0D": lambda p: test_codes(network(True), p, mc=True),
    "U0D flat": lambda p: tuned(p, p.main, FLAT, True),
    "U0D balanced": lambda p: tuned(p, p.main, BALANCED, True),
    "U0D uncertainty": uncertain,
    "all patients": lambda p: everybody(p, FLAT.steps),
    "U0D secondary": lambda p: uncertain(p, style="secondary"),
    "U0D all patients": lambda p: everybody(p, FLAT.steps, True),
    "U0D Vdet": lambda p: uncertain(p, "Vdet"),
    "80 steps": lambda p: tuned(p, p.main, replace(FLAT, steps=80)),
    "1 image": lambda p: few_images(p, 1),
    "head only": lambda p: tuned(p, p.main, replace(FLAT, trainable="head")),
    "uniform crops": lambda p: tuned(p, p.main, replace(FLAT, sampling="uniform", lr=1e-3)),
}

CONFIRMED = (
    "U0", "AdaBN", "main balanced", "main flat", "wrong patient",
    "U0D", "U0D flat", "U0D balanced", "U0D uncertainty",
)  # fmt: skip
"""Arms that the second cohort repeats."""
EXTRA = ("80 steps", "1 image", "head only", "uniform crops")
"""Arms of which ten patients tell enough."""


def all_jobs() -> list[tuple[int, int, str]]:
    """(cohort, patient, arm), the main arms first."""
    return [
        (seed, k, arm)
        for arm in sorted(ARMS, key=lambda a: (a in EXTRA, a not in CONFIRMED))
        for seed in COHORTS[: 2 if arm in CONFIRMED else 1]
        for k in range(10 if arm in EXTRA else 20)
    ]


def row(cohort_seed: int, number: int, arm: str) -> Row:
    """Dice per class of one patient under one arm, and its CPU seconds."""
    torch.set_num_threads(1)
    patient = Patient(cohort(cohort_seed), number)
    start = time.process_time()
    predicted = ARMS[arm](patient)
    seconds = time.process_time() - start
    subject = patient.subject
    dice = dice_per_class(predicted, [subject.truth(i) for i in subject.test], len(CLASSES))
    shares = [None if np.isnan(d) else round(float(d), 4) for d in dice]
    named: Row = dict(zip(CLASSES, shares, strict=True))
    head: Row = {"cohort": cohort_seed, "patient": subject.id, "arm": arm}
    numbers: Row = {"mean": round(float(np.nanmean(dice)), 4), "cpu_seconds": round(seconds, 2)}
    return head | named | numbers


def finished() -> list[Row]:
    """Rows of an earlier, interrupted run."""
    lines = PARTIAL.read_text().splitlines() if PARTIAL.exists() else []
    return [row for row in map(json.loads, lines) if row["arm"] in ARMS]


def study(processes: int = 2) -> None:
    """Run what is missing, then write the result."""
    rows = finished()
    done = {(r["cohort"], r["patient"], r["arm"]) for r in rows}
    jobs = [(s, k, arm) for s, k, arm in all_jobs() if (s, f"p{k + 1:02d}", arm) not in done]
    with ProcessPoolExecutor(processes) as pool, PARTIAL.open("a") as out:
        for new in tqdm(pool.map(row, *zip(*jobs, strict=True), chunksize=1), total=len(jobs)):
            out.write(json.dumps(new) + "\n")
            out.flush()
            rows.append(new)
    order = {arm: i for i, arm in enumerate(ARMS)}
    rows.sort(key=lambda r: (r["cohort"], r["patient"], order[str(r["arm"])]))
    cpu = sum(float(r["cpu_seconds"] or 0) for r in rows)
    write_result(
        "ls02", rows, command="python results/ls02.py", seeds=[*COHORTS, 0], cpu_seconds=cpu
    )
    PARTIAL.unlink()


if __name__ == "__main__":
    study(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
