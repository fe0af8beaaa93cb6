"""How many steps a tune needs that follows each stroke: ``python results/live.py``.

Writes ``results/live.json``. Images are scribbled stroke by stroke, the classes in turn, and U0^D
is tuned after each stroke from where the tune before ended, as a live session does: in full while a
class is new to it, with fewer steps afterwards. One row per cohort, patient and way, with the mean
Dice on test images after every second stroke. Cohort 5000 is the one on which the number was
chosen, cohort 7000 confirms it. On the IHC image, whose classes the network does not know, the
"patients" are simulated annotators, and the test image is the image itself. Finished rows are kept
in ``results/live.partial.jsonl``.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ls02 import CLASSES, Patient, cohort, network
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from limsup_widgets.data.annotators import annotate, scribble_labels
from limsup_widgets.data.ihc import IHC_CLASSES, ihc_image, ihc_reference
from limsup_widgets.data.strokes import Stroke
from limsup_widgets.learn.adapt import adapt
from limsup_widgets.learn.infer import codes, predict
from limsup_widgets.learn.inputs import Normalizer
from limsup_widgets.learn.metrics import dice_per_class, mean_dice
from limsup_widgets.learn.tune import FOREIGN, TuneSettings, tune_steps
from limsup_widgets.teach.results import write_result

PATIENTS, ANNOTATORS, STROKES = 10, 4, 20
LOOKS = range(4, STROKES + 1, 2)
"""Strokes after which the test images are looked at."""
PARTIAL = Path(__file__).with_name("live.partial.jsonl")
SCRATCH = "from scratch"
"""One tune of the first network on all strokes so far."""
IHC, FULL = "IHC", "in full"
Row = dict[str, Any]
Codes = NDArray[np.uint8]

WAYS: dict[str, dict[str, Any]] = {
    FULL: {},
    "20": {"steps": 20},
    "10": {"steps": 10},
    "20, decaying": {"steps": 20, "decay": True},
    "10, decaying": {"steps": 10, "decay": True},
    "60, decaying": {"steps": 60, "decay": True},
    "30, decaying": {"steps": 30, "decay": True},
}
"""How a tune differs from the first ones once all scribbled classes have been learnt."""
PLACES = {
    5000: (FULL, "20", "10", "20, decaying", "10, decaying", SCRATCH),
    7000: (FULL, "20, decaying", "10, decaying", SCRATCH),
    IHC: (FULL, "60, decaying", "30, decaying", SCRATCH),
}
"""Ways by cohort."""


@dataclass(frozen=True, eq=False)
class Bench:
    """Images, the strokes on them in their order, and what is to be found on test images."""

    inputs: Sequence[Tensor]
    strokes: Sequence[Stroke]
    tests: Sequence[Tensor]
    truths: Sequence[Codes]
    classes: int
    settings: TuneSettings
    begin: Callable[[list[Codes]], nn.Module]

    def labels(self, count: int) -> list[Codes]:
        """Codes of each image after so many strokes."""
        drawn = self.strokes[:count]
        return [
            scribble_labels((s for s in drawn if s.image == i), (x.shape[-2], x.shape[-1]))
            for i, x in enumerate(self.inputs)
        ]

    def dice(self, net: nn.Module) -> float:
        """Mean Dice of the test images."""
        found = [codes(predict(net, x)) for x in self.tests]
        return round(mean_dice(dice_per_class(found, self.truths, self.classes)), 4)


def in_turn(drawn: Sequence[Sequence[Stroke]], classes: int) -> list[Stroke]:
    """The first strokes, class by class in turn, from the images in turn."""
    queues = []
    for code in range(1, classes + 1):
        of_images = ([s for s in image if s.runs and s.runs[0][3] == code] for image in drawn)
        queues.append([s for turn in zip_longest(*of_images) for s in turn if s is not None])
    every = chain.from_iterable(zip_longest(*queues))
    return [s for s in every if s is not None][:STROKES]


def kidney(seed: int, number: int) -> Bench:
    """A patient's tuning images together; the network knows such tissue from others."""
    patient = Patient(cohort(seed), number)
    subject, net = patient.subject, network(True)
    drawn = [annotate(subject.truth(i), "main", seed=number, image=i) for i in subject.tune]
    return Bench(
        patient.inputs(net, subject.tune),
        in_turn(drawn, len(CLASSES)),
        patient.inputs(net, subject.test),
        [subject.truth(i) for i in subject.test],
        len(CLASSES),
        TuneSettings(),
        lambda labels: copy.deepcopy(net),
    )


