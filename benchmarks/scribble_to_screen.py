"""One new stroke: how soon is it answered on screen, and how soon by the tuned network?

``python benchmarks/scribble_to_screen.py`` paints a stroke on simulated kidney images of 512²
pixels, another patient in each round, and on one of 2048² of which 512² are in view. limsup runs as
a live session, the naive way tunes on whole images and predicts the whole image.
"""

from __future__ import annotations

import statistics
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from common import finish, goal, options, record, stage_table
from numpy.typing import NDArray
from timing import Laps, Seconds, clock, interleaved, staged
from torch.nn import functional as F

from limsup_widgets.data.kidney import CLASSES, kidney_cohort
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn.infer import codes, predict
from limsup_widgets.learn.metrics import dice_per_class
from limsup_widgets.learn.tiles import Box
from limsup_widgets.learn.tune import TuneSettings, fine_tune
from limsup_widgets.learn.weights import load_u0
from limsup_widgets.session import Session

SEED = 7000
OLD, VIEW, PASSES = 3, 512, 20
OURS, NAIVE = "limsup, live", "whole image, as written"
FIRST, TUNED, UNSURE = "first answer", "tuned answer in view", "tuned uncertainty in view"
SETTINGS = TuneSettings()
STEPS = SETTINGS.steps
WARM = replace(SETTINGS, steps=SETTINGS.warm_steps, decay=True)
"""How a live session tunes on after one stroke."""
SECONDS_TO_THINK = 1
"""Between the last answer and the next stroke, as a hand takes them."""
Codes, Mask = NDArray[np.uint8], NDArray[np.bool_]
Pair = tuple[NDArray[np.uint8], Codes]
"""Image ``(S, S, 3)`` and its truth ``(S, S)``."""


def simulated(side: int, number: int) -> Pair:
    """Image ``(S, S, 3)`` and truth ``(S, S)`` of a simulated patient."""
    patient = kidney_cohort(SEED + number, controls=0, patients=1, shape=(side, side)).patients[0]
    return patient.image(0), patient.truth(0).astype(np.uint8)


def repeated(pair: Pair, side: int) -> Pair:
    """The same beside and below itself: to simulate a large image takes long."""
    rows = np.arange(side) % len(pair[1])
    image, truth = (array[rows][:, rows] for array in pair)
    return image, truth


def strokes(truth: Codes, view: Box, count: int) -> list[tuple[Mask, int]]:
    """``count`` straight strokes of each class inside the view, as masks, in turn."""
    rng, made = np.random.default_rng(0), []
    inside = np.zeros_like(truth)
    inside[view[0] : view[2], view[1] : view[3]] = 1
    present = [code for code in range(1, len(CLASSES) + 1) if (inside * (truth == code)).any()]
    for _ in range(count):
        for code in present:
            at = np.argwhere((truth == code) & (inside > 0))
            y, x = at[rng.integers(len(at))]
            mask = np.zeros_like(truth)
            mask[max(0, y - 2) : y + 3, max(0, x - 15) : x + 16] = 1
            made.append(((mask & inside & (truth == code)) > 0, code))
    return made


