"""What holding strokes out costs and brings: ``python results/holdout.py``.

Writes ``results/holdout.json``. Ten patients of cohort 5000 are scribbled in five rounds, two
strokes a class each, all seven tuning images together; after each round U0^D is tuned on, from
where the round before ended. One row per patient and way, with the mean Dice of the three test
images after each round, and at the end the class-balanced accuracy of the network and of the quick
answer on the held-out strokes, which neither has seen. Finished rows are kept in
``results/holdout.partial.jsonl``.
"""

from __future__ import annotations

import copy
import json
import time
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ls02 import Patient, cohort, network
from ls02 import test_codes as tested
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from limsup_widgets.data.annotators import annotate
from limsup_widgets.data.strokes import Stroke
from limsup_widgets.learn.holdout import FIRST, Split, balanced_accuracy, split_strokes
from limsup_widgets.learn.infer import codes, predict
from limsup_widgets.learn.metrics import dice_per_class, mean_dice
from limsup_widgets.learn.quick import QuickClassifier
from limsup_widgets.learn.tune import TuneSettings, fine_tune, tune_steps
from limsup_widgets.teach.results import write_result

PATIENTS, ROUNDS, STROKES = 10, 5, 2
PARTIAL = Path(__file__).with_name("holdout.partial.jsonl")
Row = dict[str, Any]


@dataclass(frozen=True)
class Way:
    """From which stroke of a class on every fourth is held out, and whether they stop a tune."""

    first: int
    watched: bool = False


NEVER = 10**6
WAYS = {
    "all teach": Way(NEVER),
    "held out from 4": Way(4),
    "held out from 4, watched": Way(4, watched=True),
    f"held out from {FIRST}": Way(FIRST),
}
ONCE, QUICK = "one tune from scratch", "quick answer"


@dataclass
class Bench:
    """A patient's images and rounds of strokes."""

    patient: Patient
    inputs: list[Tensor]
    rounds: list[list[Stroke]]

    def split(self, rounds: int, first: int) -> Split:
        """Strokes of the first rounds, in two parts."""
        drawn = [stroke for new in self.rounds[:rounds] for stroke in new]
        return split_strokes(drawn, [self.patient.subject.shape] * len(self.inputs), first)

    def dice(self, found: list[NDArray[np.uint8]]) -> float:
        """Mean Dice of the test images."""
        subject = self.patient.subject
        return round(
            mean_dice(dice_per_class(found, [subject.truth(i) for i in subject.test], 4)), 4
        )