def stained(number: int) -> Bench:
    """The IHC image; the network gets a new head, fitted to the first strokes."""
    array, truth = ihc_image().array, ihc_reference()
    x, classes = Normalizer.fit([array])(array), len(IHC_CLASSES)
    drawn = annotate(truth, "main", seed=number, strokes_per_class=STROKES)
    return Bench(
        [x],
        in_turn([drawn], classes),
        [x],
        [truth],
        classes,
        FOREIGN,
        lambda labels: adapt(network(True), 3, classes, [x], labels, refit=True),
    )


def followed(bench: Bench, way: str) -> Row:
    """A tune after each stroke, from the second on."""
    found, steps, learnt = {}, 0, set[int]()
    net = bench.begin(bench.labels(2))
    for count in range(2, len(bench.strokes) + 1):
        labels = bench.labels(count)
        painted = {int(code) for y in labels for code in np.unique(y) if code}
        settings = replace(bench.settings, seed=count)
        if painted <= learnt:
            settings = replace(settings, **WAYS[way])
        learnt |= painted
        for _ in tune_steps(net, bench.inputs, labels, settings, classes=bench.classes):
            steps += 1
        if count in LOOKS:
            found[f"{count} strokes"] = bench.dice(net)
    return found | {"steps": steps}


def scratch(bench: Bench) -> Row:
    """The untuned network tuned once on all strokes so far."""
    found: Row = {f"{count} strokes": None for count in LOOKS}
    for count in LOOKS[2::3]:
        labels = bench.labels(count)
        net, settings = bench.begin(labels), replace(bench.settings, seed=count)
        for _ in tune_steps(net, bench.inputs, labels, settings, classes=bench.classes):
            pass
        found[f"{count} strokes"] = bench.dice(net)
    return found | {"steps": bench.settings.steps}


def row(place: int | str, number: int, way: str) -> Row:
    """One patient tuned one way, with its CPU seconds."""
    torch.set_num_threads(1)
    start = time.process_time()
    bench = kidney(place, number) if isinstance(place, int) else stained(number)
    found = scratch(bench) if way == SCRATCH else followed(bench, way)
    seconds = round(time.process_time() - start, 1)
    return {"cohort": place, "patient": number + 1, "way": way} | found | {"cpu_seconds": seconds}


def table(rows: list[Row]) -> str:
    """Mean Dice by the number of strokes, one line a cohort and way."""
    lines = []
    for place, way in dict.fromkeys((r["cohort"], r["way"]) for r in rows):
        chosen = [r for r in rows if (r["cohort"], r["way"]) == (place, way)]
        means = [np.mean([r[f"{n} strokes"] or np.nan for r in chosen]) for n in LOOKS]
        lines.append(f"{place}  {way:12} {' '.join(f'{m:.3f}' for m in means)}")
    return "\n".join(lines)


def jobs() -> list[tuple[int | str, int, str]]:
    """(cohort, patient, way) of every row."""
    return [
        (place, number, way)
        for place, ways in PLACES.items()
        for number in range(ANNOTATORS if place == IHC else PATIENTS)
        for way in ways
    ]


def study(processes: int = 2) -> None:
    """Run what is missing, write the result, print the means."""
    rows = [json.loads(r) for r in PARTIAL.read_text().splitlines()] if PARTIAL.exists() else []
    done = {(r["cohort"], r["patient"] - 1, r["way"]) for r in rows}
    missing = [job for job in jobs() if job not in done]
    with ProcessPoolExecutor(processes) as pool, PARTIAL.open("a") as out:
        for new in tqdm(pool.map(row, *zip(*missing, strict=True)), total=len(missing)):
            out.write(json.dumps(new) + "\n")
            out.flush()
            rows.append(new)
    seeds = [seed for seed in PLACES if isinstance(seed, int)]
    cpu = sum(r["cpu_seconds"] for r in rows)
    write_result("live", rows, command="python results/live.py", seeds=seeds, cpu_seconds=cpu)
    PARTIAL.unlink()
    print(table(rows))


if __name__ == "__main__":
    study()