def naive_tune(model: torch.nn.Module, x: torch.Tensor, labels: Codes, steps: int = STEPS) -> None:
    """Scribble fine-tuning as it is described: the whole image in every step."""
    target = torch.from_numpy(labels.astype(np.int64))[None] - 1
    optimiser = torch.optim.Adam(model.parameters(), lr=SETTINGS.lr)
    for _ in range(steps):
        loss = F.cross_entropy(model(x[None]), target, ignore_index=-1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


class Case:
    """An image, what is in view of it, and the strokes that were and the one that comes."""

    def __init__(self, pair: Pair, most: int) -> None:
        self.image, self.truth = pair
        side, view = len(self.truth), min(most, len(self.truth))
        start = (side - view) // 2 // 8 * 8
        self.view: Box = (start, start, start + view, start + view)
        *self.old, self.new = strokes(self.truth, self.view, OLD)
        self.dice: dict[str, float] = {}

    def prepared(self) -> tuple[torch.nn.Module, torch.Tensor, Codes]:
        """Network, input and all scribbles."""
        model, labels = load_u0(dropout=True).eval(), np.zeros_like(self.truth)
        for mask, code in [*self.old, self.new]:
            labels[mask] = code
        return model, model.card.normalizer(self.image), labels

    def note(self, way: str, found: Codes) -> None:
        """Keep the mean Dice in view of an answer."""
        top, left, bottom, right = self.view
        pair = [found[top:bottom, left:right]], [self.truth[top:bottom, left:right]]
        self.dice[way] = float(np.nanmean(dice_per_class(*pair, len(CLASSES))))


def naive(case: Case, laps: Laps) -> None:
    """Tune on the whole image, then predict it."""
    model, x, labels = case.prepared()
    laps.restart()
    naive_tune(model, x, labels)
    found = codes(predict(model, x))
    laps(TUNED)
    case.note(NAIVE, found)


def ours(case: Case, laps: Laps, threads: int = 1) -> None:
    """A live session whose screen is followed."""
    with Session(case.image, CLASSES, passes=PASSES, threads=threads) as session:
        *first, last = case.old
        for mask, code in first:
            session.paint(mask, code)
        session.look(case.view, unsure=True)
        in_view(session, case)
        session.live = True
        session.paint(*last)
        session.wait()
        in_view(session, case)
        session.pause(SECONDS_TO_THINK)
        before = session.model_sha256
        laps.restart()
        if session.paint(*case.new) is None:
            raise LimsupError("stroke", got="painted before", do="take another seed")
        until(session, lambda: session.screen.by == "quick" and session.screen.is_known(case.view))
        laps(FIRST)
        case.note(FIRST, whole(session, case))
        until(session, lambda: tuned(session, before) and session.screen.is_known(case.view))
        laps(TUNED)
        case.note(OURS, whole(session, case))
        until(session, lambda: session.screen.is_known(case.view, PASSES))
        laps(UNSURE)


def in_view(session: Session, case: Case) -> None:
    """Wait for the network's answer in view, with all of its passes."""
    until(session, lambda: session.screen.by == "network")
    until(session, lambda: session.screen.is_known(case.view, PASSES))


def until(session: Session, done: Callable[[], bool], pause: float = 0.002) -> None:
    """Let events run until ``done``."""
    while not done():
        session.pump.once()
        time.sleep(pause)


def tuned(session: Session, before: str) -> bool:
    return session.model_sha256 != before and session.screen.by == "network"


def whole(session: Session, case: Case) -> Codes:
    found = np.zeros_like(case.truth)
    top, left, bottom, right = session.screen.box
    found[top:bottom, left:right] = session.screen.codes
    return found


def difference(case: Case) -> float:
    """Largest difference between the view, computed by itself, and the whole image's result."""
    from limsup_widgets.learn.tiles import predict_box, tiling_of

    model = load_u0(dropout=True)
    normalizer = model.card.normalizer
    halo = tiling_of(model, 3).halo
    top, left, bottom, right = case.view

    def read(box: Box) -> torch.Tensor:
        return normalizer(case.image[box[0] : box[2], box[1] : box[3]])

    part = predict_box(model, read, case.truth.shape, case.view, halo)
    every = predict(model, normalizer(case.image))
    return float(np.abs(part - every[:, top:bottom, left:right]).max())


def one_step(case: Case) -> dict[str, list[float]]:
    """Seconds of the naive way on a large image, reckoned from one step: all take the same."""
    model, x, labels = case.prepared()
    with clock() as tuning:
        naive_tune(model, x, labels, 1)
    with clock() as predicting:
        predict(model, x)
    return {TUNED: [tuning[0] * STEPS + predicting[0]]}


def once(case: Case, threads: int) -> dict[str, list[float]]:
    """Seconds of a live session by stage."""
    laps = Laps()
    ours(case, laps, threads)
    return {stage: [value] for stage, value in laps.seconds.items()}


def parts(case: Case) -> dict[str, float]:
    """Seconds of what a live session does behind a stroke, each by itself."""
    model, x, labels = case.prepared()
    ways: dict[str, Callable[[], object]] = {
        "tune in full": lambda: fine_tune(model, [x], [labels], SETTINGS),
        "tune on": lambda: fine_tune(model, [x], [labels], WARM),
        "predict": lambda: predict(model, x),
    }
    warm = dict.fromkeys(ways, ways["tune on"])
    return {name: values[0] for name, values in interleaved(ways, 1, warm=warm).items()}


def by_stage(cases: Sequence[Case], threads: int) -> dict[str, Seconds]:
    """Seconds of both ways; each round takes the next case."""
    queues: dict[str, Iterator[Case]] = {way: iter(cases) for way in (NAIVE, OURS)}
    ways: dict[str, Callable[[Laps], object]] = {
        NAIVE: lambda laps: naive(next(queues[NAIVE]), laps),
        OURS: lambda laps: ours(next(queues[OURS]), laps, threads),
    }
    first: dict[str, Callable[[Laps], object]] = {
        NAIVE: lambda laps: naive_tune(*cases[0].prepared(), steps=1),
        OURS: lambda laps: ours(cases[0], laps, threads),
    }
    return staged(ways, len(cases), warm=first)


def notes(asked: Namespace, seconds: Seconds, alone: dict[str, float]) -> list[str]:
    """What the gain is made of, and what is missing."""
    pixels = asked.side**2 / (SETTINGS.batch * SETTINGS.crop**2)
    naive, live = (statistics.median(seconds[way]) for way in (NAIVE, OURS))
    equal = naive / (live + alone["tune in full"] - alone["tune on"])
    return [
        f"The naive way takes {STEPS} steps from the untuned network. limsup takes as many at "
        f"first, and {WARM.steps} with a falling rate for a stroke more, which is level with "
        f"{STEPS} over twenty patients (`results/live.json`).",
        f"A step of limsup holds {SETTINGS.batch} crops of {SETTINGS.crop}², a naive one all "
        f"{asked.side}², {pixels:.1f} times as many pixels. With {STEPS} steps for each stroke "
        f"too it would be {equal:.1f} times as fast, reckoned from the parts.",
        f"At {asked.large}² one naive step was run, and {STEPS} reckoned from it: it grows with "
        "the image, limsup's does not.",
        "What smaller and fewer steps cost or bring in accuracy stands in the table of Dice.",
    ]


def main(asked: Namespace) -> None:
    """Both sizes, one record."""
    cases = [Case(simulated(asked.side, n), VIEW) for n in range(asked.rounds)]
    wide = Case(repeated(simulated(VIEW, 0), asked.large), VIEW)
    small = by_stage(cases, asked.threads)
    large = {OURS: once(wide, asked.threads), NAIVE: one_step(wide)}
    seconds = {way: stages[TUNED] for way, stages in small.items()}
    medians = {stage: statistics.median(values) for stage, values in small[OURS].items()}
    gains = {
        asked.side: statistics.median(a / b for a, b in zip(*seconds.values(), strict=True)),
        asked.large: large[NAIVE][TUNED][0] / large[OURS][TUNED][0],
    }
    alone = parts(cases[0])
    dice = [[way, *(case.dice[way] for case in cases)] for way in (FIRST, OURS, NAIVE)]
    finish(
        record(
            "scribble_to_screen",
            f"One stroke to the tuned answer in view, {asked.side}×{asked.side}×3",
            seconds,
            ours=OURS,
            naive=NAIVE,
            options=asked,
            max_abs_diff=difference(wide),
            tables=[
                stage_table(small, f"Seconds after the stroke, {asked.side}²"),
                stage_table(large, f"Seconds after the stroke, {asked.large}²"),
                {
                    "title": f"Parts of the way to the tuned answer, each alone, {asked.side}²",
                    "head": ["part", "seconds"],
                    "rows": list(alone.items()),
                },
                {
                    "title": "Mean Dice in view after that stroke",
                    "head": ["answer", *(f"patient {n}" for n in range(len(cases)))],
                    "rows": dice,
                },
            ],
            ratios={f"{asked.large}²: {NAIVE} / {OURS}": gains[asked.large]},
            goals=[
                *(goal(f"times faster to the tuned answer, {n}²", g, 10) for n, g in gains.items()),
                goal("seconds to the first answer", medians[FIRST], at_most=0.5),
                goal("seconds to the tuned answer", medians[TUNED], at_most=3),
            ],
            code=["naive_tune"],
            notes=notes(asked, seconds, alone),
        ),
        asked,
    )


if __name__ == "__main__":
    main(options(__doc__, side=(512, 96), large=(2048, 192), rounds=(2, 1)))