def bench(number: int) -> Bench:
    """Strokes of a class come from the images in turn."""
    patient = Patient(cohort(5000), number)
    subject = patient.subject
    drawn = [annotate(subject.truth(i), "main", seed=number, image=i) for i in subject.tune]
    rounds: list[list[Stroke]] = [[] for _ in range(ROUNDS)]
    for code in range(1, 5):
        of_images = [[s for s in image if s.runs and s.runs[0][3] == code] for image in drawn]
        queue = [s for turn in zip_longest(*of_images) for s in turn if s is not None]
        for n, stroke in enumerate(queue[: ROUNDS * STROKES]):
            rounds[n // STROKES].append(stroke)
    return Bench(patient, patient.inputs(network(True), subject.tune), rounds)


def loop(place: Bench, way: Way, shared: list[nn.Module]) -> tuple[Row, nn.Module]:
    """Five rounds of tuning; the network after the last one.

    Rounds in which nothing is held out are those in which all teach, kept in ``shared``.
    """
    model, row, steps = copy.deepcopy(network(True)), {}, 0
    for number in range(1, ROUNDS + 1):
        split = place.split(number, way.first)
        if not split.strokes and number <= len(shared):
            model, steps = copy.deepcopy(shared[number - 1]), TuneSettings().steps * number
        else:
            watched = split.test if way.watched and split.enough else None
            settings = TuneSettings(seed=number)
            for _ in tune_steps(model, place.inputs, split.teach, settings, held_out=watched):
                steps += 1
        if way.first == NEVER:
            shared.append(copy.deepcopy(model))
        row[f"round {number}"] = place.dice(tested(model, place.patient))
    return row | {"steps": steps}, model


def scores(place: Bench, first: int, model: nn.Module) -> Row:
    """Both answers on the held-out strokes."""
    split = place.split(ROUNDS, first)
    if not split.strokes:
        return {"held_out": 0, "network_score": None, "quick_score": None}
    quick = QuickClassifier(network(True))
    for i, x in enumerate(place.inputs):
        quick.features(i, x)
    quick.fit(dict(enumerate(split.teach)), 4)
    found = [codes(predict(model, x)) for x in place.inputs]
    both = [(f[y > 0], y[y > 0]) for f, y in zip(found, split.test, strict=True)]
    mine = balanced_accuracy(*(np.concatenate(part) for part in zip(*both, strict=True)))
    theirs = quick.score(dict(enumerate(split.test)))
    return {
        "held_out": split.strokes,
        "network_score": round(mine, 4),
        "quick_score": round(theirs, 4),
    }


def compared(place: Bench) -> list[Row]:
    """The untuned network, one tune on all strokes, and the quick answer to all strokes."""
    labels = place.split(ROUNDS, NEVER).teach
    net, subject = network(True), place.patient.subject
    once = fine_tune(net, place.inputs, labels, replace(TuneSettings(), seed=1))
    quick = QuickClassifier(net)
    for i, x in enumerate(place.patient.inputs(net, range(subject.n_images))):
        quick.features(i, x)
    quick.fit(dict(enumerate(labels)), 4)
    answers = {
        "untuned": tested(net, place.patient),
        ONCE: tested(once, place.patient),
        QUICK: [codes(quick.predict(i)) for i in subject.test],
    }
    blank = {f"round {n}": None for n in range(1, ROUNDS)}
    nothing = {"steps": 0, "held_out": 0, "network_score": None, "quick_score": None}
    return [
        {"way": name} | blank | {f"round {ROUNDS}": place.dice(found)} | nothing
        for name, found in answers.items()
    ]


def rows(number: int) -> list[Row]:
    """All rows of one patient, with CPU seconds."""
    start, place = time.process_time(), bench(number)
    found: list[Row] = []
    shared: list[nn.Module] = []
    for name, way in WAYS.items():
        row, model = loop(place, way, shared)
        found.append({"way": name} | row | scores(place, way.first, model))
    found += compared(place)
    seconds = round(time.process_time() - start, 1)
    head = {"patient": place.patient.subject.id}
    return [head | row | {"cpu_seconds_of_patient": seconds} for row in found]


def table(every: list[Row]) -> str:
    """Mean Dice after each round, one line a way, and how often the network won on held-out."""
    lines = []
    for way in dict.fromkeys(row["way"] for row in every):
        chosen = [r for r in every if r["way"] == way]
        means = [np.mean([r[f"round {n}"] or np.nan for r in chosen]) for n in range(1, ROUNDS + 1)]
        won = sum((r["network_score"] or 0) >= (r["quick_score"] or 2) for r in chosen)
        lines.append(f"{way:26} {' '.join(f'{m:.3f}' for m in means)}  won {won} of {len(chosen)}")
    return "\n".join(lines)


def study() -> None:
    """Run what is missing, write the result, print the means."""
    torch.set_num_threads(1)
    done = [json.loads(r) for r in PARTIAL.read_text().splitlines()] if PARTIAL.exists() else []
    ready = {row["patient"] for row in done}
    for number in tqdm([n for n in range(PATIENTS) if f"p{n + 1:02d}" not in ready]):
        done += (new := rows(number))
        with PARTIAL.open("a") as out:
            out.writelines(json.dumps(row) + "\n" for row in new)
    cpu = sum({r["patient"]: r["cpu_seconds_of_patient"] for r in done}.values())
    write_result(
        "holdout", done, command="python results/holdout.py", seeds=[5000], cpu_seconds=cpu
    )
    PARTIAL.unlink()
    print(table(done))


if __name__ == "__main__":
    study()
