"""What the quick answer is made of: ``python results/quick.py`` writes ``results/quick.json``.

One row per patient of cohort 5000, budget of strokes and classifier: mean Dice on scribbled images
and on the three test images, CPU seconds of one thread for the features of an image, the fit, and
the prediction of an image.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from ls02 import Patient, cohort, network
from numpy.typing import NDArray
from tqdm import tqdm

from limsup_widgets.data.annotators import annotate, scribble_labels
from limsup_widgets.data.kidney import Subject
from limsup_widgets.learn.infer import codes
from limsup_widgets.learn.levels import Levels, levels_of
from limsup_widgets.learn.logistic import fit_logistic
from limsup_widgets.learn.metrics import dice_per_class, mean_dice
from limsup_widgets.learn.quick import image_scale, thinned
from limsup_widgets.teach.results import write_result

PATIENTS = 10
BUDGETS = {"1 image, 1 stroke": (1, 1), "1 image, 3 strokes": (1, 3), "2 images, 5 strokes": (2, 5),
           "7 images, 5 strokes": (7, 5)}  # fmt: skip
"""Images, and strokes of each class in each."""
SHOWN, TEST = (0, 1), (7, 8, 9)
NUMBERS = ("shown", "test", "features_s", "fit_s", "predict_s")
Codes = NDArray[np.uint8]
Row = dict[str, Any]
Predict = Callable[[Levels], Codes]
Fit = Callable[[list[Levels], list[Codes]], Predict]


def part(levels: Levels, which: str) -> Levels:
    """The network's levels, the filters (the last map), or both."""
    cut = {"levels": slice(0, -1), "filters": slice(-1, None), "both": slice(None)}[which]
    return replace(levels, maps=levels.maps[cut])


def sampled(levels: list[Levels], labels: list[Codes]) -> tuple[Any, Any, Codes]:
    """Features, own answers and codes of the scribbled pixels that a fit looks at."""
    found = [x.at(*np.nonzero(y)) for x, y in zip(levels, labels, strict=True)]
    ys = np.concatenate([y[y > 0] for y in labels])
    kept = thinned(ys)
    return *(np.concatenate(p)[kept] for p in zip(*found, strict=True)), ys[kept]


def logistic(which: str, corrects: bool) -> Fit:
    """Regression on some of the features, free or as a correction."""

    def fit(levels: list[Levels], labels: list[Codes]) -> Predict:
        used = [part(x, which) for x in levels]
        xs, own, ys = sampled(used, labels)
        scale = image_scale([x.moments() for x in used])
        found = fit_logistic(xs, ys, 4, own if corrects else None, scale)
        return lambda x: codes(part(x, which).logits(found).numpy())

    return fit


def forest(which: str) -> Fit:
    """A random forest on some of the features."""
    from sklearn.ensemble import RandomForestClassifier

    def fit(levels: list[Levels], labels: list[Codes]) -> Predict:
        xs, _, ys = sampled([part(x, which) for x in levels], labels)
        trees = RandomForestClassifier(100, max_samples=0.5, min_samples_leaf=2, random_state=0)
        trees.fit(xs, ys)

        def predict(x: Levels) -> Codes:
            rows, cols = (grid.ravel() for grid in np.indices(x.shape))
            return trees.predict(part(x, which).at(rows, cols)[0]).reshape(x.shape)

        return predict

    return fit


ARMS: dict[str, Fit] = {
    "untuned": lambda levels, labels: lambda x: codes(x.own[0].numpy()),
    "correction, levels": logistic("levels", True),
    "correction, levels + filters": logistic("both", True),
    "free, levels": logistic("levels", False),
    "free, filters": logistic("filters", False),
    "free, levels + filters": logistic("both", False),
    "forest, filters": forest("filters"),
    "forest, levels": forest("levels"),
}


def rows(number: int) -> list[Row]:
    """All rows of one patient."""
    patient, net = Patient(cohort(5000), number), network(True)
    subject = patient.subject
    inputs = patient.inputs(net, range(10))
    clocks = {
        name: timed(partial(levels_of, net, inputs[0], filters))[1]
        for name, filters in (("levels", False), ("levels + filters", True))
    }
    levels = [levels_of(net, x, filters=True) for x in inputs]
    strokes = [annotate(subject.truth(i), "main", seed=number, image=i) for i in range(7)]
    found = []
    for budget, (images, most) in BUDGETS.items():
        labels = [first_strokes(strokes[i], most, subject.shape) for i in range(images)]
        for arm, fit in ARMS.items():
            head = {"patient": subject.id, "budget": budget, "arm": arm}
            seconds = clocks["levels + filters" if "filters" in arm else "levels"]
            numbers = judged(partial(fit, levels[:images], labels), levels, subject, images)
            found.append({**head, "features_s": round(seconds, 4), **numbers})
    return found


def judged(fit: Callable[[], Predict], levels: list[Levels], subject: Subject, images: int) -> Row:
    """Dice and seconds of one classifier."""
    shown = SHOWN[:images]
    predict, fit_s = timed(fit)
    found, predict_s = timed(lambda: [predict(levels[i]) for i in shown])
    return {
        "fit_s": round(fit_s, 4),
        "predict_s": round(predict_s / len(shown), 4),
        "shown": dice(found, [subject.truth(i) for i in shown]),
        "test": dice([predict(levels[i]) for i in TEST], [subject.truth(i) for i in TEST]),
    }


def first_strokes(strokes: list[Any], most: int, shape: tuple[int, int]) -> Codes:
    """The first strokes of each class as labels."""
    code = [stroke.runs[0][3] if stroke.runs else 0 for stroke in strokes]
    kept = [s for n, s in enumerate(strokes) if code[n] and code[:n].count(code[n]) < most]
    return scribble_labels(kept, shape)


def dice(found: list[Codes], truths: list[Codes]) -> float:
    """Mean over the classes that are there, pixels pooled."""
    return round(mean_dice(dice_per_class(found, truths, 4)), 4)


def timed(way: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and CPU seconds."""
    start = time.process_time()
    return way(), time.process_time() - start


def table(every: list[Row]) -> str:
    """Means over the patients, one line a budget and classifier."""
    lines = []
    for budget in BUDGETS:
        for arm in ARMS:
            chosen = [r for r in every if (r["budget"], r["arm"]) == (budget, arm)]
            means = (f"{k} {np.mean([r[k] for r in chosen]):.3f}" for k in NUMBERS)
            lines.append(f"{budget:20} {arm:29} {'  '.join(means)}")
    return "\n".join(lines)


def study() -> None:
    """Run all patients, write the result, print the means."""
    torch.set_num_threads(1)
    began = time.process_time()
    with torch.no_grad():
        every = [row for number in tqdm(range(PATIENTS)) for row in rows(number)]
    cpu = time.process_time() - began
    write_result("quick", every, command="python results/quick.py", seeds=[5000], cpu_seconds=cpu)
    print(table(every))


if __name__ == "__main__":
    study()
